package roles

import (
	"context"
	"slices"
	"strings"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
)

// A Mapper is a valid [Mapping], prepared for use: a [scim.RoleMapper] and a
// [scim.Binder]. It is immutable and safe for concurrent use. A nil Mapper maps
// nothing and has no default, so that nobody has a role by it.
type Mapper struct {
	mapping Mapping

	// rules[rank] is the rule of that rank, 1 for the highest; 0 is no rule.
	rules []rule

	// The rank of a rule that names its group so, the others with the same
	// selector follow by next. The keys of byName are folded.
	byID, byExternalID, byName map[string]int
}

type rule struct {
	selector, role string
	alone          []string // the selector as a list; callers must not change it
	next           int      // another rule with the same selector, which only Union has
}

var (
	_ scim.RoleMapper = (*Mapper)(nil)
	_ scim.Binder     = (*Mapper)(nil)
	_ scim.RoleMapper = ByDirectory(nil)
	_ scim.Binder     = ByDirectory(nil)
)

// New returns the mapper of a mapping, of which it keeps a copy. The error is
// an [*InvalidError] that lists everything wrong with it:
//
//   - a rule that names no group, or names it in several ways;
//   - a group named twice in the same way (under [Union], twice for the same
//     role);
//   - a rule without role, or with one that the application does not have;
//   - a protected role, in a rule (rule B7) or as the default (rule C6).
func New(m Mapping) (*Mapper, error) {
	if err := m.validate(); err != nil {
		return nil, err
	}
	mapper := &Mapper{
		mapping:      m.clone(),
		rules:        make([]rule, len(m.Rules)+1),
		byID:         map[string]int{},
		byExternalID: map[string]int{},
		byName:       map[string]int{},
	}
	for i, r := range m.Rules {
		index, key := mapper.index(r.Selector())
		mapper.rules[i+1] = rule{r.Selector(), r.Role, []string{r.Selector()}, index[key]}
		index[key] = i + 1
	}
	return mapper, nil
}

// index returns where the rules with that selector are found, and under which
// key; a nil map if it is not a selector of this package.
func (m *Mapper) index(selector string) (index map[string]int, key string) {
	if key, ok := strings.CutPrefix(selector, prefixName); ok {
		return m.byName, key
	}
	if key, ok := strings.CutPrefix(selector, prefixExternalID); ok {
		return m.byExternalID, key
	}
	if key, ok := strings.CutPrefix(selector, prefixID); ok {
		return m.byID, key
	}
	return nil, ""
}

// Mapping returns a copy of what the mapper was made of.
func (m *Mapper) Mapping() Mapping {
	if m == nil {
		return Mapping{}
	}
	return m.mapping.clone()
}

// Roles returns [Mapper.Grants] of the groups. There is never an error.
func (m *Mapper) Roles(_ context.Context, _ *scim.Directory, _ *scim.Resource, groups []scim.GroupRef) ([]scim.Grant, error) {
	return m.Grants(groups), nil
}

// A match is a rule that means one of a person's groups.
type match struct{ rank, group int }

// usualMatches is how many matches need no memory of their own.
const usualMatches = 16

// Grants returns what a person in these groups is granted: a pure function of
// the set of groups, whatever their order. Where several groups give a role,
// each of them is a grant. The result is in order of role and group, without
// duplicates, and the caller's to keep.
func (m *Mapper) Grants(groups []scim.GroupRef) []scim.Grant {
	if m == nil {
		return nil
	}
	var space [usualMatches]match
	found := m.appendMatches(space[:0], groups)
	if len(found) == 0 {
		if m.mapping.Default == "" {
			return nil
		}
		return []scim.Grant{{Role: m.mapping.Default, Source: scim.FromDefault}}
	}
	if m.mapping.Precedence == Priority {
		found = m.winners(found)
	}
	grants := make([]scim.Grant, len(found))
	for i, f := range found {
		grants[i] = scim.Grant{Role: m.rules[f.rank].role, Source: scim.FromGroup, Group: groups[f.group].ID}
	}
	return canonical(grants)
}

// winners keeps the matches that give the role of the highest rule: that rule's
// own, and those of lower rules for the same role.
func (m *Mapper) winners(found []match) []match {
	highest := found[0].rank
	for _, f := range found[1:] {
		highest = min(highest, f.rank)
	}
	role := m.rules[highest].role
	return slices.DeleteFunc(found, func(f match) bool { return m.rules[f.rank].role != role })
}

// appendMatches appends what rules mean which groups. The same match may come
// more than once.
func (m *Mapper) appendMatches(found []match, groups []scim.GroupRef) []match {
	for i := range groups {
		g := &groups[i]
		if len(m.byID) > 0 { // an id needs no binding
			found = m.appendRules(found, m.byID[g.ID], i)
		}
		if g.Bound == nil {
			found = m.appendRules(found, m.externalID(g.ExternalID), i)
			found = m.appendRules(found, m.name(g.DisplayName), i)
			continue
		}
		for _, selector := range g.Bound {
			if id, ok := strings.CutPrefix(selector, prefixID); ok && id == g.ID {
				continue // looked up already
			}
			index, key := m.index(selector)
			found = m.appendRules(found, index[key], i)
		}
	}
	return found
}

// appendRules appends the rule and those with the same selector.
func (m *Mapper) appendRules(found []match, rank, group int) []match {
	for ; rank != 0; rank = m.rules[rank].next {
		found = append(found, match{rank, group})
	}
	return found
}

// externalID returns a rule for groups with that externalId, 0 if there is
// none.
func (m *Mapper) externalID(id string) int {
	if len(m.byExternalID) == 0 {
		return 0
	}
	return m.byExternalID[id]
}

// name returns a rule for groups with that displayName, 0 if there is none.
// The name is folded as [attr.Fold] does, without allocating where it is of
// usual length.
func (m *Mapper) name(name string) int {
	if len(m.byName) == 0 {
		return 0
	}
	var space [64]byte
	if len(name) > len(space) {
		return m.byName[attr.Fold(name)]
	}
	return m.byName[string(attr.AppendFold(space[:0], name))]
}

// Selectors returns the selectors of rules that match the group as it is now,
// whatever it is bound to (rule C2).
func (m *Mapper) Selectors(_ *scim.Directory, g scim.GroupRef) []string {
	if m == nil {
		return nil
	}
	var selectors []string
	for _, rank := range [...]int{m.byID[g.ID], m.externalID(g.ExternalID), m.name(g.DisplayName)} {
		switch {
		case rank == 0:
		case selectors == nil: // nearly always the only one, and prepared
			selectors = m.rules[rank].alone
		default:
			selectors = append(slices.Clip(selectors), m.rules[rank].selector)
		}
	}
	return selectors
}

// Bind returns the groups with the selectors in Bound that they would have
// once this mapping is applied: those that they hold, and those of new rules,
// each to the first group that matches (rule C2). A preview needs it, because
// the rules of a mapping that is not applied yet are not bound. groups are all
// groups of the directory in order of id, held is what [scim.Tx.Bindings]
// returns. A selector of a deleted group goes to the group with the same
// externalId, if there is one, and to no other (rule C4).
func (m *Mapper) Bind(groups []scim.GroupRef, held map[string]scim.Binding) []scim.GroupRef {
	byID, byExternalID := make(map[string]int, len(groups)), make(map[string]int, len(groups))
	bound := slices.Clone(groups)
	for i := range bound {
		g := &bound[i]
		g.Bound = []string{} // not nil: bindings are kept, there is none yet
		byID[g.ID], byExternalID[g.ExternalID] = i, i
	}
	for selector, to := range held {
		i, ok := byID[to.GroupID]
		if !ok && to.ExternalID != "" {
			i, ok = byExternalID[to.ExternalID]
		}
		if ok {
			bound[i].Bound = append(bound[i].Bound, selector)
		}
	}
	claimed := map[string]bool{}
	for i := range bound {
		g := &bound[i]
		for _, selector := range m.Selectors(nil, *g) {
			if held[selector].GroupID == "" && !claimed[selector] {
				claimed[selector] = true
				g.Bound = append(g.Bound, selector)
			}
		}
		slices.Sort(g.Bound)
	}
	return bound
}

// ByDirectory is a [scim.RoleMapper] and [scim.Binder] for many tenants: it
// returns the mapper of each directory. It is called concurrently, several
// times a request, and must be quick.
//
// nil means that the directory has no mapping, and then nobody in it has a
// role: never answer it for a mapping that merely was not found in time.
type ByDirectory func(scim.Key) *Mapper

// Roles returns the roles by the directory's own mapping.
func (of ByDirectory) Roles(_ context.Context, d *scim.Directory, _ *scim.Resource, groups []scim.GroupRef) ([]scim.Grant, error) {
	return of(d.Key()).Grants(groups), nil
}

// Selectors returns those of the directory's own mapping.
func (of ByDirectory) Selectors(d *scim.Directory, g scim.GroupRef) []string {
	return of(d.Key()).Selectors(d, g)
}

// canonical sorts grants in the order in which they are stored, and drops
// duplicates.
func canonical(grants []scim.Grant) []scim.Grant {
	slices.SortFunc(grants, func(a, b scim.Grant) int {
		if c := strings.Compare(a.Role, b.Role); c != 0 {
			return c
		}
		if c := strings.Compare(string(a.Source), string(b.Source)); c != 0 {
			return c
		}
		return strings.Compare(a.Group, b.Group)
	})
	return slices.Compact(grants)
}
