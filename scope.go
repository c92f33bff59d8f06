package scim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// A Scope is what a client may do (rule E2); the zero value is everything. What
// is neither a user nor a group counts as a user, and so does /Me.
//
// An attribute goes with the resource that it is part of: who reads users sees
// in which groups each is, and who reads groups sees the ids and names of their
// members. To write one thing can change the other: a group's members get roles,
// and a user who is deleted leaves its groups. Discovery needs no scope.
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

// mayRead reports whether a client may read resources of the type.
func (s Scope) mayRead(t *ResourceType) bool {
	if t.IsGroup() {
		return s.Allows(ReadGroups)
	}
	return s.Allows(ReadUsers)
}

// check refuses a method on resources of the type, or a posted query about them,
// that the scope does not have.
func (s Scope) check(t *ResourceType, method string, search bool) error {
	if s == 0 {
		return nil
	}
	need := ReadUsers
	switch {
	case search:
	case method == http.MethodPost, method == http.MethodPut, method == http.MethodPatch, method == http.MethodDelete:
		need = WriteUsers
	}
	if t.IsGroup() {
		need <<= 2 // from users to groups
	}
	if !s.Allows(need) {
		return refuseScope(need.String())
	}
	return nil
}

func refuseScope(missing string) *Error {
	return refuse(http.StatusForbidden, "", "the token does not have the scope ", missing,
		" that this request needs; use one that has it: tokens are made in the application").because(ReasonScope)
}
