package directory_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
	"github.com/muster-id/scim/roles"
)

// Section C: groups and roles.

// C1: several mapped groups, in whatever order they come.
func TestScenarioC1SeveralMappedGroups(t *testing.T) {
	t.Parallel()
	for _, order := range [][]string{{"Admins", "Editors", "Staff"}, {"Staff", "Editors", "Admins"}} {
		s := newScene(t)
		okta := s.connect(directory.Directory{Provider: scim.Okta})
		okta.rules("", "Editors editor", "Admins admin", "Staff viewer")
		ada := okta.hire("Ada")
		groups := map[string]string{}
		for _, name := range order {
			groups[name] = okta.group(name, ada)
		}
		require.Equal(t, "editor", s.access(ada.email), "the administrator's order decides, not that of arrival: %v", order)
		union := byName("", "Editors editor", "Admins admin", "Staff viewer")
		union.Precedence = roles.Union
		okta.mapping(union)
		require.Equal(t, "admin editor viewer", s.access(ada.email))
		okta.leave(groups["Editors"], ada).fine()
		require.Equal(t, "admin viewer", s.access(ada.email))
	}
}

// C2, C3: a rule that is written before the first sync binds to the first group
// that matches, which a rename does not change.
func TestScenarioC2ARuleBindsToItsGroupOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	entra := s.connect(directory.Directory{Provider: scim.Entra})
	entra.mapping(roles.Mapping{Rules: []roles.Rule{{GroupName: "ENGINEERS", Role: "editor"}, {ExternalID: "ext-Leads", Role: "admin"}}})
	ada, grace := entra.hire("Ada"), entra.hire("Grace")
	engineers := entra.group("Engineers", ada)
	entra.group("Leads", grace)
	require.Equal(t, []string{"editor", "admin"}, []string{s.access(ada.email), s.access(grace.email)})

	mark := s.mark()
	entra.rename(engineers, "Platform")
	require.Equal(t, []string{"group.updated"}, s.since(mark), "C3: no role has changed")
	require.Equal(t, "editor", s.access(ada.email))
	alan := entra.hire("Alan")
	namesake := entra.say(entra.speaks.group, nil, "name", "Engineers", "ext", "another-group").fine().ID // the name is free again
	entra.join(namesake, alan).fine()
	require.Equal(t, "no role", s.access(alan.email), "and inherits nothing")
	entra.join(namesake, ada).fine()
	require.Equal(t, "editor", s.access(ada.email))
}

// C4: a deleted group takes its roles with it; a namesake is another group,
// unless the provider says that it is the same.
func TestScenarioC4ADeletedGroup(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	entra := s.connect(directory.Directory{Provider: scim.Entra})
	entra.rules("viewer", "Engineers editor")
	ada := entra.hire("Ada")
	engineers := entra.group("Engineers", ada)
	mark := s.mark()
	entra.drop(engineers)
	require.Equal(t, []string{"group.deleted", "membership.removed", "user.roles_changed"}, s.since(mark))
	require.Equal(t, "viewer", s.access(ada.email))
	orphans, err := s.Orphans(t.Context(), entra.key)
	require.NoError(t, err)
	require.Len(t, orphans, 1)
	require.True(t, orphans[0].Deleted)

	stranger := entra.say(entra.speaks.group, nil, "name", "Engineers", "ext", "another-group").fine().ID
	entra.join(stranger, ada).fine()
	require.Equal(t, "viewer", s.access(ada.email))
	entra.drop(stranger)
	entra.group("Engineers", ada) // with its externalId: it is the one
	require.Equal(t, "editor", s.access(ada.email))
	orphans, err = s.Orphans(t.Context(), entra.key)
	require.NoError(t, err)
	require.Empty(t, orphans)
}

// C5: a change of the mapping is shown before it is made, seats and
// administrators included.
func TestScenarioC5AMappingIsPreviewedAndApplied(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.app.admins, s.app.seats = 0, 10
	okta := s.connect(directory.Directory{Provider: scim.Okta})
	okta.rules("viewer", "Leads admin", "Staff viewer")
	ada, grace := okta.hire("Ada"), okta.hire("Grace")
	okta.group("Leads", ada)
	okta.group("Staff", grace)
	next := byName("viewer", "Leads viewer", "Staff editor")
	mark := s.mark()
	preview, err := s.PreviewMapping(t.Context(), okta.key, next)
	require.NoError(t, err)
	require.Equal(t, 2, preview.People)
	require.Len(t, preview.Changes, 2)
	require.Equal(t, []string{ada.id}, preview.Demoted)
	require.True(t, preview.LastAdministrator)
	require.Equal(t, 1, preview.Seats.Used)
	require.Equal(t, []string{"admin", "viewer"}, []string{s.access(ada.email), s.access(grace.email)}, "nothing has happened yet")
	require.Empty(t, s.since(mark))

	task, err := s.SetMapping(t.Context(), okta.key, next, preview.Version)
	require.NoError(t, err)
	_, err = s.SetMapping(t.Context(), okta.key, next, preview.Version)
	require.ErrorIs(t, err, directory.ErrConflict, "somebody was faster")
	s.work()
	task, err = s.Task(t.Context(), "acme", task.ID)
	require.NoError(t, err)
	require.Equal(t, directory.TaskDone, task.State)
	require.Equal(t, "admin viewer", s.access(ada.email), "the last administrator stays one")
	require.Equal(t, "editor", s.access(grace.email))
}

// C6: without a default role there is none, and a protected one is none to be
// given to everybody.
func TestScenarioC6TheDefaultRole(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	google := s.connect(directory.Directory{Provider: scim.Google}) // which pushes no groups
	ada := google.hire("Ada")
	require.Equal(t, "no role", s.access(ada.email))
	google.rules("viewer")
	require.Equal(t, "viewer", s.access(ada.email))
	_, version, err := s.Mapping(t.Context(), google.key)
	require.NoError(t, err)
	_, err = s.SetMapping(t.Context(), google.key, byName("owner"), version)
	invalid, ok := errors.AsType[*roles.InvalidError](err)
	require.True(t, ok, "%v", err)
	require.Contains(t, invalid.Error(), "owner")
	require.Equal(t, "viewer", s.access(ada.email))
}

// C7: provisioning changes its own grants alone.
func TestScenarioC7WhatWasGivenByHandStays(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	onelogin := s.connect(directory.Directory{Provider: scim.OneLogin})
	onelogin.rules("", "Staff viewer")
	ada := onelogin.hire("Ada")
	staff := onelogin.group("Staff", ada)
	require.NoError(t, s.Engine().SetManualRoles(t.Context(), s.serving(onelogin.key), ada.id, "editor"))
	require.Equal(t, "editor viewer", s.access(ada.email))
	onelogin.leave(staff, ada).fine()
	require.Equal(t, "editor", s.access(ada.email))
	onelogin.suspend(ada).fine()
	require.Equal(t, "none", s.access(ada.email))
	onelogin.resume(ada).fine()
	require.Equal(t, "editor", s.access(ada.email))
	onelogin.join(staff, ada).fine()
	_, err := s.Resync(t.Context(), onelogin.key)
	require.NoError(t, err)
	s.work()
	require.Equal(t, "editor viewer", s.access(ada.email))
}

// C8: who may change what by hand, under each lock.
func TestScenarioC8Locks(t *testing.T) {
	t.Parallel()
	const yes, no = true, false
	for lock, may := range map[scim.LockPolicy]map[directory.Action][3]bool{ // of a managed person, a legacy one, somebody new
		scim.ManagedOnly: {
			directory.ActionInvite: {no, yes, yes}, directory.ActionDeactivate: {no, yes, yes}, directory.ActionChangeRoles: {no, yes, yes},
			directory.ActionEditGroup: {no, yes, yes}, directory.ActionRemoveLegacy: {no, yes, yes},
		},
		scim.StrictLock: {
			directory.ActionInvite: {no, no, no}, directory.ActionDeactivate: {no, no, no}, directory.ActionChangeRoles: {no, yes, yes},
			directory.ActionEditGroup: {no, no, no}, directory.ActionRemoveLegacy: {no, yes, yes},
		},
		scim.LastWriteWins: {
			directory.ActionInvite: {yes, yes, yes}, directory.ActionDeactivate: {yes, yes, yes}, directory.ActionChangeRoles: {yes, yes, yes},
			directory.ActionEditGroup: {yes, yes, yes}, directory.ActionRemoveLegacy: {no, yes, yes},
		},
	} {
		t.Run(lock.String(), func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.app.legacy("hank@acme.example", "editor")
			okta := s.connect(directory.Directory{Provider: scim.Okta, Policy: scim.Policy{Lock: lock}})
			okta.hire("Ada")
			for action, allowed := range may {
				for i, email := range []string{"ada@acme.example", "hank@acme.example", "new@acme.example"} {
					why := s.may(action, email)
					require.Equal(t, allowed[i], why == "", "%s of %s: %s", action, email, why)
				}
			}
		})
	}
}

// C9: a role that the product does not have is refused when the mapping is
// saved; when the product loses one, people have the rest, and it is told of
// once.
func TestScenarioC9ARoleThatIsNotThere(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	entra := s.connect(directory.Directory{Provider: scim.Entra})
	_, err := s.SetMapping(t.Context(), entra.key, byName("", "Staff emperor"), 0)
	require.ErrorContains(t, err, "emperor")
	both := byName("", "Staff editor", "Everybody viewer")
	both.Precedence = roles.Union
	entra.mapping(both)
	ada, grace := entra.hire("Ada"), entra.hire("Grace")
	staff, everybody := entra.group("Staff"), entra.group("Everybody", ada, grace)
	require.NotEmpty(t, everybody)

	s.start(func(cfg *scim.Config, _ *directory.Options) { cfg.Catalog.Roles = []string{"owner", "admin", "viewer"} })
	mark := s.mark()
	entra.join(staff, ada).fine()
	require.Equal(t, "viewer", s.access(ada.email), "the rest")
	require.Equal(t, []string{"membership.added", "mapping.invalid_role"}, s.since(mark))
	_, last := s.events("acme", mark)
	require.Equal(t, "editor", last.Name)
	mark = s.mark()
	entra.join(staff, grace).fine()
	require.Equal(t, []string{"membership.added"}, s.since(mark), "told of once")
	require.Equal(t, "viewer", s.access(grace.email))
}
