//go:build !unix

package main

import "os/exec"

func runUnprivileged(command *exec.Cmd, dir string) error {
	command.Dir = dir
	return nil
}
