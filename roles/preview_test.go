package roles_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/roles"
)

func byHand(role string) scim.Grant { return scim.Grant{Role: role, Source: scim.Manual} }

var (
	staff = scim.GroupRef{ID: "g1", DisplayName: "Staff"}
	crew  = scim.GroupRef{ID: "g2", DisplayName: "Crew"}
	bare  = scim.GroupRef{ID: "g3"}
)

// preview of one person.
func preview(t *testing.T, before, after *roles.Mapper, m roles.Member) *roles.Change {
	t.Helper()
	changes := slices.Collect(roles.Preview(before, after, slices.Values([]roles.Member{m})))
	if len(changes) == 0 {
		return nil
	}
	require.Len(t, changes, 1)
	return &changes[0]
}

func TestC5PreviewSaysWhy(t *testing.T) {
	t.Parallel()
	rule := func(group, role string) roles.Rule { return roles.Rule{GroupID: group, Role: role} }
	mapping := func(fallback string, rules ...roles.Rule) *roles.Mapper {
		return mapper(t, roles.Mapping{Rules: rules, Default: fallback})
	}
	union := func(rules ...roles.Rule) *roles.Mapper {
		return mapper(t, roles.Mapping{Rules: rules, Precedence: roles.Union})
	}
	cases := []struct {
		name          string
		before, after *roles.Mapper
		groups        []scim.GroupRef
		manual        []scim.Grant
		gained, lost  []string
		why           string
	}{
		{
			name: "first mapping", before: nil, after: mapping("", rule("g1", "editor")),
			groups: []scim.GroupRef{staff},
			gained: []string{"editor"}, why: `gains "editor" from group "Staff"`,
		},
		{
			name: "mapping removed", before: mapping("", rule("g1", "editor")), after: nil,
			groups: []scim.GroupRef{staff},
			lost:   []string{"editor"}, why: `loses "editor": no longer from group "Staff"`,
		},
		{
			name: "C6/default added", before: nil, after: mapping("viewer"),
			gained: []string{"viewer"}, why: `gains "viewer" as the default role`,
		},
		{
			name: "C6/default removed", before: mapping("viewer"), after: nil,
			lost: []string{"viewer"}, why: `loses "viewer": there is no default role any more`,
		},
		{
			name: "C6/default changed", before: mapping("viewer"), after: mapping("guest"),
			gained: []string{"guest"}, lost: []string{"viewer"},
			why: `gains "guest" as the default role; loses "viewer": the default role is now "guest"`,
		},
		{
			name: "C6/default replaced by a mapped role", before: mapping("viewer"), after: mapping("viewer", rule("g1", "editor")),
			groups: []scim.GroupRef{staff},
			gained: []string{"editor"}, lost: []string{"viewer"},
			why: `gains "editor" from group "Staff"; loses "viewer": it is for those in no mapped group, now there is group "Staff"`,
		},
		{
			name: "back to the default", before: mapping("viewer", rule("g1", "editor")), after: mapping("viewer"),
			groups: []scim.GroupRef{staff},
			gained: []string{"viewer"}, lost: []string{"editor"},
			why: `gains "viewer" as the default role; loses "editor": no longer from group "Staff"`,
		},
		{
			name:   "C1/order changed",
			before: mapping("", rule("g1", "editor"), rule("g2", "admin")),
			after:  mapping("", rule("g2", "admin"), rule("g1", "editor")),
			groups: []scim.GroupRef{staff, crew},
			gained: []string{"admin"}, lost: []string{"editor"},
			why: `gains "admin" from group "Crew"; loses "editor": "admin" ranks higher, from group "Crew"`,
		},
		{
			name:   "C1/from Union to Priority",
			before: union(rule("g1", "editor"), rule("g2", "admin")),
			after:  mapping("", rule("g1", "editor"), rule("g2", "admin")),
			groups: []scim.GroupRef{staff, crew},
			lost:   []string{"admin"},
			why:    `loses "admin": "editor" ranks higher, from group "Staff"`,
		},
		{
			name: "from several groups", before: nil, after: union(rule("g1", "editor"), rule("g2", "editor"), rule("g3", "editor")),
			groups: []scim.GroupRef{bare, staff, crew},
			gained: []string{"editor"}, why: `gains "editor" from groups "Crew", "Staff", "g3"`,
		},
		{
			name: "C7/manual grants stay", before: mapping("", rule("g1", "admin")), after: nil,
			groups: []scim.GroupRef{staff}, manual: []scim.Grant{byHand("admin"), byGroup("editor", "g9")},
			why: `keeps "admin" given by hand`,
		},
		{
			name: "C7/a role from elsewhere", before: mapping("viewer"), after: mapping("viewer", rule("g1", "viewer")),
			groups: []scim.GroupRef{staff}, manual: []scim.Grant{byHand("viewer")},
			why: `keeps "viewer" from group "Staff" and given by hand`,
		},
		{
			name: "nothing for this person", before: mapping("viewer", rule("g1", "editor")), after: mapping("viewer", rule("g2", "editor")),
			groups: []scim.GroupRef{bare}, manual: []scim.Grant{byHand("owner")},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := preview(t, c.before, c.after, roles.Member{User: "u1", DisplayName: "Ada", Groups: c.groups, Manual: c.manual})
			if c.why == "" {
				require.Nil(t, got)
				return
			}
			require.NotNil(t, got)
			assert.Equal(t, "u1", got.User)
			assert.Equal(t, "Ada", got.DisplayName)
			assert.Equal(t, c.gained, got.Gained)
			assert.Equal(t, c.lost, got.Lost)
			assert.Equal(t, c.why, got.Why)
		})
	}
}

func TestC7PreviewKeepsManualGrantsInCanonicalOrder(t *testing.T) {
	t.Parallel()
	after := mapper(t, roles.Mapping{Rules: []roles.Rule{{GroupID: "g1", Role: "editor"}}})
	got := preview(t, nil, after, roles.Member{
		Groups: []scim.GroupRef{staff},
		Manual: []scim.Grant{byHand("owner"), byHand("admin"), byHand("editor"), byDefault("viewer")},
	})
	require.NotNil(t, got)
	assert.Equal(t, []scim.Grant{byHand("admin"), byHand("editor"), byHand("owner")}, got.Before)
	assert.Equal(t, []scim.Grant{byHand("admin"), byGroup("editor", "g1"), byHand("editor"), byHand("owner")}, got.After)
	assert.Empty(t, got.Gained, "the role was there, by hand")
}

// A rule that is not applied yet is not bound: Bind says to which group it
// will be.
func TestC5PreviewOfANewRuleByName(t *testing.T) {
	t.Parallel()
	after := mapper(t, roles.Mapping{Rules: []roles.Rule{{GroupName: "Staff", Role: "editor"}}})
	bound := after.Bind([]scim.GroupRef{staff, {ID: "g2", DisplayName: "STAFF"}}, nil)
	members := []roles.Member{{User: "u1", Groups: bound[:1]}, {User: "u2", Groups: bound[1:]}}
	changes := slices.Collect(roles.Preview(nil, after, slices.Values(members)))
	require.Len(t, changes, 1)
	assert.Equal(t, "u1", changes[0].User)
}

func TestPreviewStopsWhenAsked(t *testing.T) {
	t.Parallel()
	after := mapper(t, roles.Mapping{Default: "viewer"})
	asked := 0
	members := func(yield func(roles.Member) bool) {
		for {
			asked++
			if !yield(roles.Member{}) {
				return
			}
		}
	}
	for range roles.Preview(nil, after, members) {
		break
	}
	assert.Equal(t, 1, asked)
}

func TestPropertyC5PreviewIsRecomputing(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for range 1000 {
		before, after := mapper(t, w.mapping()), mapper(t, w.mapping())
		var members []roles.Member
		for i := range 5 {
			m := roles.Member{User: string(rune('a' + i)), Groups: w.groups()}
			if w.IntN(3) == 0 {
				m.Manual = []scim.Grant{byHand(w.role())}
			}
			members = append(members, m)
		}
		changed := map[string]roles.Change{}
		for c := range roles.Preview(before, after, slices.Values(members)) {
			require.NotContains(t, changed, c.User)
			require.NotEmpty(t, c.Why)
			changed[c.User] = c
		}
		for _, m := range members {
			was := append(model(before.Mapping(), m.Groups), m.Manual...)
			is := append(model(after.Mapping(), m.Groups), m.Manual...)
			c, ok := changed[m.User]
			if !ok {
				require.ElementsMatch(t, was, is)
				continue
			}
			require.ElementsMatch(t, was, c.Before)
			require.ElementsMatch(t, is, c.After)
			require.False(t, slices.Equal(c.Before, c.After))
			names := func(grants []scim.Grant) map[string]bool {
				set := map[string]bool{}
				for _, g := range grants {
					set[g.Role] = true
				}
				return set
			}
			had, has := names(was), names(is)
			for _, role := range []string{"admin", "editor", "viewer", "guest"} {
				require.Equal(t, !had[role] && has[role], slices.Contains(c.Gained, role))
				require.Equal(t, had[role] && !has[role], slices.Contains(c.Lost, role))
			}
			require.Equal(t, len(was) > 0 && len(is) == 0, c.LosesAccess())
		}
		require.Empty(t, slices.Collect(roles.Preview(after, after, slices.Values(members))), "no change")
	}
}

func TestSummarize(t *testing.T) {
	t.Parallel()
	before := mapper(t, roles.Mapping{Rules: []roles.Rule{{GroupID: "g1", Role: "admin"}, {GroupID: "g2", Role: "editor"}}})
	after := mapper(t, roles.Mapping{Rules: []roles.Rule{{GroupID: "g1", Role: "editor"}, {GroupID: "g3", Role: "admin"}}})
	members := []roles.Member{
		{User: "demoted", Groups: []scim.GroupRef{staff}},
		{User: "out", Groups: []scim.GroupRef{crew}},
		{User: "out by groups only", Groups: []scim.GroupRef{crew}, Manual: []scim.Grant{byHand("viewer")}},
		{User: "promoted", Groups: []scim.GroupRef{bare}},
		{User: "moved", Groups: []scim.GroupRef{staff, crew}, Manual: []scim.Grant{byHand("editor"), byHand("admin")}},
		{User: "nothing", Groups: nil},
	}
	s := roles.Summarize(roles.Preview(before, after, slices.Values(members)))
	assert.Equal(t, roles.Summary{
		Changed:       5,
		Gain:          []string{"demoted", "promoted"},
		Lose:          []string{"demoted", "out", "out by groups only"},
		WithoutAccess: []string{"out"},
		Roles:         []roles.RoleSummary{{"admin", 1, 1}, {"editor", 1, 2}},
	}, s)
	assert.Equal(t, "5 people change: 2 gain a role, 3 lose one, 1 ends without access", s.String())

	all := roles.Mapping{Precedence: roles.Union}
	for _, role := range []string{"f", "b", "d", "a", "e", "c"} {
		all.Rules = append(all.Rules, roles.Rule{GroupID: "g1", Role: role})
	}
	s = roles.Summarize(roles.Preview(nil, mapper(t, all), slices.Values(members[:1])))
	assert.Equal(t, []roles.RoleSummary{{"a", 1, 0}, {"b", 1, 0}, {"c", 1, 0}, {"d", 1, 0}, {"e", 1, 0}, {"f", 1, 0}}, s.Roles)

	assert.Equal(t, "nobody changes", roles.Summarize(roles.Preview(nil, nil, slices.Values(members))).String())
	one := roles.Summarize(roles.Preview(after, before, slices.Values(members[3:4])))
	assert.Equal(t, "1 person changes: 0 gain a role, 1 loses one, 1 ends without access", one.String())
	one = roles.Summarize(roles.Preview(before, after, slices.Values(members[3:4])))
	assert.Equal(t, "1 person changes: 1 gains a role, 0 lose one, 0 end without access", one.String())
}
