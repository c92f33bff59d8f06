package roles

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	scim "github.com/muster-id/scim"
)

// A Member is a person whose roles a change of the mapping may change.
type Member struct {
	User        string // the user's id
	DisplayName string // for people to read

	// Groups that have the user as a member. Where bindings are kept, Bound
	// has them as they will be: see [Mapper.Bind].
	Groups []scim.GroupRef

	// Manual are the grants that somebody gave by hand. Others among them are
	// ignored, so that it may be [scim.AccountState.Grants] as it is.
	Manual []scim.Grant
}

// A Change is what a change of the mapping does to one person.
type Change struct {
	User, DisplayName string

	Before, After []scim.Grant // all grants, manual ones included, in canonical order
	Gained, Lost  []string     // roles, sorted; both empty where a role only comes from elsewhere
	Why           string       // for the administrator, in plain words
}

// LosesAccess reports whether the person has a role now and none afterwards.
func (c *Change) LosesAccess() bool { return len(c.Before) > 0 && len(c.After) == 0 }

// Preview yields what replacing one mapping by another changes (rule C5), in
// the order of members; who keeps the same grants is left out. It is pure:
// nothing is stored, no binding made, and a change is exactly what computing
// the grants of that person anew would find. Either mapper may be nil, for no
// mapping.
func Preview(before, after *Mapper, members iter.Seq[Member]) iter.Seq[Change] {
	return func(yield func(Change) bool) {
		for member := range members {
			c := Change{
				User:        member.User,
				DisplayName: member.DisplayName,
				Before:      withManual(before.Grants(member.Groups), member.Manual),
				After:       withManual(after.Grants(member.Groups), member.Manual),
			}
			if slices.Equal(c.Before, c.After) {
				continue
			}
			is, was := roleNames(c.After), roleNames(c.Before)
			c.Gained, c.Lost = without(is, was), without(was, is)
			c.Why = reasons{&c, before, after, member.Groups}.String()
			if !yield(c) {
				return
			}
		}
	}
}

// withManual adds the manual grants to those of a mapper (rule C7).
func withManual(grants, manual []scim.Grant) []scim.Grant {
	for _, g := range manual {
		if g.Source == scim.Manual {
			grants = append(grants, g)
		}
	}
	return canonical(grants)
}

// roleNames returns the names of the roles, each once. The grants are in
// canonical order, so the names are sorted.
func roleNames(grants []scim.Grant) []string {
	var names []string
	for _, g := range grants {
		if len(names) == 0 || names[len(names)-1] != g.Role {
			names = append(names, g.Role)
		}
	}
	return names
}

// without returns the names that are not among others.
func without(names, others []string) []string {
	var rest []string
	for _, n := range names {
		if !slices.Contains(others, n) {
			rest = append(rest, n)
		}
	}
	return rest
}

// reasons explains a change.
type reasons struct {
	*Change
	before, after *Mapper
	groups        []scim.GroupRef
}

func (r reasons) String() string {
	var say []string
	for _, role := range r.Gained {
		say = append(say, fmt.Sprintf("gains %q %s", role, r.origin(grantsOf(r.After, role))))
	}
	for _, role := range r.Lost {
		say = append(say, fmt.Sprintf("loses %q: %s", role, r.loss(role)))
	}
	for _, role := range roleNames(r.After) {
		was, is := grantsOf(r.Before, role), grantsOf(r.After, role)
		if len(was) > 0 && !slices.Equal(was, is) {
			say = append(say, fmt.Sprintf("keeps %q %s", role, r.origin(is)))
		}
	}
	return strings.Join(say, "; ")
}

// origin says where grants of one role come from.
func (r reasons) origin(grants []scim.Grant) string {
	var from []string
	if groups := groupsIn(grants); len(groups) > 0 {
		from = append(from, "from "+r.name(groups))
	}
	for _, g := range grants {
		switch g.Source {
		case scim.FromDefault:
			from = append(from, "as the default role")
		case scim.Manual:
			from = append(from, "given by hand")
		case scim.FromGroup: // said already, all together
		}
	}
	return strings.Join(from, " and ")
}

// loss says why the person no longer has the role. It did not have it by hand:
// that stays.
func (r reasons) loss(role string) string {
	groups := groupsIn(grantsOf(r.Before, role))
	if len(groups) == 0 {
		return r.lossOfDefault(role)
	}
	if still := r.after.giving(role, r.groups); len(still) > 0 {
		// Only by priority can a rule match and give nothing.
		return fmt.Sprintf("%q ranks higher, from %s", r.mapped()[0].Role, r.name(groupsIn(r.mapped())))
	}
	return "no longer from " + r.name(groups)
}

func (r reasons) lossOfDefault(role string) string {
	switch now := r.after.Mapping().Default; now {
	case role:
		return "it is for those in no mapped group, now there is " + r.name(groupsIn(r.mapped()))
	case "":
		return "there is no default role any more"
	default:
		return fmt.Sprintf("the default role is now %q", now)
	}
}

// mapped returns the grants that the person will have from groups.
func (r reasons) mapped() []scim.Grant {
	return slices.DeleteFunc(slices.Clone(r.After), func(g scim.Grant) bool { return g.Source != scim.FromGroup })
}

// name names groups for people, each once.
func (r reasons) name(ids []string) string {
	names := make([]string, 0, len(ids))
	for _, id := range ids {
		name := id
		for _, g := range r.groups {
			if g.ID == id && g.DisplayName != "" {
				name = g.DisplayName
			}
		}
		names = append(names, name)
	}
	if len(names) == 1 {
		return "group " + strconv.Quote(names[0])
	}
	slices.Sort(names)
	return "groups " + quoted(names)
}

// giving returns the ids of the groups that a rule maps to the role, also
// where a higher rule wins.
func (m *Mapper) giving(role string, groups []scim.GroupRef) []string {
	if m == nil {
		return nil
	}
	var ids []string
	for _, f := range m.appendMatches(nil, groups) {
		if m.rules[f.rank].role == role {
			ids = append(ids, groups[f.group].ID)
		}
	}
	return ids
}

// grantsOf returns the grants of one role. Grants are in canonical order, so
// they stand together.
func grantsOf(grants []scim.Grant, role string) []scim.Grant {
	var of []scim.Grant
	for _, g := range grants {
		if g.Role == role {
			of = append(of, g)
		}
	}
	return of
}

// groupsIn returns the ids of the groups that grants come from, each once.
func groupsIn(grants []scim.Grant) []string {
	var ids []string
	for _, g := range grants {
		if g.Source == scim.FromGroup && !slices.Contains(ids, g.Group) {
			ids = append(ids, g.Group)
		}
	}
	return ids
}

// A Summary is a preview at a glance.
type Summary struct {
	Changed       int           // people whose grants change
	Gain          []string      // users who gain a role, in the order of the changes
	Lose          []string      // users who lose one; some gain another
	WithoutAccess []string      // users who have a role now and none afterwards
	Roles         []RoleSummary // roles that somebody gains or loses, sorted by name
}

// A RoleSummary counts who gains and who loses a role: administrators, for
// one.
type RoleSummary struct {
	Role         string
	Gained, Lost int
}

// Summarize adds up the changes of a [Preview].
func Summarize(changes iter.Seq[Change]) Summary {
	var s Summary
	roles := map[string]*RoleSummary{}
	role := func(name string) *RoleSummary {
		if roles[name] == nil {
			roles[name] = &RoleSummary{Role: name}
		}
		return roles[name]
	}
	for c := range changes {
		s.Changed++
		if len(c.Gained) > 0 {
			s.Gain = append(s.Gain, c.User)
		}
		if len(c.Lost) > 0 {
			s.Lose = append(s.Lose, c.User)
		}
		if c.LosesAccess() {
			s.WithoutAccess = append(s.WithoutAccess, c.User)
		}
		for _, name := range c.Gained {
			role(name).Gained++
		}
		for _, name := range c.Lost {
			role(name).Lost++
		}
	}
	for _, r := range roles {
		s.Roles = append(s.Roles, *r)
	}
	slices.SortFunc(s.Roles, func(a, b RoleSummary) int { return strings.Compare(a.Role, b.Role) })
	return s
}

// String returns the counts in one line, such as "3 people change: 2 gain a
// role, 1 loses one, 1 ends without access".
func (s Summary) String() string {
	if s.Changed == 0 {
		return "nobody changes"
	}
	return fmt.Sprintf("%s: %s a role, %s one, %s without access",
		counted(s.Changed, "person changes", "people change"),
		counted(len(s.Gain), "gains", "gain"),
		counted(len(s.Lose), "loses", "lose"),
		counted(len(s.WithoutAccess), "ends", "end"))
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}
