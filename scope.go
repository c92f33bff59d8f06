package scim

import (
	"fmt"
	"slices"
	"strings"
)

// A Scope is what a client may do (rule E2); the zero value is everything. What
// is neither a user nor a group counts as a user.
type Scope uint8

// The scopes. Who may write may read.
const (
	ReadUsers Scope = 1 << iota
	WriteUsers
	ReadGroups
	WriteGroups
)

var scopeNames = []string{"users:read", "users:write", "groups:read", "groups:write"} // by bit

// Allows reports whether the scope lets a client do what needs all of want.
func (s Scope) Allows(want Scope) bool {
	if s.Has(WriteUsers) {
		s |= ReadUsers
	}
	if s.Has(WriteGroups) {
		s |= ReadGroups
	}
	return s == 0 || s.Has(want)
}

// Has reports whether all of want are named in s.
func (s Scope) Has(want Scope) bool { return s&want == want }

// String returns the names, separated by spaces as in RFC 6749 section 3.3:
// users:read users:write groups:read groups:write.
func (s Scope) String() string {
	var names []string
	for i, name := range scopeNames {
		if s.Has(1 << i) {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// MarshalText returns what String does.
func (s Scope) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText returns.
func (s *Scope) UnmarshalText(text []byte) error {
	var all Scope
	for name := range strings.FieldsSeq(string(text)) {
		i := slices.Index(scopeNames, name)
		if i < 0 {
			return fmt.Errorf("scim: %q is none of the scopes %s", name, strings.Join(scopeNames, ", "))
		}
		all |= 1 << i
	}
	*s = all
	return nil
}
