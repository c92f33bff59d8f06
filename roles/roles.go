// Package roles turns the groups of an identity provider into the roles of the
// application: a [Mapping] is what an administrator writes, a [Mapper] is the
// [scim.RoleMapper] made of it, and [Preview] tells what changing it would do
// before it is done.
//
// # What a mapping does
//
//   - A [Rule] names one group and the role that its members have. Under
//     [Priority] the first rule in the administrator's list wins, under [Union]
//     a person has the roles of all groups. Neither depends on the order in
//     which groups arrive (rule C1).
//   - Who is in no mapped group has the default role; without one, no role at
//     all, and so no access. A mapped role replaces the default (rule C6).
//   - Every grant says where it comes from (rule C7). A Mapper never returns
//     manual grants, and knows nothing of them: they are kept beside its own.
//   - A protected role can be neither mapped nor the default (rules B7, C6).
//
// # Which group a rule means
//
// The key of a mapping is the group's id, but ids are the service provider's:
// before the first sync nobody knows them. A rule may therefore name a group by
// its externalId or by its displayName. Such a selector binds once, to the
// first group that matches (rule C2), and means that group from then on: a
// rename keeps the mapping (C3), and another group that takes the name later
// does not inherit it unless it has the same externalId (C4).
//
// Bindings are kept by the store, if it is a [scim.Ledger], and come back in
// [scim.GroupRef.Bound]. Where Bound is nil nothing is kept: then a rule means
// every group that has that externalId or name at the time, and C3 and C4 hold
// for rules by id alone.
//
// A selector is written "id:", "externalId:" or "name:" and the value, a name
// folded by [attr.Fold]. Rules by id have one too: they need no binding, but
// it lets a group that was deleted and comes back with its externalId have its
// mapping again (C4).
package roles

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/muster-id/scim/attr"
)

// A Mapping says which roles groups give. It reads and writes as one JSON
// document ([Parse]), and means nothing until [New] has accepted it.
//
//	{
//	  "rules": [
//	    {"groupId": "0198c5a2-…", "role": "admin"},
//	    {"groupName": "Engineers", "role": "editor"}
//	  ],
//	  "precedence": "priority",
//	  "default": "viewer"
//	}
//
// Roles and Protected are the application's to say, not its customers': where
// the document is a customer's, set both after reading it.
type Mapping struct {
	// Rules in the administrator's order, the highest first.
	Rules []Rule `json:"rules,omitempty"`

	// Precedence says what a person has who is in several mapped groups.
	Precedence Precedence `json:"precedence"`

	// Default is the role of who is in no mapped group; "" gives none.
	Default string `json:"default,omitempty"`

	// Protected roles are never granted by provisioning (rule B7): owner,
	// break-glass.
	Protected []string `json:"protected,omitempty"`

	// Roles lists the roles that the application has. With none any name is
	// accepted.
	Roles []string `json:"roles,omitempty"`
}

// A Rule gives the members of one group a role. Exactly one of GroupID,
// ExternalID and GroupName is set.
type Rule struct {
	GroupID    string `json:"groupId,omitempty"`    // the id that this service provider gave
	ExternalID string `json:"externalId,omitempty"` // the provider's identifier, exact
	GroupName  string `json:"groupName,omitempty"`  // displayName, case ignored
	Role       string `json:"role"`
}

// Selector returns what the rule names its group by, such as
// "name:engineers", or "" where it names none.
func (r Rule) Selector() string {
	switch {
	case r.GroupID != "":
		return prefixID + r.GroupID
	case r.ExternalID != "":
		return prefixExternalID + r.ExternalID
	case r.GroupName != "":
		return prefixName + attr.Fold(r.GroupName)
	default:
		return ""
	}
}

// What selectors begin with. They are stored ([scim.Tx.Bind]): changing one
// would lose every binding.
const (
	prefixID         = "id:"
	prefixExternalID = "externalId:"
	prefixName       = "name:"
)

// selects reports how many ways of naming a group the rule uses.
func (r Rule) selects() (n int) {
	for _, s := range [...]string{r.GroupID, r.ExternalID, r.GroupName} {
		if s != "" {
			n++
		}
	}
	return n
}

// Precedence says what a person has who is in several mapped groups (rule C1).
type Precedence uint8

// The precedences.
const (
	Priority Precedence = iota // the role of the first rule that matches, and no other
	Union                      // the roles of all rules that match
)

var precedences = [...]string{Priority: "priority", Union: "union"}

// String returns "priority" or "union".
func (p Precedence) String() string {
	if int(p) < len(precedences) {
		return precedences[p]
	}
	return "precedence " + strconv.Itoa(int(p))
}

// MarshalText returns "priority" or "union".
func (p Precedence) MarshalText() ([]byte, error) {
	if int(p) >= len(precedences) {
		return nil, fmt.Errorf("roles: %v is unknown", p)
	}
	return []byte(precedences[p]), nil
}

// UnmarshalText reads what MarshalText returns.
func (p *Precedence) UnmarshalText(text []byte) error {
	i := slices.Index(precedences[:], string(text))
	if i < 0 {
		return fmt.Errorf(`roles: precedence %q is neither "priority" nor "union"`, text)
	}
	*p = Precedence(i)
	return nil
}

// Parse reads a mapping from its JSON document. A member that a mapping does
// not have is an error: a misspelt "default" would leave people without
// access.
func Parse(document []byte) (Mapping, error) {
	var m Mapping
	d := json.NewDecoder(bytes.NewReader(document))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return Mapping{}, fmt.Errorf("roles: mapping: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Mapping{}, errors.New("roles: mapping: more follows after the document")
	}
	return m, nil
}

// An InvalidError tells all that is wrong with a mapping, so that a form can
// show it at once.
type InvalidError struct {
	Problems []Problem // at least one; in order of rules, then the mapping's own
}

// A Problem is one thing wrong with a mapping.
type Problem struct {
	Rule   int    // the rule's place in the list, 1 for the first; 0 for the mapping itself
	Detail string // a sentence for the administrator
}

// Error returns all problems in one line.
func (e *InvalidError) Error() string {
	var b strings.Builder
	b.WriteString("roles: mapping: ")
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteString("; ")
		}
		if p.Rule > 0 {
			fmt.Fprintf(&b, "rule %d: ", p.Rule)
		}
		b.WriteString(p.Detail)
	}
	return b.String()
}

// validate returns an [*InvalidError], or nil.
func (m *Mapping) validate() error {
	var problems []Problem
	report := func(rule int, format string, args ...any) {
		problems = append(problems, Problem{rule, fmt.Sprintf(format, args...)})
	}
	grantable := func(rule int, what, role string) {
		switch {
		case slices.Contains(m.Protected, role):
			report(rule, "%s %q is protected: it is given by hand, never by provisioning", what, role)
		case len(m.Roles) > 0 && !slices.Contains(m.Roles, role):
			report(rule, "%s %q is not one of the application's roles: %s", what, role, quoted(m.Roles))
		}
	}

	type said struct{ selector, role string }
	first := map[said]int{}
	for i, r := range m.Rules {
		n := i + 1
		switch selector := r.Selector(); r.selects() {
		case 0:
			report(n, "name a group by groupId, externalId or groupName")
		case 1:
			key := said{selector: selector}
			if m.Precedence == Union {
				// There a group may give several roles. By priority a
				// second rule could never win, so it is a mistake.
				key.role = r.Role
			}
			if was := first[key]; was != 0 {
				report(n, "%s is mapped by rule %d already", r.subject(), was)
			} else {
				first[key] = n
			}
		default:
			report(n, "name the group by one of groupId, externalId and groupName, not by several")
		}
		if r.Role == "" {
			report(n, "role is empty")
		} else {
			grantable(n, "role", r.Role)
		}
	}
	if m.Default != "" {
		grantable(0, "default role", m.Default)
	}
	if int(m.Precedence) >= len(precedences) {
		report(0, "%v is unknown", m.Precedence)
	}
	if slices.Contains(m.Roles, "") {
		report(0, "one of the application's roles is empty")
	}
	if problems != nil {
		return &InvalidError{problems}
	}
	return nil
}

// subject names the rule's group as the administrator wrote it.
func (r Rule) subject() string {
	switch {
	case r.GroupID != "":
		return fmt.Sprintf("the group with the id %q", r.GroupID)
	case r.ExternalID != "":
		return fmt.Sprintf("the group with the externalId %q", r.ExternalID)
	default:
		return fmt.Sprintf("the group with the name %q", r.GroupName)
	}
}

func (m Mapping) clone() Mapping {
	m.Rules, m.Protected, m.Roles = slices.Clone(m.Rules), slices.Clone(m.Protected), slices.Clone(m.Roles)
	return m
}

// quoted lists names for people.
func quoted(names []string) string {
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = strconv.Quote(n)
	}
	return strings.Join(q, ", ")
}
