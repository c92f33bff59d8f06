package scim_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/roles"
)

// What was decided under other circumstances is decided anew by Reconcile.

func TestA6AHoldForTheDomainIsReleasedWhenTheDomainIsRegistered(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*scim.Directory){
		"registered":       func(d *scim.Directory) { d.Domains = append(d.Domains, "partner.example") },
		"no longer needed": func(d *scim.Directory) { d.Policy.Domain = scim.AnyDomain },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newManagedRig(t, mappedRoles(t), acme(scim.Policy{Domain: scim.GuestDomain}), nil)
			id := r.post("/Users", `{"userName":"guest@partner.example"}`)
			other := r.post("/Users", `{"userName":"guest@other.example"}`)
			r.forget()
			assert.Zero(t, r.reconcile(id, other))
			change(r.dir)
			r.dir.Domains = append(r.dir.Domains, "acme.example")
			r.reconcile(id, other)
			told := r.app.drain()
			assert.Equal(t, id, told[0].ID)
			assert.True(t, told[0].Active)
			assert.Equal(t, scim.HeldForDomain, r.events()[0].Note)
			assert.Zero(t, r.reconcile(id, other))
			assert.Equal(t, name == "registered", !r.account(other).Active)
		})
	}
}

func TestA6ReconcilingAfterADomainIsGoneDeprovisionsNobody(t *testing.T) {
	t.Parallel()
	for _, policy := range []scim.DomainPolicy{scim.RejectDomain, scim.GuestDomain} {
		t.Run(policy.String(), func(t *testing.T) {
			t.Parallel()
			r := newManagedRig(t, scim.NoRoles{}, acme(scim.Policy{Domain: policy}), nil)
			id := r.post("/Users", person("ada"))
			r.forget()
			r.dir.Domains = nil
			assert.Zero(t, r.reconcile(id))
			r.toldNothing()
			assert.True(t, r.account(id).Active)
		})
	}
}

func TestA7AHoldForTheEmailIsReleasedWhenNobodyElseHasIt(t *testing.T) {
	t.Parallel()
	for name, give := range map[string]func(r *ruleRig, ada string){
		"approved": func(r *ruleRig, ada string) {
			require.NoError(r.t, r.scim.Engine().ApproveEmail(context.Background(), r.dir, ada))
		},
		"deleted":        func(r *ruleRig, ada string) { r.do("DELETE", "/Users/"+ada, "").is(http.StatusNoContent) },
		"another policy": func(r *ruleRig, _ string) { r.dir.Policy.Email = scim.AllowEmailChange },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newManagedRig(t, scim.NoRoles{}, acme(scim.Policy{Email: scim.KeepEmail}), nil)
			ada := r.post("/Users", person("ada"))
			r.set("/Users/"+ada, `emails[type eq "work"].value`, `"countess@acme.example"`)
			id := r.post("/Users", `{"userName":"namesake","emails":[{"value":"ada@acme.example"}]}`)
			assert.Equal(t, scim.HeldForEmail, r.account(id).Held)
			assert.Zero(t, r.reconcile(id, ada), "it is kept still")
			give(r, ada)
			r.forget()
			assert.NotZero(t, r.reconcile(id, ada))
			assert.True(t, r.account(id).Active)
			r.happened(scim.UserReleased)
			assert.Zero(t, r.reconcile(id, ada))
		})
	}
}

func TestA4AHeldBackEmailPassesWhereThePolicyAllowsItNow(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, acme(scim.Policy{Email: scim.KeepEmail}), nil)
	id := r.post("/Users", person("ada"))
	r.set("/Users/"+id, `emails[type eq "work"].value`, `"countess@acme.example"`)
	r.forget()
	assert.Zero(t, r.reconcile(id))
	r.dir.Policy.Email = scim.EmailWithinDomains
	assert.Equal(t, 1, r.reconcile(id))
	assert.Equal(t, "countess@acme.example", r.told().Email)
	assert.Empty(t, r.state(id).RefusedEmail)
}

func TestC5ReconcileAppliesAnotherMapping(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, strictly(), nil)
	r.dir.Roles = mappedRoles(t)
	ada, grace := r.post("/Users", person("ada")), r.post("/Users", person("grace"))
	group := r.post("/Groups", team("Engineers", ada))
	gone := r.post("/Users", person("ken"))
	r.do("DELETE", "/Users/"+gone, "").is(http.StatusNoContent)
	r.forget()
	r.dir.Roles = mappedBy(t, roles.Mapping{Rules: []roles.Rule{{GroupName: "Engineers", Role: "builder"}}, Default: "viewer"})
	assert.Equal(t, 1, r.reconcile(ada, grace, gone, "nobody", ada), "who is unknown, gone or unaffected is skipped")
	a := r.told()
	assert.Equal(t, []scim.Grant{fromGroup("builder", group)}, a.Roles)
	assert.Equal(t, scim.Updated, a.Change)
	r.happened(scim.UserRolesChanged)
	assert.Equal(t, "reconcile", r.logged().Path)
	assert.Zero(t, r.reconcile(ada, grace, gone))
	assert.NotEqual(t, "-", r.lines()[1].Method, "what comes to nothing is not logged")
}

// lines returns the lines of the request log, the newest first.
func (r *ruleRig) lines() []*scim.LogEntry {
	r.t.Helper()
	entries, err := r.store.Requests(context.Background(), r.dir.Key(), 1000)
	require.NoError(r.t, err)
	return entries
}

func TestB10AMappingChangesRolesWhereGroupsAreSwitchedOff(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, strictly(), nil)
	r.dir.Roles = mappedRoles(t)
	ada := r.post("/Users", person("ada"))
	engineers, admins := r.post("/Groups", team("Engineers", ada)), r.post("/Groups", team("Admins"))
	r.off(scim.SyncGroups)
	r.leave(engineers, ada)
	r.join(admins, ada)
	r.forget()
	r.dir.Roles = mappedBy(t, roles.Mapping{Rules: []roles.Rule{{GroupName: "Admins", Role: "admin"}}, Default: "viewer"})
	assert.Equal(t, 1, r.reconcile(ada))
	assert.Equal(t, []scim.Grant{byDefault("viewer")}, r.told().Roles, "the administrator took the role away, of the group that is told")
}

// An error of the host takes everything back.
func TestB12AReconcileThatFailsHasDoneNothing(t *testing.T) {
	t.Parallel()
	fail := false
	r := newManagedRig(t, scim.NoRoles{}, strictly(), func(cfg *scim.Config) {
		app := cfg.Provisioner
		cfg.Provisioner = scim.ProvisionerFunc(func(ctx context.Context, a *scim.Account) (string, error) {
			if fail {
				return "", assert.AnError
			}
			return app.Provision(ctx, a)
		})
	})
	id := r.post("/Users", person("ada"))
	r.off(scim.DeactivateUsers)
	r.deactivate(id)
	r.off(0)
	fail = true
	n, err := r.scim.Engine().Reconcile(context.Background(), r.dir, id)
	require.ErrorContains(t, err, assert.AnError.Error())
	assert.Zero(t, n)
	assert.True(t, r.account(id).Active)
	fail = false
	r.forget()
	assert.Equal(t, 1, r.reconcile(id))
	assert.False(t, r.told().Active)
}

func TestB12ReconcileNeedsALedger(t *testing.T) {
	t.Parallel()
	r := newPlainRig(t, scim.NoRoles{}, strictly(), nil)
	_, err := r.scim.Engine().Reconcile(context.Background(), r.dir)
	require.ErrorContains(t, err, "Ledger")
	require.ErrorContains(t, r.scim.Engine().Retire(context.Background(), r.dir, scim.DeactivateAll), "Ledger")
	_, err = r.scim.Engine().RetireRest(context.Background(), r.dir, 1)
	require.ErrorContains(t, err, "Ledger")
	_, err = scim.NewEngine(newNaiveStore(), scim.NoRoles{}, &scim.Config{DeferGrants: 1})
	require.ErrorContains(t, err, "Ledger")
	_, err = scim.NewEngine(newNaiveStore(), scim.NoRoles{}, &scim.Config{DeferGrants: -1})
	require.ErrorContains(t, err, "negative")
}

// B12: a resync tells of everybody, once and again the same.
func TestB12ResyncTellsWhatWasToldLast(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), acme(scim.Policy{Email: scim.AllowEmailChange}), nil)
	ada, grace, ken, back := r.post("/Users", person("ada")), r.post("/Users", person("grace")), r.post("/Users", person("ken")), r.post("/Users", person("barbara"))
	r.post("/Groups", team("Engineers", ada, grace, ken))
	r.do("DELETE", "/Users/"+grace, "").is(http.StatusNoContent)
	r.do("DELETE", "/Users/"+back, "").is(http.StatusNoContent)
	again := r.post("/Users", person("barbara"))
	r.off(scim.CreateUsers | scim.UpdateAttributes | scim.DeactivateUsers | scim.SyncGroups)
	r.set("/Users/"+ada, "displayName", `"Countess"`)
	r.deactivate(ada)
	r.do("DELETE", "/Users/"+ken, "").is(http.StatusNoContent)
	unborn := r.post("/Users", person("edsger"))
	r.forget()
	all := []string{unborn, again, back, ken, grace, ada}
	var first []*scim.Account
	for range 2 {
		r.reload(all...)
		told := r.app.drain()
		var ids []string
		for _, a := range told {
			a.User = nil
			ids = append(ids, a.ID)
			assert.Equal(t, scim.Resynced, a.Change)
			assert.Equal(t, a.ID == grace, !a.Active)
			assert.Equal(t, a.ID != grace && a.ID != again, slices.Equal(a.RoleNames(), []string{"editor"}))
		}
		want := []string{ada, grace, ken, again}
		slices.Sort(want)
		assert.Equal(t, want, ids, "in order, and not who was never told of, or has come back as another")
		if first == nil {
			first = told
		}
		assert.Equal(t, first, told)
		r.happened()
	}
	require.ErrorIs(t, r.scim.Engine().Resync(context.Background(), r.dir, ada, "nobody"), scim.ErrNotFound)
	r.toldNothing()
}

// B6: revocations never queue.

func TestB6GrantsBeyondTheBoundWait(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), func(cfg *scim.Config) { cfg.DeferGrants = 2 })
	people := make([]string, 5)
	for i := range people {
		people[i] = r.post("/Users", person(fmt.Sprintf("user-%d", i)))
	}
	slices.Sort(people)
	friends := r.post("/Groups", team("Friends", people[:2]...))
	r.forget()
	admins := r.post("/Groups", team("Admins", people...))
	told := r.app.drain()
	// The roles of all change, viewer to admin: the one is lost, so nobody waits.
	assert.Len(t, told, 5)
	r.post("/Groups", team("Engineers", people...)) // admins rank higher: nothing is lost, a group is gained
	told = r.app.drain()
	require.Len(t, told, 2)
	assert.Equal(t, people[:2], []string{told[0].ID, told[1].ID})
	assert.Equal(t, people[2:], r.waiting())
	assert.Equal(t, scim.PendingGrants, r.state(people[4]).Pending)
	assert.Equal(t, []string{admins}, groupIDs(r.account(people[4])), "what was told last")

	// Who loses does not wait, wherever in the order.
	r.do("PUT", "/Groups/"+admins, team("Admins", people[0])).is(http.StatusOK)
	assert.Len(t, r.app.drain(), 4)
	assert.Empty(t, r.waiting(), "and has all that waited with it")
	assert.Equal(t, []string{"editor"}, r.account(people[4]).RoleNames())

	r.do("PUT", "/Groups/"+friends, team("Friends", people...)).is(http.StatusOK)
	require.Len(t, r.app.drain(), 2)
	assert.Equal(t, people[4:], r.waiting())
	r.do("PATCH", "/Groups/"+friends, patchBody(replaceOp("displayName", `"Fellows"`))).is(http.StatusOK)
	assert.Equal(t, people[2:], r.waiting())
	r.forget()
	assert.Equal(t, 3, r.reconcile(people...))
	told = r.app.drain()
	require.Len(t, told, 3)
	for _, a := range told {
		assert.Contains(t, groupIDs(a), friends)
	}
	assert.Equal(t, "Fellows", told[2].Groups[slices.Index(groupIDs(told[2]), friends)].DisplayName)
	assert.Empty(t, r.waiting())
	assert.Zero(t, r.reconcile(people...))

	// A group is something to lose too, where it gives no role.
	r.do("PUT", "/Groups/"+friends, team("Fellows", people[0])).is(http.StatusOK)
	assert.Len(t, r.app.drain(), 4)
	assert.Empty(t, r.waiting())
}

// Grants that wait raise their event when they are passed on.
func TestB6AGrantThatWaitedIsAnEventWhenItIsGiven(t *testing.T) {
	t.Parallel()
	mapping := mappedBy(t, roles.Mapping{Rules: []roles.Rule{{GroupName: "Admins", Role: "admin"}}, Precedence: roles.Union})
	r := newManagedRig(t, mapping, strictly(), func(cfg *scim.Config) { cfg.DeferGrants = 1 })
	ada, grace := r.post("/Users", person("ada")), r.post("/Users", person("grace"))
	r.forget()
	r.post("/Groups", team("Admins", ada, grace))
	r.happened(scim.GroupCreated, scim.MembershipAdded, scim.MembershipAdded, scim.UserRolesChanged)
	late := r.waiting()
	require.Len(t, late, 1)
	assert.Empty(t, r.account(late[0]).Roles)
	r.forget()
	r.set("/Users/"+late[0], "displayName", `"Late"`) // whatever affects the person passes it on
	assert.Equal(t, []string{"admin"}, r.told().RoleNames())
	r.happened(scim.UserUpdated, scim.UserRolesChanged)
	assert.Empty(t, r.waiting())
}

// However grants are left to the worker, what everybody has in the end is the
// same.
func TestB6WithoutTheWorkerNobodyWaits(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), nil)
	people := make([]string, 3)
	for i := range people {
		people[i] = r.post("/Users", person(fmt.Sprintf("user-%d", i)))
	}
	r.forget()
	r.post("/Groups", team("Friends", people...))
	assert.Len(t, r.app.drain(), 3)
	assert.Empty(t, r.waiting())
}
