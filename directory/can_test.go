package directory_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
)

// can reports whether an administrator can, and requires a reason where not.
func (w *workshop) can(action directory.Action, who directory.Person) bool {
	w.t.Helper()
	ok, reason, err := w.Can(w.t.Context(), "acme", action, who)
	require.NoError(w.t, err)
	require.Equal(w.t, ok, reason == "", "%s: %q", action, reason)
	return ok
}

var everyAction = []directory.Action{
	directory.ActionInvite, directory.ActionActivate, directory.ActionDeactivate, directory.ActionDelete, directory.ActionRemoveLegacy,
	directory.ActionEditProfile, directory.ActionChangeEmail, directory.ActionChangeRoles, directory.ActionGrantProtected, directory.ActionEditGroup,
}

// The matrix of rule C8: what administrators may do by hand under each lock, in
// the order of everyAction.
func TestC8Locks(t *testing.T) {
	t.Parallel()
	const (
		all     = "invite activate deactivate delete remove-legacy edit-profile change-email change-roles grant-protected edit-group"
		managed = "grant-protected"
	)
	for name, c := range map[string]struct {
		lock                    scim.LockPolicy
		managed, legacy, nobody string // what is allowed with a managed person, a legacy one, and about nobody
	}{
		"managed only":    {scim.ManagedOnly, managed, all, all},
		"strict":          {scim.StrictLock, managed, "delete remove-legacy edit-profile change-email change-roles grant-protected", "delete remove-legacy edit-profile change-email change-roles grant-protected"},
		"last write wins": {scim.LastWriteWins, "invite activate deactivate delete edit-profile change-email change-roles grant-protected edit-group", all, all},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorkshop(t, nil)
			w.person("ada")
			w.update(func(d *directory.Directory) { d.Policy.Lock = c.lock })
			for _, who := range []struct {
				name, want string
				person     directory.Person
			}{
				{"managed", c.managed, email("Ada@acme.example")},
				{"managed by id", c.managed, directory.Person{HostID: "host-ada@acme.example"}},
				{"legacy", c.legacy, directory.Person{HostID: "host-old", Email: "old@acme.example"}},
				{"nobody", c.nobody, directory.Person{}},
			} {
				var allowed string
				for _, action := range everyAction {
					if w.can(action, who.person) {
						if allowed != "" {
							allowed += " "
						}
						allowed += string(action)
					}
				}
				assert.Equal(t, who.want, allowed, who.name)
			}
		})
	}
}

func TestC8ReasonsAreForATooltip(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	w.person("ada")
	for action, want := range map[directory.Action]string{
		directory.ActionChangeRoles:  "this person is managed by Okta; roles follow the groups there",
		directory.ActionRemoveLegacy: "this person is managed by Okta; remove them there",
	} {
		_, reason, err := w.Can(t.Context(), "acme", action, email("ada@acme.example"))
		require.NoError(t, err)
		assert.Equal(t, want, reason)
	}
	w.update(func(d *directory.Directory) { d.Policy.Lock = scim.StrictLock })
	_, reason, err := w.Can(t.Context(), "acme", directory.ActionInvite, email("new@acme.example"))
	require.NoError(t, err)
	assert.Equal(t, "invitations are off: people come from Okta", reason)
	_, _, err = w.Can(t.Context(), "acme", "dance", email("ada@acme.example"))
	require.Error(t, err)
}

func TestC8WhoTheDirectoryHasGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	gone, out := w.person("gone"), w.person("out")
	w.do(http.MethodDelete, "/Users/"+gone, "")
	w.setActive(out, false)
	assert.False(t, w.can(directory.ActionInvite, email("gone@acme.example")), "B6: the provider has removed the person")
	assert.True(t, w.can(directory.ActionRemoveLegacy, email("gone@acme.example")))
	assert.False(t, w.can(directory.ActionActivate, email("out@acme.example")))

	w.retire(scim.ReleaseAccounts, true)
	assert.True(t, w.can(directory.ActionInvite, email("gone@acme.example")), "B9: nobody manages them any more")
	assert.True(t, w.can(directory.ActionActivate, email("out@acme.example")))
}

func TestC8APausedDirectoryLeavesTheEndOfAccess(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	w.person("ada")
	w.update(func(d *directory.Directory) { d.Policy.Lock = scim.StrictLock })
	require.NoError(t, w.Pause(t.Context(), w.key))
	ada := email("ada@acme.example")
	assert.True(t, w.can(directory.ActionDeactivate, ada))
	assert.False(t, w.can(directory.ActionChangeRoles, ada), "what is done by hand would not last")
	assert.True(t, w.can(directory.ActionInvite, email("new@acme.example")), "B9: nobody else can bring people")
}

func TestA6AGuestMayBeInvited(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	w.person("ada")
	w.update(func(d *directory.Directory) { d.Policy.Domain = scim.GuestDomain })
	w.person("guest")
	assert.True(t, w.can(directory.ActionInvite, email("guest@acme.example")))
	assert.False(t, w.can(directory.ActionChangeRoles, email("guest@acme.example")))
	assert.False(t, w.can(directory.ActionInvite, email("ada@acme.example")))
}

// A9: the strictest of those that manage a person decides.
func TestA9TheStrictestDirectoryDecides(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	other := w.setUp(directory.Directory{ID: "other", Name: "Entra", Policy: scim.Policy{Domain: scim.AnyDomain}})
	w.update(func(d *directory.Directory) { d.Policy.Lock = scim.LastWriteWins })
	w.person("ada")
	assert.True(t, w.can(directory.ActionChangeRoles, email("ada@acme.example")))
	other.person("ada")
	assert.False(t, w.can(directory.ActionChangeRoles, email("ada@acme.example")))
	assert.True(t, w.can(directory.ActionChangeRoles, email("grace@acme.example")))
}

func TestB7TheLastAdministratorStays(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	w.update(func(d *directory.Directory) { d.Policy.Lock = scim.LastWriteWins })
	ada := w.person("ada")
	w.team("Admins", ada)
	w.apply(byName("", "Admins admin"))
	one := func(outside int) {
		w.tally(func(t *scim.Tally) { t.Administrators = 1 })
		w.app.set(func(a *app) { a.usage.Administrators = outside })
	}
	one(0)
	for _, action := range []directory.Action{directory.ActionDeactivate, directory.ActionDelete, directory.ActionChangeRoles} {
		assert.False(t, w.can(action, email("ada@acme.example")), action)
	}
	assert.True(t, w.can(directory.ActionEditProfile, email("ada@acme.example")))
	one(1)
	assert.True(t, w.can(directory.ActionDeactivate, email("ada@acme.example")))

	// Of people whom no directory manages the application says what they are.
	w.tally(func(t *scim.Tally) { t.Administrators = 0 })
	legacy := directory.Person{Email: "old@acme.example", Roles: []string{"admin"}}
	assert.False(t, w.can(directory.ActionRemoveLegacy, legacy))
	legacy.Roles = []string{"viewer"}
	assert.True(t, w.can(directory.ActionRemoveLegacy, legacy))
}
