package scim

// A ProfileMap says which attributes of a user become which attributes of the
// account's [Profile] (rule E4). It is immutable.
type ProfileMap struct{}
