package roles_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/roles"
)

func byGroup(role, group string) scim.Grant {
	return scim.Grant{Role: role, Source: scim.FromGroup, Group: group}
}

func byDefault(role string) scim.Grant { return scim.Grant{Role: role, Source: scim.FromDefault} }

// in returns references to groups of those ids as a store without bindings
// has them.
func in(ids ...string) []scim.GroupRef {
	groups := make([]scim.GroupRef, 0, len(ids))
	for _, id := range ids {
		groups = append(groups, scim.GroupRef{ID: id, ExternalID: "x-" + id, DisplayName: "Group " + id})
	}
	return groups
}

func TestC1Priority(t *testing.T) {
	t.Parallel()
	m := mapper(t, roles.Mapping{Rules: []roles.Rule{
		{GroupID: "g2", Role: "viewer"},
		{GroupName: "group g1", Role: "admin"},
		{ExternalID: "x-g3", Role: "viewer"},
		{GroupID: "g4", Role: "editor"},
	}})
	cases := []struct {
		why    string
		groups []scim.GroupRef
		want   []scim.Grant
	}{
		{"one group", in("g4"), []scim.Grant{byGroup("editor", "g4")}},
		{"the first in the list wins, not the first to arrive", in("g4", "g1"), []scim.Grant{byGroup("admin", "g1")}},
		{"the list decides, not what the roles are called", in("g1", "g2"), []scim.Grant{byGroup("viewer", "g2")}},
		{"a lower rule for the winning role is a source of it too", in("g3", "g1", "g2"), []scim.Grant{byGroup("viewer", "g2"), byGroup("viewer", "g3")}},
		{"unless that rule does not win for anybody", in("g3", "g1"), []scim.Grant{byGroup("admin", "g1")}},
		{"unmapped groups do not count", in("g9", "g4", "g8"), []scim.Grant{byGroup("editor", "g4")}},
	}
	for _, c := range cases {
		assert.Equal(t, c.want, m.Grants(c.groups), c.why)
	}
}

func TestC1Union(t *testing.T) {
	t.Parallel()
	m := mapper(t, roles.Mapping{Precedence: roles.Union, Default: "viewer", Rules: []roles.Rule{
		{GroupID: "g1", Role: "reader"},
		{GroupID: "g2", Role: "billing"},
		{GroupID: "g1", Role: "deployer"},
		{GroupName: "Group G1", Role: "reader"},
		{ExternalID: "x-g3", Role: "reader"},
		{GroupID: "g1", Role: "auditor"},
	}})
	assert.Equal(t, []scim.Grant{
		byGroup("auditor", "g1"),
		byGroup("billing", "g2"),
		byGroup("deployer", "g1"),
		byGroup("reader", "g1"),
		byGroup("reader", "g3"),
	}, m.Grants(in("g3", "g2", "g1")))
	assert.Equal(t, []scim.Grant{byGroup("billing", "g2")}, m.Grants(in("g2")))
}

// A person in more groups than there is space for on the stack.
func TestC1ManyGroups(t *testing.T) {
	t.Parallel()
	mapping := roles.Mapping{Precedence: roles.Union}
	var ids []string
	var want []scim.Grant
	for i := range 300 {
		id := fmt.Sprintf("g%03d", i)
		ids = append(ids, id)
		mapping.Rules = append(mapping.Rules, roles.Rule{GroupID: id, Role: "r"})
		want = append(want, byGroup("r", id))
	}
	groups := in(ids...)
	slices.Reverse(groups)
	assert.Equal(t, want, mapper(t, mapping).Grants(groups))

	mapping.Precedence = roles.Priority
	mapping.Rules = append([]roles.Rule{{GroupID: "g200", Role: "top"}}, slices.Delete(slices.Clone(mapping.Rules), 200, 201)...)
	assert.Equal(t, []scim.Grant{byGroup("top", "g200")}, mapper(t, mapping).Grants(groups))
}

func TestC2SelectorsWithoutBindings(t *testing.T) {
	t.Parallel()
	m := mapper(t, roles.Mapping{Precedence: roles.Union, Rules: []roles.Rule{
		{GroupID: "Ab", Role: "id"},
		{ExternalID: "Ab", Role: "externalId"},
		{GroupName: "Ἀρχή Kelvin", Role: "name"},
	}})
	cases := []struct {
		why   string
		group scim.GroupRef
		want  []scim.Grant
	}{
		{"id", scim.GroupRef{ID: "Ab"}, []scim.Grant{byGroup("id", "Ab")}},
		{"ids are exact", scim.GroupRef{ID: "ab"}, nil},
		{"externalId", scim.GroupRef{ID: "1", ExternalID: "Ab"}, []scim.Grant{byGroup("externalId", "1")}},
		{"externalIds are exact, RFC 7643 section 3.1", scim.GroupRef{ID: "1", ExternalID: "ab"}, nil},
		{"displayName without case", scim.GroupRef{ID: "1", DisplayName: "ἀΡΧΉ \u212AELVIN"}, []scim.Grant{byGroup("name", "1")}},
		{"all of the name", scim.GroupRef{ID: "1", DisplayName: "Ἀρχή Kelvin 2"}, nil},
		{"a selector is not taken for a value", scim.GroupRef{ID: "id:Ab", ExternalID: "externalId:Ab", DisplayName: "name:ἀρχή kelvin"}, nil},
		{"nothing given", scim.GroupRef{}, nil},
	}
	for _, c := range cases {
		assert.Equal(t, c.want, m.Grants([]scim.GroupRef{c.group}), c.why)
	}
}

func TestC2SelectorsWithBindings(t *testing.T) {
	t.Parallel()
	m := mapper(t, roles.Mapping{Precedence: roles.Union, Rules: []roles.Rule{
		{GroupID: "g1", Role: "id"},
		{ExternalID: "x1", Role: "externalId"},
		{GroupName: "Staff", Role: "name"},
	}})
	cases := []struct {
		why   string
		group scim.GroupRef
		want  []scim.Grant
	}{
		{"an id needs no binding", scim.GroupRef{ID: "g1", Bound: []string{}}, []scim.Grant{byGroup("id", "g1")}},
		{"a bound id is one grant", scim.GroupRef{ID: "g1", Bound: []string{"id:g1"}}, []scim.Grant{byGroup("id", "g1")}},
		{"an inherited id (C4)", scim.GroupRef{ID: "g2", Bound: []string{"id:g1"}}, []scim.Grant{byGroup("id", "g2")}},
		{"externalId", scim.GroupRef{ID: "g2", Bound: []string{"externalId:x1"}}, []scim.Grant{byGroup("externalId", "g2")}},
		{"name", scim.GroupRef{ID: "g2", Bound: []string{"name:staff"}}, []scim.Grant{byGroup("name", "g2")}},
		{"what is not claimed does not count", scim.GroupRef{ID: "g2", ExternalID: "x1", DisplayName: "Staff", Bound: []string{}}, nil},
		{"selectors of rules that are gone", scim.GroupRef{ID: "g2", Bound: []string{"name:interns", "id:g7", "nonsense", ""}}, nil},
	}
	for _, c := range cases {
		assert.Equal(t, c.want, m.Grants([]scim.GroupRef{c.group}), c.why)
	}
}

func TestC2Selectors(t *testing.T) {
	t.Parallel()
	m := mapper(t, roles.Mapping{Precedence: roles.Union, Rules: []roles.Rule{
		{GroupName: "Staff", Role: "a"},
		{GroupName: "STAFF", Role: "b"},
		{GroupID: "g1", Role: "a"},
		{ExternalID: "x1", Role: "a"},
	}})
	assert.Equal(t, []string{"id:g1", "externalId:x1", "name:staff"},
		m.Selectors(nil, scim.GroupRef{ID: "g1", ExternalID: "x1", DisplayName: "sTAFF"}), "each once")
	assert.Equal(t, []string{"name:staff"},
		m.Selectors(nil, scim.GroupRef{ID: "g2", DisplayName: "Staff", Bound: []string{"id:g1"}}), "as the group is now")
	assert.Empty(t, m.Selectors(nil, scim.GroupRef{ID: "g2"}))
	assert.Empty(t, (*roles.Mapper)(nil).Selectors(nil, scim.GroupRef{ID: "g1"}))
}

// ledger keeps groups and bindings as a managed store and the engine do.
type ledger struct {
	groups   []scim.GroupRef
	bindings map[string]scim.Binding
}

// refs returns the groups with what they have claimed, after each has claimed
// what is free.
func (l *ledger) refs(m *roles.Mapper) map[string]scim.GroupRef {
	refs := map[string]scim.GroupRef{}
	for _, g := range m.Bind(l.groups, l.bindings) {
		refs[g.ID] = g
		for _, s := range g.Bound {
			l.bindings[s] = scim.Binding{GroupID: g.ID, ExternalID: g.ExternalID}
		}
	}
	return refs
}

func (l *ledger) grants(m *roles.Mapper, group string) []scim.Grant {
	return m.Grants([]scim.GroupRef{l.refs(m)[group]})
}

func TestC2BindsOnceToTheFirst(t *testing.T) {
	t.Parallel()
	m := mapper(t, roles.Mapping{Rules: []roles.Rule{{GroupName: "Staff", Role: "editor"}, {ExternalID: "x", Role: "admin"}}})
	l := &ledger{bindings: map[string]scim.Binding{}}
	require.Empty(t, l.refs(m), "a mapping may be written before the first sync")

	l.groups = []scim.GroupRef{{ID: "g1", DisplayName: "staff"}, {ID: "g2", DisplayName: "STAFF"}}
	assert.Equal(t, []scim.Grant{byGroup("editor", "g1")}, l.grants(m, "g1"))
	assert.Empty(t, l.grants(m, "g2"))

	l.groups[1].ExternalID = "x"
	assert.Equal(t, []scim.Grant{byGroup("admin", "g2")}, l.grants(m, "g2"))
	l.groups[1].ExternalID = "y"
	assert.Equal(t, []scim.Grant{byGroup("admin", "g2")}, l.grants(m, "g2"), "bound for good")
}

func TestC3RenameKeeps(t *testing.T) {
	t.Parallel()
	m := mapper(t, roles.Mapping{Rules: []roles.Rule{{GroupName: "Staff", Role: "editor"}}})
	l := &ledger{groups: []scim.GroupRef{{ID: "g1", DisplayName: "Staff"}}, bindings: map[string]scim.Binding{}}
	before := l.grants(m, "g1")
	require.Equal(t, []scim.Grant{byGroup("editor", "g1")}, before)

	l.groups[0].DisplayName = "Crew"
	assert.Equal(t, before, l.grants(m, "g1"))

	l.groups = append(l.groups, scim.GroupRef{ID: "g2", DisplayName: "Staff"})
	assert.Empty(t, l.grants(m, "g2"), "the name is free, the mapping is not")
	assert.Equal(t, before, l.grants(m, "g1"))
}

func TestC4NamesakeDoesNotInherit(t *testing.T) {
	t.Parallel()
	for selector, rule := range map[string]roles.Rule{
		"id":         {GroupID: "g1", Role: "editor"},
		"externalId": {ExternalID: "x1", Role: "editor"},
		"name":       {GroupName: "Staff", Role: "editor"},
	} {
		t.Run(selector, func(t *testing.T) {
			t.Parallel()
			m := mapper(t, roles.Mapping{Rules: []roles.Rule{rule}})
			l := &ledger{groups: []scim.GroupRef{{ID: "g1", ExternalID: "x1", DisplayName: "Staff"}}, bindings: map[string]scim.Binding{}}
			require.NotEmpty(t, l.grants(m, "g1"))

			l.groups = []scim.GroupRef{
				{ID: "g2", DisplayName: "Staff"},
				{ID: "g3", ExternalID: "x3", DisplayName: "Staff"},
			}
			assert.Empty(t, l.grants(m, "g2"), "same name")
			assert.Empty(t, l.grants(m, "g3"), "same name, another externalId")

			l.groups = append(l.groups, scim.GroupRef{ID: "g4", ExternalID: "x1", DisplayName: "Renamed meanwhile"})
			assert.Equal(t, []scim.Grant{byGroup("editor", "g4")}, l.grants(m, "g4"), "same externalId")
			assert.Empty(t, l.grants(m, "g2"))
		})
	}
}

// A group without externalId that was deleted has no heir: "" is not an
// externalId that two groups share.
func TestC4NoExternalIDIsNoHeir(t *testing.T) {
	t.Parallel()
	m := mapper(t, roles.Mapping{Rules: []roles.Rule{{GroupName: "Staff", Role: "editor"}}})
	l := &ledger{groups: []scim.GroupRef{{ID: "g2", DisplayName: "Staff"}}, bindings: map[string]scim.Binding{
		"name:staff": {GroupID: "g1"},
	}}
	assert.Empty(t, l.grants(m, "g2"))
}

func TestBindLeavesItsArgumentsAlone(t *testing.T) {
	t.Parallel()
	m := mapper(t, roles.Mapping{Rules: []roles.Rule{{GroupName: "Staff", Role: "editor"}, {GroupID: "g1", Role: "admin"}}})
	groups := []scim.GroupRef{{ID: "g1", DisplayName: "Staff", Bound: []string{"name:old"}}, {ID: "g2"}}
	held := map[string]scim.Binding{"name:crew": {GroupID: "g1"}}
	bound := m.Bind(groups, held)
	assert.Equal(t, []string{"id:g1", "name:crew", "name:staff"}, bound[0].Bound)
	assert.NotNil(t, bound[1].Bound, "nil would say that no bindings are kept")
	assert.Equal(t, []string{"name:old"}, groups[0].Bound)
	assert.Len(t, held, 1)
}

func TestC6Default(t *testing.T) {
	t.Parallel()
	rules := []roles.Rule{{GroupID: "g1", Role: "editor"}}
	for _, p := range []roles.Precedence{roles.Priority, roles.Union} {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			m := mapper(t, roles.Mapping{Rules: rules, Precedence: p, Default: "viewer"})
			assert.Equal(t, []scim.Grant{byDefault("viewer")}, m.Grants(nil), "in no group")
			assert.Equal(t, []scim.Grant{byDefault("viewer")}, m.Grants(in("g2", "g3")), "in no mapped group")
			assert.Equal(t, []scim.Grant{byGroup("editor", "g1")}, m.Grants(in("g1")), "a mapped role replaces it")

			m = mapper(t, roles.Mapping{Rules: rules, Precedence: p})
			assert.Empty(t, m.Grants(nil), "no access if unset")
			assert.Empty(t, m.Grants(in("g2")))
		})
	}
}

// The default given by a group is a grant of that group, so that leaving the
// group is seen to change where the role comes from.
func TestC7DefaultRoleFromAGroup(t *testing.T) {
	t.Parallel()
	m := mapper(t, roles.Mapping{Rules: []roles.Rule{{GroupID: "g1", Role: "viewer"}}, Default: "viewer"})
	assert.Equal(t, []scim.Grant{byGroup("viewer", "g1")}, m.Grants(in("g1")))
}

// The caller may keep and change what it is given.
func TestGrantsAreTheCallers(t *testing.T) {
	t.Parallel()
	m := mapper(t, roles.Mapping{Rules: []roles.Rule{{GroupID: "g1", Role: "editor"}}, Default: "viewer"})
	m.Grants(nil)[0].Role = "admin"
	m.Grants(in("g1"))[0].Role = "admin"
	assert.Equal(t, []scim.Grant{byDefault("viewer")}, m.Grants(nil))
	assert.Equal(t, []scim.Grant{byGroup("editor", "g1")}, m.Grants(in("g1")))
}

func TestNilMapperGivesNothing(t *testing.T) {
	t.Parallel()
	grants, err := (*roles.Mapper)(nil).Roles(t.Context(), nil, nil, in("g1"))
	require.NoError(t, err)
	assert.Empty(t, grants)
}

func TestByDirectory(t *testing.T) {
	t.Parallel()
	acme, globex := scim.Key{Tenant: "acme", Directory: "okta"}, scim.Key{Tenant: "globex", Directory: "okta"}
	mappers := map[scim.Key]*roles.Mapper{
		acme:   mapper(t, roles.Mapping{Rules: []roles.Rule{{GroupName: "Staff", Role: "admin"}}}),
		globex: mapper(t, roles.Mapping{Rules: []roles.Rule{{GroupID: "g1", Role: "viewer"}}}),
	}
	of := roles.ByDirectory(func(k scim.Key) *roles.Mapper { return mappers[k] })
	groups := []scim.GroupRef{{ID: "g1", DisplayName: "Staff"}}
	cases := []struct {
		directory scim.Key
		grants    []scim.Grant
		selectors []string
	}{
		{acme, []scim.Grant{byGroup("admin", "g1")}, []string{"name:staff"}},
		{globex, []scim.Grant{byGroup("viewer", "g1")}, []string{"id:g1"}},
		{scim.Key{Tenant: "acme", Directory: "entra"}, nil, nil},
	}
	for _, c := range cases {
		d := &scim.Directory{Tenant: c.directory.Tenant, ID: c.directory.Directory}
		grants, err := of.Roles(t.Context(), d, nil, groups)
		require.NoError(t, err)
		assert.Equal(t, c.grants, grants, c.directory)
		assert.Equal(t, c.selectors, of.Selectors(d, groups[0]), c.directory)
	}
}

// world makes random mappings and groups that meet often.
type world struct{ *rand.Rand }

func newWorld() world { return world{rand.New(rand.NewPCG(1, 2))} }

func (w world) pick(of ...string) string { return of[w.IntN(len(of))] }

func (w world) id() string  { return "g" + w.pick("1", "2", "3", "4", "5", "6") }
func (w world) ext() string { return "x" + w.pick("1", "2", "3", "4") }
func (w world) name() string {
	return w.pick("Staff", "staff", "STAFF", "Crew", "crew", "Übung", "üBUNG")
}
func (w world) role() string { return w.pick("admin", "editor", "viewer") }

func (w world) mapping() roles.Mapping {
	for {
		m := roles.Mapping{Precedence: roles.Precedence(w.IntN(2)), Default: w.pick("", "viewer", "guest")}
		for range w.IntN(8) {
			r := roles.Rule{Role: w.role()}
			switch w.IntN(3) {
			case 0:
				r.GroupID = w.id()
			case 1:
				r.ExternalID = w.ext()
			default:
				r.GroupName = w.name()
			}
			m.Rules = append(m.Rules, r)
		}
		if _, err := roles.New(m); err == nil {
			return m
		}
	}
}

func (w world) groups() []scim.GroupRef {
	bindings := w.IntN(2) == 0
	var groups []scim.GroupRef
	for _, i := range w.Perm(6)[:w.IntN(6)] {
		g := scim.GroupRef{ID: fmt.Sprint("g", i+1), DisplayName: w.name()}
		if w.IntN(2) == 0 {
			g.ExternalID = w.ext()
		}
		if bindings {
			g.Bound = []string{}
			for range w.IntN(3) {
				g.Bound = append(g.Bound, w.pick("id:"+w.id(), "externalId:"+w.ext(), "name:"+attr.Fold(w.name())))
			}
		}
		groups = append(groups, g)
	}
	return groups
}

// model computes what the rules of semantics C1, C2, C6 and C7 say, in the
// most obvious way.
func model(m roles.Mapping, groups []scim.GroupRef) []scim.Grant {
	matches := func(r roles.Rule, g scim.GroupRef) bool {
		switch {
		case slices.Contains(g.Bound, r.Selector()):
			return true
		case r.GroupID != "":
			return r.GroupID == g.ID
		case g.Bound != nil:
			return false
		case r.ExternalID != "":
			return r.ExternalID == g.ExternalID
		default:
			return strings.EqualFold(r.GroupName, g.DisplayName)
		}
	}
	var all []scim.Grant
	for _, r := range m.Rules {
		for _, g := range groups {
			if matches(r, g) {
				all = append(all, byGroup(r.Role, g.ID))
			}
		}
	}
	if len(all) == 0 {
		if m.Default == "" {
			return nil
		}
		return []scim.Grant{byDefault(m.Default)}
	}
	var grants []scim.Grant
	for _, g := range all {
		if m.Precedence == roles.Union || g.Role == all[0].Role {
			grants = append(grants, g)
		}
	}
	slices.SortFunc(grants, func(a, b scim.Grant) int {
		return strings.Compare(a.Role+"\x00"+a.Group, b.Role+"\x00"+b.Group)
	})
	return slices.Compact(grants)
}

func TestPropertyGrantsAreTheModels(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for range 5000 {
		mapping, groups := w.mapping(), w.groups()
		require.Equal(t, model(mapping, groups), mapper(t, mapping).Grants(groups), "%+v\n%+v", mapping, groups)
	}
}

func TestPropertyC1OrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for range 2000 {
		m, groups := mapper(t, w.mapping()), w.groups()
		want := m.Grants(groups)
		w.Shuffle(len(groups), func(i, j int) { groups[i], groups[j] = groups[j], groups[i] })
		for _, g := range groups {
			w.Shuffle(len(g.Bound), func(i, j int) { g.Bound[i], g.Bound[j] = g.Bound[j], g.Bound[i] })
		}
		require.Equal(t, want, m.Grants(groups))
		if len(groups) > 0 {
			require.Equal(t, want, m.Grants(append(groups, groups[0])), "nor does repetition")
		}
	}
}

func TestPropertyUnmappedGroupChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for range 2000 {
		m, groups := mapper(t, w.mapping()), w.groups()
		more := scim.GroupRef{ID: "other", ExternalID: "other", DisplayName: "Other"}
		if w.IntN(2) == 0 {
			more.Bound = []string{"name:other"}
		}
		require.Equal(t, m.Grants(groups), m.Grants(slices.Insert(slices.Clone(groups), w.IntN(len(groups)+1), more)))
	}
}

// Provisioning never grants what is protected, however it is mapped.
func TestPropertyB7NeverAProtectedRole(t *testing.T) {
	t.Parallel()
	w := newWorld()
	accepted := 0
	for range 2000 {
		mapping := w.mapping()
		mapping.Protected = []string{w.role()}
		m, err := roles.New(mapping)
		if err != nil {
			continue
		}
		accepted++
		for _, g := range m.Grants(w.groups()) {
			require.NotEqual(t, mapping.Protected[0], g.Role)
		}
	}
	require.Greater(t, accepted, 100)
}

// A name that a rule is written with and one that a provider sends are folded
// by different code, which has to agree.
func FuzzNameFolding(f *testing.F) {
	for _, s := range []string{"Engineers", "STRAẞE", "\u212Aelvin", "ſ", "ΑΣ ς", "\xff\xfeA", "İı", strings.Repeat("Ä", 200)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if name == "" {
			return
		}
		m := mapper(t, roles.Mapping{Rules: []roles.Rule{{GroupName: name, Role: "r"}}})
		for _, as := range []string{name, attr.Fold(name), strings.ToUpper(name)} {
			got := m.Grants([]scim.GroupRef{{ID: "g", DisplayName: as}})
			if want := attr.Fold(as) == attr.Fold(name); want != (len(got) == 1) {
				t.Errorf("%q as %q: %v", name, as, got)
			}
		}
	})
}

// twenty is a mapping of twenty rules, which begin with those of three groups
// that a user is in.
func twenty(selector func(i int) roles.Rule) roles.Mapping {
	m := roles.Mapping{Default: "viewer"}
	for i := range 20 {
		r := selector(i)
		r.Role = fmt.Sprint("role-", i%5)
		m.Rules = append(m.Rules, r)
	}
	return m
}

func groupID(i int) string   { return fmt.Sprintf("0198c5a2-7b1e-7c3d-9f00-%012d", i) }
func groupName(i int) string { return fmt.Sprintf("Engineering Team %d", i) }
func groupExt(i int) string  { return fmt.Sprintf("5f3f0000-aaaa-bbbb-cccc-%012d", i) }

// speeds are the ways in which a rule can name a group, and a store can say
// which group that is.
func speeds() map[string]struct {
	mapping roles.Mapping
	groups  []scim.GroupRef
} {
	type way = struct {
		mapping roles.Mapping
		groups  []scim.GroupRef
	}
	byID := func(i int) roles.Rule { return roles.Rule{GroupID: groupID(i)} }
	byName := func(i int) roles.Rule { return roles.Rule{GroupName: groupName(i)} }
	mixed := func(i int) roles.Rule {
		switch i % 3 {
		case 0:
			return byID(i)
		case 1:
			return roles.Rule{ExternalID: groupExt(i)}
		default:
			return byName(i)
		}
	}
	groups := func(bound func(i int) roles.Rule) []scim.GroupRef {
		var refs []scim.GroupRef
		for i := range 3 {
			g := scim.GroupRef{ID: groupID(i), ExternalID: groupExt(i), DisplayName: groupName(i)}
			if bound != nil {
				g.Bound = []string{bound(i).Selector()}
			}
			refs = append(refs, g)
		}
		return refs
	}
	union := twenty(byID)
	union.Precedence = roles.Union
	return map[string]way{
		"id":             {twenty(byID), groups(nil)},
		"id/union":       {union, groups(nil)},
		"id/bound":       {twenty(byID), groups(byID)},
		"name":           {twenty(byName), groups(nil)},
		"name/bound":     {twenty(byName), groups(byName)},
		"mixed":          {twenty(mixed), groups(nil)},
		"mixed/bound":    {twenty(mixed), groups(mixed)},
		"none of twenty": {twenty(func(i int) roles.Rule { return byID(i + 100) }), groups(nil)},
	}
}

func TestRolesAllocatesOnce(t *testing.T) {
	for name, s := range speeds() {
		m := mapper(t, s.mapping)
		got := testing.AllocsPerRun(100, func() { _, _ = m.Roles(t.Context(), nil, nil, s.groups) })
		assert.LessOrEqual(t, got, 1.0, name)
	}
}

func BenchmarkRoles(b *testing.B) {
	for name, s := range speeds() {
		b.Run(name, func(b *testing.B) {
			m, ctx := mapper(b, s.mapping), b.Context()
			b.ReportAllocs()
			for b.Loop() {
				_, _ = m.Roles(ctx, nil, nil, s.groups)
			}
		})
	}
}
