package scim_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/roles"
)

func TestE1RefuseSeatsForAWriteToThatUser(t *testing.T) {
	t.Parallel()
	g := newGuardRig(t, &scim.Usage{SeatLimit: 3, Seats: 1}, guardedBy(t, scim.Policy{}, everybodyEdits()))
	ada := g.post("/Users", person("ada"))
	eve := g.post("/Users", `{"userName":"eve","active":false,"emails":[{"value":"eve@acme.example"}]}`)
	bob := g.post("/Users", person("bob"))
	g.forget()
	g.do(http.MethodPost, "/Users", person("kim")).refused(http.StatusForbidden, "", "3 of 3 seats", "add seats")
	assert.Empty(t, g.find("/Users", `userName eq "kim"`), "nothing is stored")
	events := g.happened(scim.SeatLimitReached)
	assert.Equal(t, "3 of 3 seats are in use", events[0].Note)
	g.patch("/Users/"+eve, replaceOp("active", "true")).refused(http.StatusForbidden, "", "seat")
	g.happened() // told of once a crossing
	g.toldNothing()

	g.set("/Users/"+bob, "title", `"captain"`)
	assert.True(t, g.app.account(bob).Active, "who has a seat keeps it")
	g.forget()
	g.deactivate(ada)
	g.happened(scim.UserDeactivated, scim.SeatFreed)
	g.reactivate(eve)
	g.happened(scim.UserReactivated, scim.UserRolesChanged)
	g.do(http.MethodPost, "/Users", person("kim")).is(http.StatusForbidden)
	g.happened(scim.SeatLimitReached)
	assert.Equal(t, 2, g.counts().Seats)

	g.metered.has(scim.Usage{})
	g.post("/Users", person("kim")) // no limit
	g.metered.has(scim.Usage{SeatLimit: 1, Seats: 1})
	g.set("/Users/"+bob, "title", `"mate"`)
	assert.True(t, g.account(bob).Active, "nobody is evicted where the limit is lowered")
	assert.Equal(t, 3, g.counts().Seats)
}

// Through a group the state is accepted, and the grants beyond the limit are
// withheld in order of the user's id; what the person has without a seat stays.
func TestE1ThroughAGroupGrantsAreWithheld(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]scim.Policy{
		"refuse":    {Seats: scim.RefuseSeats},
		"free role": {Seats: scim.FreeRoleSeats, FreeRole: "viewer"},
		"hold":      {Seats: scim.HoldSeats},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuardRig(t, &scim.Usage{SeatLimit: 2}, guardedBy(t, policy, ranked()))
			ids := make([]string, 4)
			for i := range ids {
				ids[i] = g.post("/Users", person("user"+strconv.Itoa(i)))
			}
			g.forget()
			slices.Reverse(ids)
			engineers := g.post("/Groups", team("Engineers", ids...))
			slices.Reverse(ids)
			events := g.events()
			assert.Equal(t, scim.SeatLimitReached, events[len(events)-1].Type)
			assert.Len(t, g.get("/Groups/"+engineers).at("/members"), 4, "the state is accepted")
			for i, want := range []string{"editor", "editor", "viewer", "viewer"} {
				assert.Equal(t, []string{want}, g.names(ids[i]), i)
				waits := i >= 2
				assert.Equal(t, waits, g.state(ids[i]).Pending == scim.PendingSeat)
				assert.Equal(t, waits, !g.state(ids[i]).Since.IsZero())
			}
			assert.Equal(t, 2, g.counts().Seats)
			assert.Equal(t, 2, g.counts().Directories["okta"].Waiting)
			g.forget()

			// Another write to who waits is none of the limit's business.
			g.set("/Users/"+ids[3], "title", `"captain"`)
			assert.Equal(t, []string{"viewer"}, g.names(ids[3]))
			g.leave(engineers, ids[0])
			assert.Equal(t, []string{"editor"}, g.names(ids[2]), "served in the same transaction")
			assert.Equal(t, []string{"viewer"}, g.names(ids[3]))
			assert.Contains(t, eventTypes(g.events()), scim.SeatFreed)
			g.do(http.MethodDelete, "/Users/"+ids[1], "").is(http.StatusNoContent)
			assert.Equal(t, []string{"editor"}, g.names(ids[3]))
			assert.Equal(t, scim.Pending(0), g.state(ids[3]).Pending)
			g.counts()
		})
	}
}

func TestE1FreeRole(t *testing.T) {
	t.Parallel()
	g := newGuardRig(t, &scim.Usage{SeatLimit: 1}, guardedBy(t, scim.Policy{Seats: scim.FreeRoleSeats, FreeRole: "viewer"}, everybodyEdits()))
	ada, bob := g.post("/Users", person("ada")), g.post("/Users", person("bob"))
	assert.Equal(t, []string{"editor"}, g.names(ada))
	assert.Equal(t, []scim.Grant{byDefault("viewer")}, g.account(bob).Roles)
	g.forget()
	g.deactivate(ada)
	assert.Equal(t, []string{"editor"}, g.names(bob))
	g.happened(scim.UserDeactivated, scim.UserRolesChanged, scim.SeatFreed)
	g.reactivate(ada)
	assert.Equal(t, []string{"viewer"}, g.names(ada))
	assert.Equal(t, 1, g.counts().Seats)
}

// A free role that provisioning may not give is given to nobody.
func TestE1FreeRoleThatIsNone(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"", "admin", "owner", "guest"} {
		g := newGuardRig(t, &scim.Usage{SeatLimit: 1, Seats: 1}, guardedBy(t, scim.Policy{Seats: scim.FreeRoleSeats, FreeRole: role}, everybodyEdits()))
		ada := g.post("/Users", person("ada"))
		assert.Empty(t, g.account(ada).Roles, role)
		assert.Equal(t, scim.PendingSeat, g.state(ada).Pending, role)
	}
}

func TestE1HeldAccountsAreReleasedFirstInFirstOut(t *testing.T) {
	t.Parallel()
	g := newGuardRig(t, &scim.Usage{SeatLimit: 1}, guardedBy(t, scim.Policy{Seats: scim.HoldSeats}, everybodyEdits()))
	ada, early := g.post("/Users", person("ada")), g.post("/Users", `{"userName":"early","active":false,"emails":[{"value":"early@acme.example"}]}`)
	g.forget()
	late := g.post("/Users", person("late"))
	events := g.happened(scim.UserCreated, scim.UserHeld, scim.UserRolesChanged, scim.SeatLimitReached)
	assert.Equal(t, scim.HeldForSeat, events[1].Note)
	assert.Equal(t, scim.HeldForSeat, g.app.account(late).Held)
	assert.False(t, g.app.account(late).Active)
	g.get("/Users/"+late).shows("/active", true)
	g.reactivate(early) // has the smaller id, and came later
	assert.Equal(t, scim.HeldForSeat, g.account(early).Held)
	since := g.state(late).Since
	g.set("/Users/"+late, "title", `"captain"`)
	assert.True(t, since.Equal(g.state(late).Since), "a change costs nobody the place")
	require.NoError(t, g.scim.Engine().Resync(context.Background(), g.dir, late))
	assert.True(t, since.Equal(g.state(late).Since))
	var refused *scim.Error
	require.ErrorAs(t, g.scim.Engine().Release(context.Background(), g.dir, early), &refused)
	assert.Equal(t, scim.ReasonSeats, refused.Reason)
	assert.Equal(t, 2, g.counts().Directories["okta"].Held)

	g.forget()
	g.deactivate(ada)
	assert.True(t, g.app.account(late).Active)
	g.happened(scim.UserDeactivated, scim.UserReleased, scim.SeatFreed)
	assert.False(t, g.account(early).Active)
	g.do(http.MethodDelete, "/Users/"+late, "").is(http.StatusNoContent)
	assert.True(t, g.app.account(early).Active)
	assert.Equal(t, 1, g.counts().Seats)
}

// Who leaves while waiting waits no longer.
func TestE1WhoLeavesIsNotInTheQueue(t *testing.T) {
	t.Parallel()
	g := newGuardRig(t, &scim.Usage{SeatLimit: 1}, guardedBy(t, scim.Policy{Seats: scim.HoldSeats}, everybodyEdits()))
	ada, bob, kim := g.post("/Users", person("ada")), g.post("/Users", person("bob")), g.post("/Users", person("kim"))
	g.forget()
	g.deactivate(bob)
	g.happened(scim.UserDeactivated)
	assert.Empty(t, g.state(bob).Held)
	g.do(http.MethodDelete, "/Users/"+kim, "").is(http.StatusNoContent)
	assert.Equal(t, 0, g.counts().Directories["okta"].Waiting)
	g.deactivate(ada)
	assert.False(t, g.app.account(bob).Active)
	kim = g.post("/Users", person("kim"))
	assert.True(t, g.app.account(kim).Active, "comes back when there is a seat")
}

func TestE1Overage(t *testing.T) {
	t.Parallel()
	g := newGuardRig(t, &scim.Usage{SeatLimit: 1}, guardedBy(t, scim.Policy{Seats: scim.OverageSeats}, everybodyEdits()))
	g.post("/Users", person("ada"))
	g.forget()
	bob := g.post("/Users", person("bob"))
	events := g.happened(scim.UserCreated, scim.UserRolesChanged, scim.SeatLimitReached)
	assert.Equal(t, "2 of 1 seats are in use", events[2].Note)
	kim := g.post("/Users", person("kim"))
	g.happened(scim.UserCreated, scim.UserRolesChanged) // once a crossing
	assert.True(t, g.app.account(kim).Active)
	g.deactivate(kim)
	g.happened(scim.UserDeactivated, scim.SeatFreed)
	g.deactivate(bob)
	g.reactivate(bob)
	assert.Contains(t, eventTypes(g.events()), scim.SeatLimitReached, "another crossing")
	assert.Equal(t, 2, g.counts().Seats)
}

// By hand nobody gets a seat that is not there, and nothing that was given by
// hand is taken away.
func TestE1RolesGivenByHand(t *testing.T) {
	t.Parallel()
	for _, policy := range []scim.SeatPolicy{scim.RefuseSeats, scim.FreeRoleSeats, scim.HoldSeats} {
		t.Run(policy.String(), func(t *testing.T) {
			t.Parallel()
			g := newGuardRig(t, &scim.Usage{SeatLimit: 1}, guardedBy(t, scim.Policy{Seats: policy, FreeRole: "viewer"}, ranked()))
			ada, bob := g.post("/Users", person("ada")), g.post("/Users", person("bob"))
			engine := g.scim.Engine()
			require.NoError(t, engine.SetManualRoles(context.Background(), g.dir, ada, "editor"))
			var refused *scim.Error
			require.ErrorAs(t, engine.SetManualRoles(context.Background(), g.dir, bob, "editor"), &refused)
			assert.Equal(t, scim.ReasonSeats, refused.Reason)
			assert.Equal(t, []string{"viewer"}, g.names(bob))
			g.deactivate(ada)
			require.NoError(t, engine.SetManualRoles(context.Background(), g.dir, bob, "editor"))
			back := g.patch("/Users/"+ada, replaceOp("active", "true"))
			if policy == scim.RefuseSeats {
				back.refused(http.StatusForbidden, "", "seat")
				return
			}
			back.is(http.StatusOK)
			assert.Equal(t, scim.HeldForSeat, g.account(ada).Held)
			g.deactivate(bob)
			assert.Equal(t, []string{"editor", "viewer"}, g.names(ada))
			assert.Equal(t, 1, g.counts().Seats)
		})
	}
}

// A seat is for each person and not for each role.
func TestE1AnUpgradeOfWhoHasASeatNeedsNone(t *testing.T) {
	t.Parallel()
	g := newGuardRig(t, &scim.Usage{SeatLimit: 1}, guardedBy(t, scim.Policy{}, everybodyEdits()))
	ada := g.post("/Users", person("ada"))
	g.post("/Groups", team("Admins", ada))
	assert.Equal(t, []string{"admin"}, g.names(ada))
	assert.Equal(t, 1, g.counts().Seats)
}

// Members of a group give seats to each other in one request.
func TestE1ASwapInOneRequestNeedsNoSeat(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]scim.SeatPolicy{"refuse": scim.RefuseSeats, "hold": scim.HoldSeats} {
		for older := range 2 {
			t.Run(fmt.Sprint(name, older), func(t *testing.T) {
				t.Parallel()
				g := newGuardRig(t, &scim.Usage{SeatLimit: 1}, guardedBy(t, scim.Policy{Seats: policy}, ranked()))
				users := []string{g.post("/Users", person("ada")), g.post("/Users", person("bob"))}
				from, to := users[older], users[1-older]
				engineers := g.post("/Groups", team("Engineers", from))
				g.forget()
				g.do(http.MethodPut, "/Groups/"+engineers, team("Engineers", to)).is(http.StatusOK)
				assert.Equal(t, []string{"editor"}, g.names(to))
				assert.Equal(t, []string{"viewer"}, g.names(from))
				for _, e := range g.events() {
					assert.NotEqual(t, scim.SeatLimitReached, e.Type)
					assert.NotEqual(t, scim.SeatFreed, e.Type)
				}
				g.counts()
			})
		}
	}
}

// Who waits and cannot be told must keep nobody from leaving.
func TestE1ALeaverLeavesThoughNobodyCanBeServed(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(g *guardRig, user string){
		"PATCH": func(g *guardRig, user string) { g.deactivate(user) },
		"PUT": func(g *guardRig, user string) {
			g.do(http.MethodPut, "/Users/"+user, `{"userName":"ada","active":false,"emails":[{"value":"ada@acme.example"}]}`).is(http.StatusOK)
		},
		"DELETE": func(g *guardRig, user string) {
			g.do(http.MethodDelete, "/Users/"+user, "").is(http.StatusNoContent)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuardRig(t, &scim.Usage{SeatLimit: 1}, guardedBy(t, scim.Policy{Seats: scim.HoldSeats}, everybodyEdits()))
			ada, bob := g.post("/Users", person("ada")), g.post("/Users", person("bob"))
			g.metered.mu.Lock()
			g.metered.broken[bob] = true
			g.metered.mu.Unlock()
			g.forget()
			leave(g, ada)
			assert.False(t, g.app.account(ada).Active)
			assert.Equal(t, scim.HeldForSeat, g.state(bob).Held)
			assert.Len(t, g.events(), 1, "of what was done in the end")
			assert.Equal(t, 0, g.counts().Seats)
			g.metered.mu.Lock()
			g.metered.broken[bob] = false
			g.metered.mu.Unlock()
			require.NoError(t, g.scim.Engine().Resync(context.Background(), g.dir, bob))
			assert.True(t, g.app.account(bob).Active)
		})
	}
}

// One request serves no more than a hundred.
func TestE1ARequestServesABoundedNumber(t *testing.T) {
	t.Parallel()
	const n = 130
	g := newGuardRig(t, &scim.Usage{SeatLimit: n}, guardedBy(t, scim.Policy{}, ranked()))
	first, second := make([]string, n), make([]string, n)
	for i := range n {
		first[i], second[i] = g.post("/Users", person("a"+strconv.Itoa(i))), g.post("/Users", person("b"+strconv.Itoa(i)))
	}
	engineers := g.post("/Groups", team("Engineers", first...))
	g.post("/Groups", team("Admins", second...))
	assert.Equal(t, n, g.counts().Directories["okta"].Waiting)
	g.forget()
	g.do(http.MethodDelete, "/Groups/"+engineers, "").is(http.StatusNoContent)
	assert.Equal(t, 100, g.counts().Seats)
	assert.Equal(t, []string{"admin"}, g.names(second[99]), "in order of id")
	assert.Equal(t, []string{"viewer"}, g.names(second[100]))
	freed := slices.DeleteFunc(g.events(), func(e *scim.Event) bool { return e.Type != scim.SeatFreed })
	assert.Len(t, freed, 1)
	require.NoError(t, g.scim.Engine().Resync(context.Background(), g.dir, second...))
	assert.Equal(t, n, g.counts().Seats)
}

// Who is linked had a seat outside of the directories.
func TestE1WhoIsLinkedBringsTheSeat(t *testing.T) {
	t.Parallel()
	g := newGuardRig(t, &scim.Usage{SeatLimit: 1, Seats: 1}, guardedBy(t, scim.Policy{}, ranked()))
	linker := newRuleRig(t, g.store, scim.NoRoles{}, g.dir, g.clock, func(cfg *scim.Config) {
		cfg.Directories, cfg.Catalog = g.source, guardedCatalog
		cfg.Provisioner = &linkingApp{g.metered}
	})
	id := linker.post("/Users", person("ada"))
	assert.Equal(t, []string{"editor", "viewer"}, g.names(id))
	g.metered.has(scim.Usage{SeatLimit: 1})
	assert.Equal(t, 1, g.counts().Seats)
}

type linkingApp struct{ *meteredApp }

func (*linkingApp) ResolveExisting(context.Context, *scim.Account) (scim.Resolution, error) {
	return scim.Link("legacy", "editor"), nil
}

// A hook that does not know is no reason to evict anybody or to let anybody in.
func TestE1TheApplicationIsAskedOnceATransaction(t *testing.T) {
	t.Parallel()
	g := newGuardRig(t, &scim.Usage{SeatLimit: 2}, guardedBy(t, scim.Policy{}, roles.Mapping{Rules: []roles.Rule{{GroupName: "Engineers", Role: "editor"}}}))
	ids := make([]string, 5)
	for i := range ids {
		ids[i] = g.post("/Users", person("user"+strconv.Itoa(i)))
	}
	assert.Equal(t, 0, g.metered.asked)
	g.post("/Groups", team("Engineers", ids...))
	assert.Equal(t, 1, g.metered.asked)
	assert.Empty(t, g.account(ids[2]).Roles, "without a default role nothing is left")
}

// B8: mass changes.

func (g *guardRig) hire(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = g.post("/Users", person("user"+strconv.Itoa(i)))
	}
	return ids
}

func attentions(events []*scim.Event) []string {
	var notes []string
	for _, e := range events {
		if e.Type == scim.DirectoryAttention && e.Name == scim.AttentionMassChange {
			notes = append(notes, e.Note)
		}
	}
	return notes
}

func TestB8AMassChangeIsToldOfAndApplied(t *testing.T) {
	t.Parallel()
	g := newGuardRig(t, nil, guardedBy(t, scim.Policy{}, ranked()))
	ids := g.hire(60)
	g.forget()
	for i := range 12 {
		if i%2 == 0 {
			g.deactivate(ids[i])
		} else {
			g.do(http.MethodDelete, "/Users/"+ids[i], "").is(http.StatusNoContent)
		}
	}
	assert.Empty(t, attentions(g.events()), "a fifth of 60 is 12")
	g.deactivate(ids[12])
	assert.Equal(t, []string{"13 of 60 active users were deactivated or deleted within an hour"}, attentions(g.events()))
	g.deactivate(ids[13])
	assert.Empty(t, attentions(g.events()), "once an hour")
	assert.False(t, g.app.account(ids[13]).Active)

	g.clock.now = g.clock.now.Add(30 * time.Minute)
	g.deactivate(ids[14])
	assert.Empty(t, attentions(g.events()))
	g.clock.now = g.clock.now.Add(31 * time.Minute)
	g.deactivate(ids[15])
	assert.Empty(t, attentions(g.events()), "those of an hour ago do not count any more")
	for _, id := range ids[16:26] {
		g.deactivate(id)
	}
	assert.Len(t, attentions(g.events()), 1, "another hour")
	g.counts()
}

func TestB8TenMayAlwaysLeave(t *testing.T) {
	t.Parallel()
	g := newGuardRig(t, nil, guardedBy(t, scim.Policy{MassChange: scim.HoldMassChange}, ranked()))
	for _, id := range g.hire(10) {
		g.deactivate(id)
		g.set("/Users/"+id, "title", `"gone"`)
		g.do(http.MethodDelete, "/Users/"+id, "").is(http.StatusNoContent) // has no access to lose
	}
	assert.Empty(t, attentions(g.events()))
}

func TestB8HoldUntilAnAdministratorConfirms(t *testing.T) {
	t.Parallel()
	g := newGuardRig(t, nil, guardedBy(t, scim.Policy{MassChange: scim.HoldMassChange}, ranked()))
	ids := g.hire(20)
	for _, id := range ids[:10] {
		g.deactivate(id)
	}
	g.forget()
	for name, send := range map[string]func() *reply{
		"PATCH":  func() *reply { return g.patch("/Users/"+ids[10], replaceOp("active", "false")) },
		"DELETE": func() *reply { return g.do(http.MethodDelete, "/Users/"+ids[10], "") },
	} {
		a := send()
		a.refused(http.StatusServiceUnavailable, "", "11 of 20 active users", "confirm")
		assert.Equal(t, "600", a.header.Get("Retry-After"), name)
		g.get("/Users/"+ids[10]).shows("/active", true)
	}
	g.toldNothing()
	assert.Len(t, attentions(g.happened(scim.DirectoryAttention)), 1, "the alert is there though the request is not, once")
	g.set("/Users/"+ids[10], "title", `"captain"`)
	g.counts()

	until := g.clock.Now().Add(20 * time.Minute)
	require.NoError(t, g.scim.Engine().ConfirmMassChange(context.Background(), g.dir, until))
	for _, id := range ids[10:15] {
		g.deactivate(id)
	}
	g.clock.now = until
	g.patch("/Users/"+ids[15], replaceOp("active", "false")).is(http.StatusServiceUnavailable)
	g.clock.now = until.Add(61 * time.Minute)
	g.deactivate(ids[15])
	err := newManagedRig(t, scim.NoRoles{}, g.dir, nil).scim.Engine().ConfirmMassChange(context.Background(), g.dir, until)
	require.ErrorContains(t, err, "Directories")
}

// A clock that jumps holds nobody up for longer than the hour that it names.
func TestB8ClockJumps(t *testing.T) {
	t.Parallel()
	for name, jump := range map[string]time.Duration{"back": -1000 * time.Hour, "ahead": 1000 * time.Hour, "a little back": -time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuardRig(t, nil, guardedBy(t, scim.Policy{MassChange: scim.HoldMassChange}, ranked()))
			ids := g.hire(30)
			for _, id := range ids[:10] {
				g.deactivate(id)
			}
			g.patch("/Users/"+ids[10], replaceOp("active", "false")).is(http.StatusServiceUnavailable)
			g.clock.now = g.clock.now.Add(jump)
			now := g.patch("/Users/"+ids[10], replaceOp("active", "false")).status
			assert.Equal(t, jump.Abs() > time.Hour, now == http.StatusOK)
			g.clock.now = g.clock.now.Add(61 * time.Minute)
			g.deactivate(ids[11])
			g.clock.now = g.clock.now.Add(-jump).Add(61 * time.Minute)
			g.deactivate(ids[12])
			g.forget()
			for _, id := range ids[13:22] {
				g.send(http.MethodPatch, "/Users/"+id, patchBody(replaceOp("active", "false")))
			}
			g.send(http.MethodPatch, "/Users/"+ids[23], patchBody(replaceOp("active", "false")))
			assert.Len(t, attentions(g.events()), 1, "it still counts and tells")
		})
	}
}
