//go:build race

package scim_test

// raceEnabled: everything takes ten times as long.
const raceEnabled = true
