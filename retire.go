package scim

// Retirement says what becomes of the accounts of a directory that is given up
// (rule B9).
type Retirement uint8

// The retirements.
const (
	// ReleaseAccounts: users become manual, with the access and the roles that
	// they have.
	ReleaseAccounts Retirement = iota
	// DeactivateAll: nobody has access any more.
	DeactivateAll
	// RestoreAccounts: who was linked (rule A7) has the roles that were found
	// then, and access unless the provider has deactivated the person. Who came
	// with the directory has nothing to go back to: access ends.
	RestoreAccounts
)

var retirements = []string{ReleaseAccounts: "release", DeactivateAll: "deactivate", RestoreAccounts: "restore"}

// String returns the name: release, deactivate or restore.
func (r Retirement) String() string { return nameOf(retirements, r) }

// MarshalText returns the name.
func (r Retirement) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the name.
func (r *Retirement) UnmarshalText(text []byte) error { return named(retirements, r, text) }
