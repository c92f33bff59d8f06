package scim_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/roles"
)

// A switchedRoles is a mapping that an administrator changes while the handler
// runs.
type switchedRoles struct{ current atomic.Pointer[roles.Mapper] }

func (s *switchedRoles) use(t *testing.T, m roles.Mapping) {
	t.Helper()
	mapper, err := roles.New(m)
	require.NoError(t, err)
	s.current.Store(mapper)
}

func (s *switchedRoles) Roles(ctx context.Context, d *scim.Directory, user *scim.Resource, groups []scim.GroupRef) ([]scim.Grant, error) {
	return s.current.Load().Roles(ctx, d, user, groups)
}

func (s *switchedRoles) Selectors(d *scim.Directory, g scim.GroupRef) []string {
	return s.current.Load().Selectors(d, g)
}

// mappedBy returns the mapper of a mapping.
func mappedBy(t *testing.T, m roles.Mapping) *roles.Mapper {
	t.Helper()
	mapper, err := roles.New(m)
	require.NoError(t, err)
	return mapper
}

// mappedRoles ranks admins before editors; everybody else may look.
func mappedRoles(t *testing.T) *roles.Mapper {
	t.Helper()
	return mappedBy(t, roles.Mapping{
		Rules:   []roles.Rule{{GroupName: "Admins", Role: "admin"}, {GroupName: "Engineers", Role: "editor"}},
		Default: "viewer",
	})
}

// rolesOf maps one group by its id, without default role.
func rolesOf(group, role string) roles.Mapping {
	return roles.Mapping{Rules: []roles.Rule{{GroupID: group, Role: role}}}
}

// reload tells the application about a user again, as after a change of the
// mapping (rule B12).
func (r *ruleRig) reload(users ...string) {
	r.t.Helper()
	require.NoError(r.t, r.scim.Engine().Resync(context.Background(), r.dir, users...))
}

// C1: several mapped groups.

func TestC1SeveralMappedGroups(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		precedence roles.Precedence
		want       func(admins, engineers string) []scim.Grant
	}{
		"priority": {roles.Priority, func(admins, _ string) []scim.Grant { return []scim.Grant{fromGroup("admin", admins)} }},
		"union": {roles.Union, func(admins, engineers string) []scim.Grant {
			return []scim.Grant{fromGroup("admin", admins), fromGroup("editor", engineers)}
		}},
	} {
		for order := range 2 {
			t.Run(fmt.Sprintf("%s/%d", name, order), func(t *testing.T) {
				t.Parallel()
				mapper := mappedBy(t, roles.Mapping{
					Rules:      []roles.Rule{{GroupName: "Admins", Role: "admin"}, {GroupName: "Engineers", Role: "editor"}},
					Precedence: c.precedence, Default: "viewer",
				})
				r := newManagedRig(t, mapper, strictly(), nil)
				id := r.post("/Users", person("ada"))
				admins, engineers := r.post("/Groups", team("Admins")), r.post("/Groups", team("Engineers"))
				arrival := []string{admins, engineers}
				if order == 1 {
					arrival = []string{engineers, admins}
				}
				for _, group := range arrival {
					r.join(group, id)
				}
				assert.Equal(t, c.want(admins, engineers), r.account(id).Roles, "independent of the order of arrival")
				assert.Equal(t, c.want(admins, engineers), r.app.account(id).Roles)
				r.leave(admins, id)
				assert.Equal(t, []scim.Grant{fromGroup("editor", engineers)}, r.app.account(id).Roles)
				r.leave(engineers, id)
				assert.Equal(t, []scim.Grant{byDefault("viewer")}, r.app.account(id).Roles)
			})
		}
	}
}

func TestC1OnAPlainStore(t *testing.T) {
	t.Parallel()
	r := newPlainRig(t, mappedRoles(t), strictly(), nil)
	id := r.post("/Users", person("ada"))
	engineers, admins := r.post("/Groups", team("Engineers", id)), r.post("/Groups", team("Admins"))
	assert.Equal(t, []scim.Grant{fromGroup("editor", engineers)}, r.app.account(id).Roles)
	r.join(admins, id)
	assert.Equal(t, []scim.Grant{fromGroup("admin", admins)}, r.app.account(id).Roles)
	r.leave(admins, id)
	assert.Equal(t, []scim.Grant{fromGroup("editor", engineers)}, r.app.account(id).Roles)
	r.do("DELETE", "/Groups/"+engineers, "").is(http.StatusNoContent)
	assert.Equal(t, []scim.Grant{byDefault("viewer")}, r.app.account(id).Roles)
}

// Whoever a group concerns is told, and nobody else.
func TestC1EveryWireFormTellsWhomItConcerns(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), nil)
	ada, grace, ken := r.post("/Users", person("ada")), r.post("/Users", person("grace")), r.post("/Users", person("ken"))
	group := r.post("/Groups", team("Engineers", ada))
	r.forget()
	member := func(id string) string { return fmt.Sprintf(`{"value":%q}`, id) }
	for _, c := range []struct {
		name, method, body string
		status             int
		told               map[string]string // role by user
	}{
		{"add", "PATCH", patchBody(`{"op":"add","path":"members","value":[` + member(grace) + `]}`), 204, map[string]string{grace: "editor"}},
		{"add without path", "PATCH", patchBody(`{"op":"add","value":{"members":[` + member(ken) + `]}}`), 204, map[string]string{ken: "editor"}},
		{"remove by filter", "PATCH", patchBody(`{"op":"remove","path":"members[value eq \"` + ken + `\"]"}`), 204, map[string]string{ken: "viewer"}},
		{"remove by value", "PATCH", patchBody(`{"op":"remove","path":"members","value":[` + member(grace) + `]}`), 204, map[string]string{grace: "viewer"}},
		{"replace", "PATCH", patchBody(`{"op":"replace","path":"members","value":[` + member(grace) + `]}`), 204, map[string]string{ada: "viewer", grace: "editor"}},
		{"several", "PATCH", patchBody(
			`{"op":"remove","path":"members","value":[`+member(grace)+`]}`,
			`{"op":"add","path":"members","value":[`+member(ada)+`,`+member(ken)+`]}`,
		), 204, map[string]string{ada: "editor", grace: "viewer", ken: "editor"}},
		{"remove by another filter", "PATCH", patchBody(`{"op":"remove","path":"members[display eq \"ken\"]"}`), 204, map[string]string{ken: "viewer"}},
		{"add again", "PATCH", patchBody(`{"op":"add","path":"members","value":` + member(ken) + `}`), 204, map[string]string{ken: "editor"}},
		{"PUT", "PUT", team("Engineers", ken, grace), 200, map[string]string{ada: "viewer", grace: "editor"}},
		{"remove all", "PATCH", patchBody(`{"op":"remove","path":"members"}`), 204, map[string]string{grace: "viewer", ken: "viewer"}},
	} {
		r.do(c.method, "/Groups/"+group, c.body).is(c.status)
		told := map[string]string{}
		for _, a := range r.app.drain() {
			require.Len(t, a.Roles, 1, c.name)
			told[a.ID] = a.Roles[0].Role
			assert.Equal(t, scim.Updated, a.Change, c.name)
			assert.Equal(t, "host-"+a.ID, a.HostID, c.name)
			assert.NotEmpty(t, a.Email, c.name)
		}
		assert.Equal(t, c.told, told, c.name)
		r.events()
	}
}

// C2: a mapping is bound to a group once.

func TestC2AMappingBindsBeforeTheFirstSync(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rule  roles.Rule
		group string
	}{
		"by name":                 {roles.Rule{GroupName: "Engineers", Role: "editor"}, `{"displayName":"Engineers"}`},
		"by name in another case": {roles.Rule{GroupName: "ENGINEERS", Role: "editor"}, `{"displayName":"engineers"}`},
		"by externalId":           {roles.Rule{ExternalID: "00g1", Role: "editor"}, `{"displayName":"Whatever","externalId":"00g1"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newManagedRig(t, mappedBy(t, roles.Mapping{Rules: []roles.Rule{c.rule}}), strictly(), nil)
			id := r.post("/Users", person("ada"))
			other := r.post("/Groups", `{"displayName":"Others","externalId":"00G1"}`)
			group := r.post("/Groups", c.group)
			r.join(other, id)
			assert.Empty(t, r.account(id).Roles)
			r.forget()
			r.join(group, id)
			assert.Equal(t, []scim.Grant{fromGroup("editor", group)}, r.told().Roles)
			r.happened(scim.MembershipAdded, scim.UserRolesChanged)
		})
	}
}

func TestC2AMappingBindsByTheID(t *testing.T) {
	t.Parallel()
	mapping := &switchedRoles{}
	r := newManagedRig(t, mapping, strictly(), nil)
	id := r.post("/Users", person("ada"))
	group := r.post("/Groups", team("Engineers", id))
	mapping.use(t, rolesOf(group, "editor"))
	r.forget()
	r.reload(id)
	a := r.told()
	assert.Equal(t, scim.Resynced, a.Change)
	assert.Equal(t, []scim.Grant{fromGroup("editor", group)}, a.Roles)
	r.happened(scim.UserRolesChanged)
}

func TestC2TheFirstMatchHasIt(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), acme(scim.Policy{DuplicateGroupNames: true}), nil)
	ada, grace := r.post("/Users", person("ada")), r.post("/Users", person("grace"))
	first := r.post("/Groups", team("Engineers", ada))
	r.post("/Groups", team("engineers", grace))
	assert.Equal(t, []scim.Grant{fromGroup("editor", first)}, r.account(ada).Roles)
	assert.Equal(t, []scim.Grant{byDefault("viewer")}, r.account(grace).Roles, "a namesake is another group")
}

func TestC2ARenameCanBeTheFirstMatch(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), nil)
	id := r.post("/Users", person("ada"))
	group := r.post("/Groups", team("Developers", id))
	r.forget()
	r.set("/Groups/"+group, "displayName", `"Engineers"`)
	assert.Equal(t, []scim.Grant{fromGroup("editor", group)}, r.told().Roles)
	r.happened(scim.GroupUpdated, scim.UserRolesChanged)
	// Nobody needs to be in it for that.
	empty := r.post("/Groups", team("Bosses"))
	r.set("/Groups/"+empty, "displayName", `"Admins"`)
	r.set("/Groups/"+empty, "displayName", `"Bosses again"`)
	namesake := r.post("/Groups", team("Admins", id))
	assert.Equal(t, []scim.Grant{fromGroup("editor", group)}, r.account(id).Roles, namesake)
	r.join(empty, id)
	assert.Equal(t, []scim.Grant{fromGroup("admin", empty)}, r.account(id).Roles)
}

func TestC2NoNameIsReserved(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Admins", "owner", "name:engineers", "id:g1", "null", " ", "*"} {
		r := newManagedRig(t, mappedBy(t, roles.Mapping{Rules: []roles.Rule{{GroupName: name, Role: "editor"}}}), strictly(), nil)
		id := r.post("/Users", person("ada"))
		group := r.post("/Groups", team(name, id))
		assert.Equal(t, []scim.Grant{fromGroup("editor", group)}, r.account(id).Roles, name)
	}
}

// C3: rename.

func TestC3ARenameKeepsTheMappingAndRaisesNoRoleEvent(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]roles.Rule{
		"by name":       {GroupName: "Engineers", Role: "editor"},
		"by externalId": {ExternalID: "00g1", Role: "editor"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newManagedRig(t, mappedBy(t, roles.Mapping{Rules: []roles.Rule{rule}}), strictly(), nil)
			id := r.post("/Users", person("ada"))
			group := r.post("/Groups", fmt.Sprintf(`{"displayName":"Engineers","externalId":"00g1","members":[{"value":%q}]}`, id))
			want := []scim.Grant{fromGroup("editor", group)}
			assert.Equal(t, want, r.account(id).Roles)
			r.forget()
			r.set("/Groups/"+group, "displayName", `"Builders"`)
			a := r.told()
			assert.Equal(t, want, a.Roles)
			assert.Equal(t, "Builders", a.Groups[0].DisplayName, "hosts mirror names")
			r.happened(scim.GroupUpdated)
			r.reload(id)
			assert.Equal(t, want, r.account(id).Roles)
			ken := r.post("/Users", person("ken"))
			r.join(group, ken)
			assert.Equal(t, want, r.account(ken).Roles)
		})
	}
}

func TestC3ARenameFreesTheOldName(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), nil)
	ada, grace := r.post("/Users", person("ada")), r.post("/Users", person("grace"))
	group := r.post("/Groups", team("Engineers", ada))
	r.do("PUT", "/Groups/"+group, team("Builders", ada)).is(http.StatusOK)
	namesake := r.post("/Groups", team("Engineers", grace))
	assert.Equal(t, []string{namesake}, r.find("/Groups", `displayName eq "engineers"`))
	assert.Equal(t, []scim.Grant{fromGroup("editor", group)}, r.account(ada).Roles)
	assert.Equal(t, []scim.Grant{byDefault("viewer")}, r.account(grace).Roles, "the name is free, the mapping is not")
}

// A rename and a change of members in one request.
func TestC3ARenameWithMembers(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), nil)
	ada, grace := r.post("/Users", person("ada")), r.post("/Users", person("grace"))
	group := r.post("/Groups", team("Engineers", ada))
	r.forget()
	r.patch("/Groups/"+group, replaceOp("displayName", `"Builders"`),
		fmt.Sprintf(`{"op":"replace","path":"members","value":[{"value":%q}]}`, grace)).is(http.StatusOK)
	r.happened(scim.GroupUpdated, scim.MembershipAdded, scim.MembershipRemoved, scim.UserRolesChanged, scim.UserRolesChanged)
	assert.Len(t, r.app.drain(), 2, "each once")
	assert.Equal(t, []scim.Grant{fromGroup("editor", group)}, r.account(grace).Roles)
	assert.Equal(t, []scim.Grant{byDefault("viewer")}, r.account(ada).Roles)
}

// C4: delete.

func TestC4DeletingAGroupRecomputes(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), nil)
	ada, grace := r.post("/Users", person("ada")), r.post("/Users", person("grace"))
	engineers := r.post("/Groups", team("Engineers", ada))
	admins := r.post("/Groups", team("Admins", ada, grace))
	r.forget()
	r.do("DELETE", "/Groups/"+admins, "").is(http.StatusNoContent)
	r.happened(scim.GroupDeleted, scim.MembershipRemoved, scim.MembershipRemoved, scim.UserRolesChanged, scim.UserRolesChanged)
	assert.Len(t, r.app.drain(), 2)
	assert.Equal(t, []scim.Grant{fromGroup("editor", engineers)}, r.account(ada).Roles)
	assert.Equal(t, []scim.Grant{byDefault("viewer")}, r.account(grace).Roles)
	assert.Equal(t, []string{engineers}, groupIDs(r.account(ada)))
}

func TestC4ANamesakeDoesNotInherit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, after string
		inherits      bool
	}{
		"same name":                         {`"displayName":"Engineers"`, `"displayName":"Engineers"`, false},
		"same name, externalId is new":      {`"displayName":"Engineers"`, `"displayName":"Engineers","externalId":"00g1"`, false},
		"same name, no externalId any more": {`"displayName":"Engineers","externalId":"00g1"`, `"displayName":"Engineers"`, false},
		"same name, other externalId":       {`"displayName":"Engineers","externalId":"00g1"`, `"displayName":"Engineers","externalId":"00G1"`, false},
		"same name and externalId":          {`"displayName":"Engineers","externalId":"00g1"`, `"displayName":"Engineers","externalId":"00g1"`, true},
		"same externalId":                   {`"displayName":"Engineers","externalId":"00g1"`, `"displayName":"Builders","externalId":"00g1"`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newManagedRig(t, mappedRoles(t), strictly(), nil)
			id := r.post("/Users", person("ada"))
			members := fmt.Sprintf(`,"members":[{"value":%q}]}`, id)
			first := r.post("/Groups", "{"+c.before+members)
			assert.Equal(t, []scim.Grant{fromGroup("editor", first)}, r.account(id).Roles)
			r.do("DELETE", "/Groups/"+first, "").is(http.StatusNoContent)
			assert.Equal(t, []scim.Grant{byDefault("viewer")}, r.account(id).Roles)
			second := r.post("/Groups", "{"+c.after+members)
			want := []scim.Grant{byDefault("viewer")}
			if c.inherits {
				want = []scim.Grant{fromGroup("editor", second)}
			}
			assert.Equal(t, want, r.app.account(id).Roles)
			r.reload(id)
			assert.Equal(t, want, r.app.account(id).Roles)
		})
	}
}

func TestC4AMappingByIDIsInheritedByExternalID(t *testing.T) {
	t.Parallel()
	mapping := &switchedRoles{}
	r := newManagedRig(t, mapping, strictly(), nil)
	id := r.post("/Users", person("ada"))
	body := fmt.Sprintf(`{"displayName":"Engineers","externalId":"00g1","members":[{"value":%q}]}`, id)
	first := r.post("/Groups", body)
	mapping.use(t, rolesOf(first, "editor"))
	r.reload(id)
	r.do("DELETE", "/Groups/"+first, "").is(http.StatusNoContent)
	assert.Empty(t, r.account(id).Roles)
	second := r.post("/Groups", body)
	assert.Equal(t, []scim.Grant{fromGroup("editor", second)}, r.account(id).Roles)
}

func TestC4AnExternalIDThatComesLaterCounts(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), nil)
	id := r.post("/Users", person("ada"))
	first := r.post("/Groups", team("Engineers", id))
	r.set("/Groups/"+first, "externalId", `"00g1"`)
	r.do("DELETE", "/Groups/"+first, "").is(http.StatusNoContent)
	second := r.post("/Groups", team("Engineers", id))
	assert.Equal(t, []scim.Grant{byDefault("viewer")}, r.account(id).Roles)
	r.set("/Groups/"+second, "externalId", `"00g1"`)
	assert.Equal(t, []scim.Grant{fromGroup("editor", second)}, r.app.account(id).Roles)
}

func TestC4AnExternalIDThatWasGivenUpTakesNothingAway(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), nil)
	ada, grace := r.post("/Users", person("ada")), r.post("/Users", person("grace"))
	first := r.post("/Groups", fmt.Sprintf(`{"displayName":"Engineers","externalId":"00g1","members":[{"value":%q}]}`, ada))
	r.patch("/Groups/"+first, replaceOp("displayName", `"Builders"`), replaceOp("externalId", `"00g2"`)).is(http.StatusOK)
	r.post("/Groups", fmt.Sprintf(`{"displayName":"Engineers","externalId":"00g1","members":[{"value":%q}]}`, grace))
	assert.Equal(t, []scim.Grant{fromGroup("editor", first)}, r.account(ada).Roles)
	assert.Equal(t, []scim.Grant{byDefault("viewer")}, r.account(grace).Roles)
}

func TestC4ProvisioningSeesOnlyItsGroups(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), nil)
	other := newRuleRig(t, r.store, mappedRoles(t), &scim.Directory{Tenant: "acme", ID: "entra", Domains: []string{"acme.example"}}, r.clock, nil)
	id := r.post("/Users", person("ada"))
	theirs := other.post("/Groups", team("Admins"))
	assert.Empty(t, r.find("/Groups", `displayName eq "Admins"`))
	r.patch("/Groups/"+theirs, fmt.Sprintf(`{"op":"add","path":"members","value":[{"value":%q}]}`, id)).is(http.StatusNotFound)
	ours := r.post("/Groups", team("Admins", id)) // the name and the mapping are free here
	assert.Equal(t, []scim.Grant{fromGroup("admin", ours)}, r.account(id).Roles)
}

// C6: the default role.

func TestC6DefaultRole(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), nil)
	id := r.post("/Users", person("ada"))
	assert.Equal(t, []scim.Grant{byDefault("viewer")}, r.told().Roles)
	e := r.happened(scim.UserCreated, scim.UserRolesChanged)[1]
	assert.Equal(t, []scim.Grant{byDefault("viewer")}, e.Roles)
	assert.Empty(t, e.PreviousRoles)
	other := r.post("/Groups", team("Chess club", id))
	assert.Equal(t, []scim.Grant{byDefault("viewer")}, r.account(id).Roles, "an unmapped group gives none")
	engineers := r.post("/Groups", team("Engineers", id))
	assert.Equal(t, []scim.Grant{fromGroup("editor", engineers)}, r.account(id).Roles, "a mapped role replaces it")
	r.do("DELETE", "/Groups/"+engineers, "").is(http.StatusNoContent)
	assert.Equal(t, []scim.Grant{byDefault("viewer")}, r.account(id).Roles)
	assert.Equal(t, []string{other}, groupIDs(r.account(id)))
}

func TestC6WithoutDefaultNoRole(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedBy(t, roles.Mapping{Rules: []roles.Rule{{GroupName: "Engineers", Role: "editor"}}}), strictly(), nil)
	id := r.post("/Users", person("ada"))
	assert.Empty(t, r.told().Roles)
	r.happened(scim.UserCreated)
	group := r.post("/Groups", team("Engineers", id))
	r.leave(group, id)
	assert.Empty(t, r.app.account(id).Roles)
}

func TestC6AProtectedDefaultIsRefused(t *testing.T) {
	t.Parallel()
	_, err := roles.New(roles.Mapping{Default: "owner", Protected: []string{"owner"}})
	require.ErrorContains(t, err, "protected")
}

// C7: where a grant comes from.

func TestC7ManualGrantsStay(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), nil)
	ctx, engine := context.Background(), r.scim.Engine()
	id := r.post("/Users", person("ada"))
	r.forget()
	require.NoError(t, engine.SetManualRoles(ctx, r.dir, id, "owner", "billing", "owner"))
	want := []scim.Grant{byHand("billing"), byHand("owner"), byDefault("viewer")}
	assert.Equal(t, want, r.told().Roles)
	e := r.happened(scim.UserRolesChanged)[0]
	assert.Equal(t, "administrator", e.Actor)
	assert.Equal(t, []scim.Grant{byDefault("viewer")}, e.PreviousRoles)

	group := r.post("/Groups", team("Admins", id))
	assert.Equal(t, []scim.Grant{fromGroup("admin", group), byHand("billing"), byHand("owner")}, r.told().Roles)
	r.do("DELETE", "/Groups/"+group, "").is(http.StatusNoContent)
	assert.Equal(t, want, r.told().Roles)
	r.deactivate(id)
	assert.Equal(t, want, r.told().Roles)
	r.reactivate(id)
	assert.Equal(t, want, r.told().Roles)
	r.do("PUT", "/Users/"+id, `{"userName":"ada","active":true,"emails":[{"value":"ada@acme.example"}],"roles":[{"value":"superuser"}]}`).is(http.StatusOK)
	assert.Equal(t, want, r.told().Roles, "what the provider calls a role is an attribute")
	r.reload(id)
	assert.Equal(t, want, r.told().Roles)
	r.do("DELETE", "/Users/"+id, "").is(http.StatusNoContent)
	assert.Equal(t, []scim.Grant{byHand("billing"), byHand("owner")}, r.told().Roles, "the host's to keep")
}

func TestC7ARoleFromTwoSourcesStaysWhileOneDoes(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), nil)
	id := r.post("/Users", person("ada"))
	require.NoError(t, r.scim.Engine().SetManualRoles(context.Background(), r.dir, id, "admin"))
	group := r.post("/Groups", team("Admins", id))
	a := r.account(id)
	assert.Equal(t, []scim.Grant{fromGroup("admin", group), byHand("admin")}, a.Roles)
	assert.Equal(t, []string{"admin"}, a.RoleNames())
	r.leave(group, id)
	assert.Equal(t, []string{"admin", "viewer"}, r.account(id).RoleNames())
	require.NoError(t, r.scim.Engine().SetManualRoles(context.Background(), r.dir, id))
	assert.Equal(t, []string{"viewer"}, r.account(id).RoleNames())
}

func TestC7ManualGrantsOfSomebodyInactive(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), nil)
	id := r.post("/Users", person("ada"))
	r.deactivate(id)
	r.forget()
	require.NoError(t, r.scim.Engine().SetManualRoles(context.Background(), r.dir, id, "billing"))
	a := r.told()
	assert.False(t, a.Active)
	assert.Equal(t, []scim.Grant{byHand("billing"), byDefault("viewer")}, a.Roles)
	r.happened(scim.UserRolesChanged)
	r.reactivate(id)
	assert.Equal(t, []scim.Grant{byHand("billing"), byDefault("viewer")}, r.told().Roles)
	r.happened(scim.UserReactivated)
}

// C10: unknown members.

// strangers are ids that are not in the directory: never issued, deleted, and
// another directory's.
func strangers(t *testing.T, r *ruleRig) map[string]string {
	t.Helper()
	gone := r.post("/Users", person("gone"))
	r.do("DELETE", "/Users/"+gone, "").is(http.StatusNoContent)
	all := map[string]string{"never issued": "0198c5a2-0000-7000-8000-000000000000", "deleted": gone, "no id at all": "x/../y"}
	if r.store != nil {
		other := newRuleRig(t, r.store, scim.NoRoles{}, &scim.Directory{Tenant: "acme", ID: "entra", Domains: []string{"acme.example"}}, r.clock, nil)
		all["another directory's"] = other.post("/Users", person("foreign"))
	}
	return all
}

// What providers send of members that nobody has (quirk 68) is left out.
func TestC10UnknownMembersAreDropped(t *testing.T) {
	t.Parallel()
	onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
		ada, grace := r.post("/Users", person("ada")), r.post("/Users", person("grace"))
		i := 0
		for name, stranger := range strangers(t, r) {
			i++
			r.forget()
			unknown := func() []string { r.mu.Lock(); defer r.mu.Unlock(); return r.log[len(r.log)-1].Unknown }
			created := r.do("POST", "/Groups", team(fmt.Sprint("Group ", i), ada, stranger)).is(http.StatusCreated)
			group := created.id()
			assert.Equal(t, []string{stranger}, unknown(), name)
			created.shows("/members/0/value", ada).shows("/members/1", absent)
			r.patch("/Groups/"+group, fmt.Sprintf(`{"op":"add","path":"members","value":[{"value":%q},{"value":%q}]}`, stranger, grace)).is(http.StatusNoContent)
			assert.Equal(t, []string{stranger}, unknown(), name)
			if r.store != nil {
				assert.Equal(t, []string{stranger}, r.logged().Unknown, name)
				assert.Equal(t, http.StatusNoContent, r.logged().Status)
			}
			r.do("PUT", "/Groups/"+group, team(fmt.Sprint("Group ", i), stranger, grace)).is(http.StatusOK).
				shows("/members/0/value", grace).shows("/members/1", absent)
			assert.Equal(t, []string{stranger}, unknown(), name)
			for _, a := range r.app.drain() {
				assert.NotEqual(t, stranger, a.ID, name)
			}
			before := r.get("/Groups/" + group)
			r.forget()
			r.patch("/Groups/"+group, fmt.Sprintf(`{"op":"add","path":"members","value":[{"value":%q}]}`, stranger)).is(http.StatusNoContent)
			assert.Equal(t, before.body, r.get("/Groups/"+group).body, "nothing has changed, nor the version")
			if r.store != nil {
				r.toldNothing()
				r.happened()
			}
			r.do("DELETE", "/Groups/"+group, "").is(http.StatusNoContent)
		}
	})
}

// The other policy for quirk 68.
func TestC10UnknownMembersAreRefusedByPolicy(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func() *scim.Directory { return acme(scim.Policy{UnknownMembers: scim.RejectUnknownMembers}) }, func(t *testing.T, r *ruleRig) {
		ada, grace := r.post("/Users", person("ada")), r.post("/Users", person("grace"))
		group := r.post("/Groups", team("Engineers", ada))
		before := r.get("/Groups/" + group)
		for _, stranger := range strangers(t, r) {
			r.forget()
			r.patch("/Groups/"+group, fmt.Sprintf(`{"op":"add","path":"members","value":[{"value":%q},{"value":%q}]}`, grace, stranger)).
				refused(http.StatusBadRequest, "invalidValue", "members", stranger)
			r.do("PUT", "/Groups/"+group, team("Engineers", grace, stranger)).refused(http.StatusBadRequest, "invalidValue", "members")
			r.do("POST", "/Groups", team("Others", grace, stranger)).refused(http.StatusBadRequest, "invalidValue", "members")
			assert.Equal(t, before.body, r.get("/Groups/"+group).body)
			assert.Empty(t, r.find("/Groups", `displayName eq "Others"`))
			r.toldNothing()
			if r.store != nil {
				r.happened()
			}
		}
	})
}

func TestC10TheLogNamesTheFirstHundred(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, strictly(), nil)
	unknown := make([]string, 150)
	for i := range unknown {
		unknown[i] = fmt.Sprintf("unknown-%03d", i)
	}
	r.post("/Groups", team("Engineers", unknown...))
	assert.Equal(t, unknown[:100], r.logged().Unknown)
}

func TestC10RemovingTheUnknownIsNothing(t *testing.T) {
	t.Parallel()
	for _, policy := range []scim.UnknownMemberPolicy{scim.DropUnknownMembers, scim.RejectUnknownMembers} {
		onEveryStore(t, func() *scim.Directory { return acme(scim.Policy{UnknownMembers: policy}) }, func(t *testing.T, r *ruleRig) {
			ada := r.post("/Users", person("ada"))
			group := r.post("/Groups", team("Engineers", ada))
			before := r.get("/Groups/" + group)
			for _, stranger := range strangers(t, r) {
				r.leave(group, stranger)
			}
			assert.Equal(t, before.body, r.get("/Groups/"+group).body)
		})
	}
}

func TestC10AGroupAsMemberIsStoredAndNotExpanded(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), nil)
	id := r.post("/Users", person("ada"))
	inner := r.post("/Groups", team("Inner", id))
	r.forget()
	outer := r.post("/Groups", team("Admins", inner))
	r.toldNothing()
	r.happened(scim.GroupCreated, scim.MembershipAdded)
	r.get("/Groups/"+outer).shows("/members/0/value", inner).shows("/members/0/type", "Group")
	assert.Equal(t, []scim.Grant{byDefault("viewer")}, r.account(id).Roles)
	assert.Equal(t, []string{inner}, groupIDs(r.account(id)))
	r.leave(outer, inner)
	r.toldNothing()
}

// C11: names of groups.

func TestC11DisplayNameIsUniqueWithoutCase(t *testing.T) {
	t.Parallel()
	onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
		engineers := r.post("/Groups", team("Engineers"))
		r.do("POST", "/Groups", team("ENGINEERS")).refused(http.StatusConflict, "uniqueness", "displayName")
		assert.Equal(t, []string{engineers}, r.find("/Groups", `displayName eq "eNGINEERS"`), "what is refused as existing can be found")
		others := r.post("/Groups", team("Others"))
		r.patch("/Groups/"+others, replaceOp("displayName", `"engineers"`)).refused(http.StatusConflict, "uniqueness", "displayName")
		r.do("PUT", "/Groups/"+others, team("engineers")).refused(http.StatusConflict, "uniqueness", "displayName")
		r.get("/Groups/"+others).shows("/displayName", "Others")
		// The group itself is no other.
		r.set("/Groups/"+engineers, "displayName", `"ENGINEERS"`).shows("/displayName", "ENGINEERS")
		r.do("PUT", "/Groups/"+engineers, team("engineers")).is(http.StatusOK).shows("/displayName", "engineers")
		r.do("DELETE", "/Groups/"+engineers, "").is(http.StatusNoContent)
		r.set("/Groups/"+others, "displayName", `"Engineers"`)
	})
}

func TestC11NamesMayBeDuplicatesByPolicy(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func() *scim.Directory { return acme(scim.Policy{DuplicateGroupNames: true}) }, func(t *testing.T, r *ruleRig) {
		one, two := r.post("/Groups", team("Engineers")), r.post("/Groups", team("engineers"))
		assert.ElementsMatch(t, []string{one, two}, r.find("/Groups", `displayName eq "Engineers"`))
		three := r.post("/Groups", team("Others"))
		r.set("/Groups/"+three, "displayName", `"Engineers"`)
	})
}

func TestC11NamesOfOtherDirectoriesDoNotCount(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, strictly(), nil)
	other := newRuleRig(t, r.store, scim.NoRoles{}, &scim.Directory{Tenant: "acme", ID: "entra"}, r.clock, nil)
	r.post("/Groups", team("Engineers"))
	other.post("/Groups", team("Engineers"))
}
