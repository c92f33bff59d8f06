package scim_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
)

// Where the rules about guards (B7, B8, E1), switches (B10) and several
// directories (A9) meet.

// B7 meets B10: the provider's word was accepted when the switch was off, and
// cannot be refused any more.

func TestB7WhoLingersAndIsTheLastAdministratorStays(t *testing.T) {
	t.Parallel()
	for name, pass := range map[string]func(g *guardRig, id string){
		"reconcile": func(g *guardRig, id string) { assert.Equal(g.t, 1, g.reconcile(id)) },
		"resync":    func(g *guardRig, id string) { g.reload(id) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuardRig(t, &scim.Usage{}, guardedBy(t, scim.Policy{}, ranked()))
			ada := g.post("/Users", person("ada"))
			admins := g.post("/Groups", team("Admins", ada))
			g.off(scim.DeactivateUsers)
			g.do(http.MethodDelete, "/Users/"+ada, "").is(http.StatusNoContent)
			g.off(0)
			g.forget()

			pass(g, ada)
			for _, a := range g.app.drain() {
				assert.True(t, a.Active)
			}
			assert.True(t, g.account(ada).Active)
			assert.Equal(t, scim.PendingAdmin|scim.PendingDeactivate, g.state(ada).Pending, "kept and flagged")
			e := g.happened(scim.TenantLastAdminProtected)[0]
			assert.Equal(t, ada, e.Name)
			assert.Nil(t, e.Data)
			assert.Zero(t, g.reconcile(ada))
			g.happened()
			g.toldNothing()
			assert.Equal(t, 1, g.counts().Administrators)

			// Another administrator is what it waits for.
			bob := g.post("/Users", person("bob"))
			g.forget()
			g.join(admins, bob)
			told := g.app.drain()
			require.Len(t, told, 2)
			assert.Equal(t, []string{bob, ada}, []string{told[0].ID, told[1].ID})
			assert.Equal(t, scim.Deleted, told[1].Change)
			assert.False(t, told[1].Active)
			assert.Empty(t, g.waiting())
			assert.Equal(t, 1, g.counts().Administrators)
		})
	}
}

func TestB7OneOfTheLastAdministratorsWhoLingerStays(t *testing.T) {
	t.Parallel()
	g := newGuardRig(t, &scim.Usage{}, guardedBy(t, scim.Policy{}, ranked()))
	ada, bob, kim := g.post("/Users", person("ada")), g.post("/Users", person("bob")), g.post("/Users", person("kim"))
	g.post("/Groups", team("Admins", ada, bob, kim))
	g.off(scim.DeactivateUsers)
	g.do(http.MethodDelete, "/Users/"+ada, "").is(http.StatusNoContent)
	g.deactivate(bob)
	g.do(http.MethodDelete, "/Users/"+kim, "").is(http.StatusNoContent)
	g.off(0)
	assert.Equal(t, 3, g.reconcile(ada, bob, kim))
	assert.False(t, g.account(ada).Active)
	assert.False(t, g.account(bob).Active)
	assert.True(t, g.account(kim).Active, "the last that was looked at")
	assert.Equal(t, 1, g.counts().Administrators)
}

func TestB7WhoLingersAndComesBackStaysTheLastAdministrator(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body string
		off  scim.Switches
	}{
		"without the group":                 {person("ada"), scim.DeactivateUsers},
		"switched on again":                 {person("ada"), 0},
		"inactive":                          {`{"userName":"ada","externalId":"ext-ada","active":false,"emails":[{"value":"ada@acme.example"}]}`, scim.DeactivateUsers},
		"inactive, and switched on again":   {`{"userName":"ada","externalId":"ext-ada","active":false,"emails":[{"value":"ada@acme.example"}]}`, 0},
		"without the group, and no seat is": {person("ada"), scim.CreateUsers},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuardRig(t, &scim.Usage{SeatLimit: 1}, guardedBy(t, scim.Policy{}, ranked()))
			ada := g.post("/Users", person("ada"))
			admins := g.post("/Groups", team("Admins", ada))
			g.off(scim.DeactivateUsers)
			g.do(http.MethodDelete, "/Users/"+ada, "").is(http.StatusNoContent)
			g.off(c.off)
			g.metered.has(scim.Usage{SeatLimit: 1, Seats: 1}) // nobody who has a seat loses it
			ada = g.post("/Users", c.body)
			a := g.account(ada)
			assert.True(t, a.Active)
			assert.Equal(t, []string{"admin"}, a.RoleNames()[:1])
			assert.NotZero(t, g.state(ada).Pending&scim.PendingAdmin)
			assert.Equal(t, 1, g.counts().Administrators)

			g.metered.has(scim.Usage{Administrators: 1, SeatLimit: 1, Seats: 1})
			g.off(0)
			g.join(admins, ada)
			assert.Empty(t, g.waiting())
			g.counts()
		})
	}
}

// Who was let go already is not let go by a change of the title.
func TestB7AChangeOfWhoWasKeptIsNotRefused(t *testing.T) {
	t.Parallel()
	g := newGuardRig(t, &scim.Usage{}, guardedBy(t, scim.Policy{}, ranked()))
	ada := g.post("/Users", person("ada"))
	admins := g.post("/Groups", team("Admins", ada))
	g.off(scim.DeactivateUsers)
	g.deactivate(ada)
	g.off(0)
	g.set("/Users/"+ada, "title", `"captain"`)
	g.set("/Users/"+ada, "title", `"admiral"`)
	assert.True(t, g.account(ada).Active)
	assert.Equal(t, scim.PendingAdmin, g.state(ada).Pending)
	g.do(http.MethodDelete, "/Users/"+ada, "").refused(http.StatusForbidden, "", "last administrator")
	g.forget()
	g.reactivate(ada)
	assert.Equal(t, scim.Updated, g.told().Change, "the application was not told that the person had left")
	assert.Empty(t, g.waiting())

	g.off(scim.DeactivateUsers)
	g.deactivate(ada)
	g.off(0)
	g.reconcile(ada)
	bob := g.post("/Users", person("bob"))
	g.forget()
	g.join(admins, bob)
	told := g.app.drain()
	require.Len(t, told, 2)
	assert.Equal(t, scim.Deactivated, told[1].Change)
	assert.False(t, told[1].Active)
}

// E1 meets B10 and A9: who is served is no part of what the request does to groups.
func TestE1WhoIsServedIsNotGivenTheGroupOfTheRequest(t *testing.T) {
	t.Parallel()
	okta, entra := newPair(t, &scim.Usage{SeatLimit: 1}, scim.Policy{})
	ada := okta.post("/Users", person("ada"))
	engineers := okta.post("/Groups", team("Engineers", ada))
	bob := entra.post("/Users", person("bob"))
	theirs := entra.post("/Groups", team("Engineers", bob))
	require.Equal(t, scim.PendingSeat, entra.state(bob).Pending)
	entra.off(scim.SyncGroups)
	okta.leave(engineers, ada)
	assert.Equal(t, []string{theirs}, groupIDs(entra.account(bob)))
	assert.Equal(t, []string{"editor"}, entra.account(bob).RoleNames())
	assert.Zero(t, entra.state(bob).Pending)
	assert.Zero(t, okta.logged().Withheld)
}

// E1 meets A6: waiting for a seat is no way around the check of the domain.
func TestA6WhoWaitsForASeatAndLeavesTheDomainsIsHeldForIt(t *testing.T) {
	t.Parallel()
	g := newGuardRig(t, &scim.Usage{SeatLimit: 1}, guardedBy(t, scim.Policy{Domain: scim.GuestDomain, Email: scim.AllowEmailChange, Seats: scim.HoldSeats}, everybodyEdits()))
	ada, bob := g.post("/Users", person("ada")), g.post("/Users", person("bob"))
	require.Equal(t, scim.HeldForSeat, g.state(bob).Held)
	g.set("/Users/"+bob, "emails", `[{"value":"bob@else.example"}]`)
	assert.Equal(t, scim.HeldForDomain, g.state(bob).Held)
	g.deactivate(ada)
	assert.False(t, g.account(bob).Active)
	g.counts()
}

// E1: first in, first out also where several get what is free at once.
func TestE1ReconcileServesWhoHasWaitedLongest(t *testing.T) {
	t.Parallel()
	g := newGuardRig(t, &scim.Usage{SeatLimit: 1}, guardedBy(t, scim.Policy{Seats: scim.HoldSeats}, ranked()))
	ada, bob := g.post("/Users", `{"userName":"ada","active":false,"emails":[{"value":"ada@acme.example"}]}`), g.post("/Users", `{"userName":"bob","active":false,"emails":[{"value":"bob@acme.example"}]}`)
	kim := g.post("/Users", person("kim"))
	g.post("/Groups", team("Engineers", ada, bob, kim))
	g.reactivate(bob)
	g.reactivate(ada)
	g.metered.has(scim.Usage{SeatLimit: 2})
	assert.Equal(t, 1, g.reconcile(ada, bob))
	assert.True(t, g.account(bob).Active)
	assert.Equal(t, scim.HeldForSeat, g.state(ada).Held)
}

// B4 meets B10: who comes back, and leaves again before the application is told,
// comes back to the same account the next time.
func TestB4WhoComesBackUnheardAndLeavesKeepsTheAccount(t *testing.T) {
	t.Parallel()
	g := newGuardRig(t, &scim.Usage{}, guardedBy(t, scim.Policy{}, ranked()))
	ada := g.post("/Users", person("ada"))
	require.NoError(t, g.scim.Engine().SetManualRoles(context.Background(), g.dir, ada, "editor"))
	host := g.state(ada).HostID
	g.do(http.MethodDelete, "/Users/"+ada, "").is(http.StatusNoContent)
	g.off(scim.CreateUsers)
	g.forget()
	g.do(http.MethodDelete, "/Users/"+g.post("/Users", person("ada")), "").is(http.StatusNoContent)
	g.toldNothing()
	g.off(0)
	ada = g.post("/Users", person("ada"))
	assert.Equal(t, host, g.state(ada).HostID)
	assert.Contains(t, g.account(ada).Roles, byHand("editor"))
}

// E1 meets B9: nobody gets a seat in a directory that is given up.
func TestB9NobodyIsServedInARetiredDirectory(t *testing.T) {
	t.Parallel()
	g := newGuardRig(t, &scim.Usage{SeatLimit: 1}, guardedBy(t, scim.Policy{Seats: scim.HoldSeats}, everybodyEdits()))
	ada, bob := g.post("/Users", person("ada")), g.post("/Users", person("bob"))
	require.Equal(t, scim.HeldForSeat, g.state(bob).Held)
	g.dir.Disabled = true
	g.forget()
	for _, id := range []string{ada, bob} {
		require.NoError(t, g.scim.Engine().Retire(context.Background(), g.dir, scim.DeactivateAll, id))
		assert.False(t, g.told().Active)
	}
	assert.Empty(t, g.waiting(), "there is nothing to wait for")
	assert.Zero(t, g.counts().Seats)
}

// B7 meets B10: a protected role of who was deleted can be taken away by hand.
func TestB7AProtectedRoleOfWhoLingersCanBeTakenAway(t *testing.T) {
	t.Parallel()
	g := newGuardRig(t, &scim.Usage{Administrators: 1, SeatLimit: 1, Seats: 1}, guardedBy(t, scim.Policy{}, ranked()))
	ctx, engine := context.Background(), g.scim.Engine()
	ada := g.post("/Users", person("ada"))
	require.NoError(t, engine.SetManualRoles(ctx, g.dir, ada, "owner"))
	g.off(scim.DeactivateUsers)
	g.do(http.MethodDelete, "/Users/"+ada, "").is(http.StatusNoContent)
	g.off(0)
	assert.Equal(t, 1, g.reconcile(ada))
	assert.True(t, g.account(ada).Active)
	var refused *scim.Error
	require.ErrorAs(t, engine.SetManualRoles(ctx, g.dir, ada, "owner", "editor"), &refused)
	assert.Equal(t, scim.ReasonSeats, refused.Reason)
	require.ErrorIs(t, engine.Release(ctx, g.dir, ada), scim.ErrNotFound)
	require.NoError(t, engine.SetManualRoles(ctx, g.dir, ada))
	assert.Equal(t, 1, g.reconcile(ada))
	assert.False(t, g.account(ada).Active)
	require.ErrorIs(t, engine.SetManualRoles(ctx, g.dir, ada), scim.ErrNotFound)
	g.counts()
}

// E1: a role by hand that needs a seat costs nobody the access without one.
func TestE1ARoleByHandIsRefusedToWhoWaitsWithAccess(t *testing.T) {
	t.Parallel()
	g := newGuardRig(t, &scim.Usage{SeatLimit: 1, Seats: 1}, guardedBy(t, scim.Policy{}, ranked()))
	ctx, engine := context.Background(), g.scim.Engine()
	ada := g.post("/Users", person("ada"))
	g.post("/Groups", team("Engineers", ada))
	require.Equal(t, scim.PendingSeat, g.state(ada).Pending)
	g.forget()
	var refused *scim.Error
	require.ErrorAs(t, engine.SetManualRoles(ctx, g.dir, ada, "editor"), &refused)
	assert.Equal(t, scim.ReasonSeats, refused.Reason)
	g.toldNothing()
	assert.Equal(t, []string{"viewer"}, g.account(ada).RoleNames())
}

// E1: what is refused has done nothing.
func TestE1AReleaseWithoutASeatDoesNothing(t *testing.T) {
	t.Parallel()
	g := newGuardRig(t, &scim.Usage{SeatLimit: 1, Seats: 1}, guardedBy(t, scim.Policy{Seats: scim.HoldSeats}, everybodyEdits()))
	ada := g.post("/Users", person("ada"))
	g.forget()
	before := g.state(ada)
	require.Error(t, g.scim.Engine().Release(context.Background(), g.dir, ada))
	g.happened()
	assert.Equal(t, before, g.state(ada))
}

// E1 meets B10: who is out of the directory is not held, and keeps the access that
// is left by a switch.
func TestE1WhoLingersAndJoinsABillableGroupKeepsTheAccess(t *testing.T) {
	t.Parallel()
	okta, entra := newPair(t, &scim.Usage{SeatLimit: 1, Seats: 1}, scim.Policy{Seats: scim.HoldSeats})
	ada := entra.post("/Users", person("ada")) // with access, and no role
	entra.off(scim.DeactivateUsers)
	entra.deactivate(ada)
	entra.post("/Groups", team("Engineers", ada))
	assert.Equal(t, scim.PendingSeat|scim.PendingDeactivate, entra.state(ada).Pending)
	assert.True(t, entra.account(ada).Active)
	assert.Zero(t, entra.reconcile(ada))
	entra.off(0)
	assert.Equal(t, 1, entra.reconcile(ada))
	assert.Zero(t, entra.state(ada).Pending)
	okta.counts()
}

// A9: who is held because the email is another person's is not that person in
// another directory either.
func TestA9WhoIsHeldForTheEmailGetsNoAccessByIt(t *testing.T) {
	t.Parallel()
	okta, entra := newPair(t, &scim.Usage{}, scim.Policy{Email: scim.KeepEmail})
	a := okta.post("/Users", person("ada"))
	okta.post("/Groups", team("Admins", a))
	b := entra.post("/Users", person("ada"))
	entra.set("/Users/"+b, "emails", `[{"value":"lovelace@acme.example","type":"work","primary":true}]`)
	entra.set("/Users/"+b, "userName", `"lovelace"`)
	okta.forget()
	other := entra.post("/Users", `{"userName":"ada2","active":true,"emails":[{"value":"ada@acme.example"}]}`)
	told := okta.told()
	assert.Equal(t, scim.HeldForEmail, told.Held)
	assert.False(t, told.Active)
	assert.Empty(t, told.Roles)
	assert.Equal(t, scim.HeldForEmail, entra.state(other).Held)
	okta.counts()
}

// A9 meets B10: what was given by hand to an account that the application was not
// told of is not told of another one either.
func TestA9AnAccountThatNobodyWasToldOfGivesNoRole(t *testing.T) {
	t.Parallel()
	okta, entra := newPair(t, &scim.Usage{}, scim.Policy{})
	a := okta.post("/Users", person("ada"))
	entra.off(scim.CreateUsers)
	b := entra.post("/Users", person("ada"))
	require.NoError(t, entra.scim.Engine().SetManualRoles(context.Background(), entra.dir, b, "editor"))
	assert.Equal(t, []string{"viewer"}, okta.account(a).RoleNames())
	assert.Zero(t, okta.counts().Seats)
	entra.off(0)
	entra.reconcile(b)
	assert.Equal(t, []string{"editor", "viewer"}, okta.account(a).RoleNames())
	assert.Equal(t, 1, okta.counts().Seats)
}
