package directory

import (
	"fmt"
	"time"

	scim "github.com/muster-id/scim"
)

// A Directory is one connection of a tenant to its identity provider, as it is
// kept: what an administrator sees and changes. Requests are served with a
// [scim.Directory], which is made of it, of the tenant's verified domains and of
// the directory's mapping.
type Directory struct {
	Tenant string // the host's customer
	ID     string // unique in the tenant
	Name   string // for people

	// Provider is the identity provider, which is also the dialect that its
	// requests are read in; the zero value is [scim.Auto].
	Provider scim.Dialect

	Policy scim.Policy

	// Profile says which attribute of a user becomes which attribute of the
	// account's profile (rule E4): names of the application to paths, such as
	// "department" to
	// "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department".
	Profile map[string]string

	State State

	// Claims are the retired directories of the tenant whose people this one has
	// taken over ([Service.Rebind]), the latest last.
	Claims []string

	Created time.Time
	Changed time.Time // when any of this was changed last
	Retired time.Time // zero if it is not retired

	// Version grows with each change: [Service.Update] refuses a directory
	// that somebody else has changed since it was read.
	Version uint64

	// Warnings are what is allowed and probably not meant, a sentence each. They
	// are worked out when the directory is read.
	Warnings []string
}

// Key returns what every key of the directory's resources begins with.
func (d *Directory) Key() scim.Key { return scim.Key{Tenant: d.Tenant, Directory: d.ID} }

// A State says whether a directory provisions.
type State uint8

// The states.
const (
	Enabled State = iota // requests are served
	Paused               // every request is answered with 403; nothing else changes (rule B9)
	Retired              // for good: its people have become the application's, or lose access (rule B9)
)

var stateNames = [...]string{Enabled: "enabled", Paused: "paused", Retired: "retired"}

// String returns the state's name: enabled, paused or retired.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// MarshalText returns the state's name.
func (s State) MarshalText() ([]byte, error) {
	if int(s) >= len(stateNames) {
		return nil, fmt.Errorf("directory: %v is no state", s)
	}
	return []byte(stateNames[s]), nil
}

// UnmarshalText reads the state's name.
func (s *State) UnmarshalText(text []byte) error {
	for i, name := range stateNames {
		if name == string(text) {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("directory: state %q is none of enabled, paused, retired", text)
}
