package scim_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
)

// off switches parts of provisioning off, and all others on.
func (r *ruleRig) off(parts scim.Switches) { r.dir.Policy.Off = parts }

// reconcile works out accounts anew, and returns how many have become others.
func (r *ruleRig) reconcile(users ...string) int {
	r.t.Helper()
	n, err := r.scim.Engine().Reconcile(context.Background(), r.dir, users...)
	require.NoError(r.t, err)
	return n
}

// waiting returns the ids of users whose accounts wait for something.
func (r *ruleRig) waiting() []string {
	r.t.Helper()
	all, err := r.store.Waiting(context.Background(), r.dir.Key(), "", 10_000)
	require.NoError(r.t, err)
	ids := make([]string, len(all))
	for i, a := range all {
		ids[i] = a.User.ID
	}
	return ids
}

// withheld requires that the last request was answered as usual and that the
// application was not told of those parts of it.
func (r *ruleRig) withheld(parts scim.Switches) {
	r.t.Helper()
	assert.Equal(r.t, parts.String(), r.logged().Withheld.String())
}

// B10: switches.

func TestB10CreateUsersOff(t *testing.T) {
	t.Parallel()
	var asked []*scim.Account
	r := newManagedRig(t, mappedRoles(t), strictly(), resolving(func(a *scim.Account) scim.Resolution {
		asked = append(asked, a)
		return scim.Link("legacy-7", "billing")
	}))
	r.off(scim.CreateUsers)
	id := r.do("POST", "/Users", person("ada")).is(http.StatusCreated).shows("/active", true).id()
	r.withheld(scim.CreateUsers)
	group := r.post("/Groups", team("Engineers", id))
	r.set("/Users/"+id, "displayName", `"Ada"`)
	r.deactivate(id)
	r.reactivate(id)
	r.withheld(scim.CreateUsers)
	r.toldNothing()
	assert.Empty(t, asked, "the application is asked when it is told")
	assert.False(t, r.account(id).Active)
	assert.Equal(t, scim.PendingCreate, r.state(id).Pending)
	assert.Equal(t, []string{id}, r.waiting())
	assert.Zero(t, r.reconcile(id), "it is still off")
	r.happened(scim.UserCreated, scim.GroupCreated, scim.MembershipAdded, scim.UserUpdated, scim.UserDeactivated, scim.UserReactivated)

	r.off(0)
	assert.Equal(t, 1, r.reconcile(id))
	a := r.told()
	assert.Equal(t, scim.Linked, a.Change)
	assert.Equal(t, "legacy-7", a.HostID)
	assert.True(t, a.Active)
	assert.Equal(t, "Ada", a.Profile.Name)
	assert.Equal(t, []scim.Grant{byHand("billing"), fromGroup("editor", group)}, a.Roles)
	assert.Len(t, asked, 1)
	r.happened(scim.UserLinked, scim.UserRolesChanged)
	assert.Empty(t, r.waiting())
	assert.Zero(t, r.reconcile(id))
	r.toldNothing()
}

// Whatever comes first after the switch is on again introduces the user: the
// host is never told of one that it was not told of before as anything else.
func TestB10WhoIsNotCreatedYetIsIntroducedByTheNextRequest(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]func(*ruleRig, string){
		"a change":     func(r *ruleRig, id string) { r.set("/Users/"+id, "displayName", `"Ada"`) },
		"a membership": func(r *ruleRig, id string) { r.post("/Groups", team("Engineers", id)) },
		"a resync":     func(r *ruleRig, id string) { r.reload(id) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := 0
			r := newManagedRig(t, mappedRoles(t), strictly(), resolving(func(*scim.Account) scim.Resolution { asked++; return scim.Resolution{} }))
			r.off(scim.CreateUsers)
			id := r.post("/Users", person("ada"))
			r.reload(id)
			r.toldNothing()
			r.off(0)
			request(r, id)
			a := r.told()
			assert.Equal(t, scim.Created, a.Change)
			assert.True(t, a.Active)
			assert.Equal(t, 1, asked)
		})
	}
}

// The rules of creation are asked when the host is told, and there is nobody
// left to refuse: a hold comes of it.
func TestB10WhatWouldHaveBeenRefusedIsHeld(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer scim.Resolution
		domain string
		held   string
	}{
		"refused by the host":   {scim.Refuse("robots are not provisioned"), "acme.example", "robots are not provisioned"},
		"held by the host":      {scim.Hold("same name as a partner"), "acme.example", "same name as a partner"},
		"an owner":              {scim.Existing("the-owner", true), "acme.example", scim.HeldForReview},
		"domain gone meanwhile": {scim.Resolution{}, "other.example", scim.HeldForDomain},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newManagedRig(t, scim.NoRoles{}, strictly(), resolving(func(*scim.Account) scim.Resolution { return c.answer }))
			r.off(scim.CreateUsers)
			id := r.post("/Users", person("ada"))
			r.forget()
			r.off(0)
			r.dir.Domains = []string{c.domain}
			assert.Equal(t, 1, r.reconcile(id))
			a := r.told()
			assert.False(t, a.Active)
			assert.Equal(t, c.held, a.Held)
			events := r.happened(scim.UserHeld)
			assert.Equal(t, c.held, events[0].Note)
			assert.Zero(t, r.reconcile(id))
		})
	}
}

func TestB10WhoIsDeletedBeforeBeingCreatedWasNeverThere(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, strictly(), nil)
	r.off(scim.CreateUsers)
	id := r.post("/Users", person("ada"))
	r.do("DELETE", "/Users/"+id, "").is(http.StatusNoContent)
	r.withheld(scim.CreateUsers)
	r.off(0)
	assert.Zero(t, r.reconcile(id))
	r.reload(id)
	r.toldNothing()
	assert.Empty(t, r.waiting())
	r.post("/Users", person("ada"))
	assert.Equal(t, scim.Created, r.told().Change)
}

func TestB10UpdateAttributesOff(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), acme(scim.Policy{Email: scim.AllowEmailChange}), nil)
	id := r.post("/Users", person("ada"))
	r.set("/Users/"+id, "displayName", `"Ada"`)
	r.forget()
	r.off(scim.UpdateAttributes)
	r.patch("/Users/"+id, replaceOp("displayName", `"Countess"`), replaceOp(`emails[type eq "work"].value`, `"countess@acme.example"`)).
		is(http.StatusOK).shows("/displayName", "Countess").shows("/emails/0/value", "countess@acme.example")
	r.withheld(scim.UpdateAttributes)
	r.set("/Users/"+id, "displayName", `"Lady Lovelace"`)
	r.toldNothing()
	assert.Equal(t, scim.PendingUpdate, r.state(id).Pending)
	r.happened(scim.UserUpdated, scim.UserUpdated)

	// Other parts go on, with profile and email as they were.
	group := r.post("/Groups", team("Engineers", id))
	r.withheld(0)
	a := r.told()
	assert.Equal(t, []scim.Grant{fromGroup("editor", group)}, a.Roles)
	assert.Equal(t, "Ada", a.Profile.Name)
	assert.Equal(t, "ada@acme.example", a.Email)
	r.patch("/Users/"+id, replaceOp("active", "false"), replaceOp("displayName", `"A. Lovelace"`)).is(http.StatusOK)
	r.withheld(scim.UpdateAttributes)
	a = r.told()
	assert.Equal(t, scim.Deactivated, a.Change)
	assert.False(t, a.Active)
	assert.Equal(t, "Ada", a.Profile.Name)
	r.reactivate(id)
	r.withheld(0)
	assert.True(t, r.told().Active)
	r.reload(id)
	a = r.told()
	assert.Equal(t, []string{"Ada", "ada@acme.example"}, []string{a.Profile.Name, a.Email}, "a resync tells what was told last")
	assert.Zero(t, r.reconcile(id), "it is still off")

	r.off(0)
	assert.Equal(t, 1, r.reconcile(id))
	a = r.told()
	assert.Equal(t, []string{"A. Lovelace", "countess@acme.example"}, []string{a.Profile.Name, a.Email})
	assert.Empty(t, r.state(id).RefusedEmail)
	assert.Nil(t, r.state(id).Frozen)
	assert.Empty(t, r.waiting())
	assert.Zero(t, r.reconcile(id))
}

// Two accounts never have one email, also where one of them still has it
// because its change was not passed on.
func TestB10AnEmailThatIsNotGivenUpYetIsNobodyElses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		off scim.Switches
		act func(r *ruleRig, id string)
	}{
		"renamed": {scim.UpdateAttributes, func(r *ruleRig, id string) {
			r.set("/Users/"+id, `emails[type eq "work"].value`, `"countess@acme.example"`)
		}},
		"deleted": {scim.DeactivateUsers, func(r *ruleRig, id string) { r.do("DELETE", "/Users/"+id, "").is(http.StatusNoContent) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newManagedRig(t, scim.NoRoles{}, acme(scim.Policy{Email: scim.AllowEmailChange}), nil)
			ada := r.post("/Users", person("ada"))
			r.off(c.off)
			c.act(r, ada)
			r.forget()
			id := r.post("/Users", `{"userName":"namesake","emails":[{"value":"ada@acme.example"}]}`)
			a := r.told()
			assert.False(t, a.Active)
			assert.Equal(t, scim.HeldForEmail, a.Held)
			assert.Zero(t, r.reconcile(ada, id))
			r.forget()
			r.off(0)
			assert.Equal(t, 2, r.reconcile(id, ada))
			assert.False(t, r.app.account(ada).Active && r.app.account(ada).Email == "ada@acme.example")
			assert.True(t, r.app.account(id).Active)
			r.happened(scim.UserReleased)
		})
	}
}

// An email that was withheld and that somebody else has meanwhile stays so.
func TestB10AnEmailThatWasTakenMeanwhileStaysWithheld(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, acme(scim.Policy{Email: scim.AllowEmailChange}), nil)
	ada := r.post("/Users", person("ada"))
	address := func(to string) {
		r.set("/Users/"+ada, `emails[type eq "work"].value`, fmt.Sprintf(`"%s@acme.example"`, to))
	}
	r.off(scim.UpdateAttributes)
	address("countess")
	r.dir.Policy.Email = scim.KeepEmail // of the two changes the one is switched off, the other one held back
	address("lovelace")
	other := r.post("/Users", person("countess"))
	assert.True(t, r.account(other).Active)
	r.off(0)
	r.forget()
	r.reconcile(ada, other)
	assert.Equal(t, "ada@acme.example", r.account(ada).Email)
	assert.Equal(t, []string{ada}, r.waiting())
	assert.Zero(t, r.reconcile(ada, other))
	r.do("DELETE", "/Users/"+other, "").is(http.StatusNoContent)
	assert.Equal(t, 1, r.reconcile(ada, other))
	assert.Equal(t, "countess@acme.example", r.account(ada).Email)
	assert.Equal(t, "lovelace@acme.example", r.state(ada).RefusedEmail, "what the policy held back still is")
	assert.Empty(t, r.waiting())
}

func TestB10DeactivateUsersOff(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), nil)
	id := r.post("/Users", person("ada"))
	engineers, admins := r.post("/Groups", team("Engineers", id)), r.post("/Groups", team("Admins", id))
	r.forget()
	r.off(scim.DeactivateUsers)
	r.do("PATCH", "/Users/"+id, patchBody(replaceOp("active", "false"))).is(http.StatusOK).shows("/active", false)
	r.withheld(scim.DeactivateUsers)
	r.toldNothing()
	assert.True(t, r.account(id).Active)
	assert.Equal(t, scim.PendingDeactivate, r.state(id).Pending)
	r.happened(scim.UserDeactivated)

	// Other parts go on: who keeps the access does not keep what is taken away.
	r.set("/Users/"+id, "displayName", `"Ada"`)
	a := r.told()
	assert.Equal(t, scim.Updated, a.Change)
	assert.Equal(t, "Ada", a.Profile.Name)
	r.leave(admins, id)
	a = r.told()
	assert.True(t, a.Active)
	assert.Equal(t, []scim.Grant{fromGroup("editor", engineers)}, a.Roles)

	// Back before anybody noticed.
	r.reactivate(id)
	a = r.told()
	assert.Equal(t, scim.Updated, a.Change)
	assert.Zero(t, r.state(id).Pending)
	r.deactivate(id)
	r.toldNothing()
	assert.Zero(t, r.reconcile(id))

	r.off(0)
	r.forget()
	assert.Equal(t, 1, r.reconcile(id))
	a = r.told()
	assert.Equal(t, scim.Deactivated, a.Change)
	assert.False(t, a.Active)
	assert.Zero(t, r.reconcile(id))
	r.happened()
}

func TestB10DeactivateUsersOffAndDeleted(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), nil)
	id := r.post("/Users", person("ada"))
	r.set("/Users/"+id, "displayName", `"Ada"`)
	group := r.post("/Groups", team("Engineers", id))
	r.forget()
	r.off(scim.DeactivateUsers)
	r.do("DELETE", "/Users/"+id, "").is(http.StatusNoContent)
	r.withheld(scim.DeactivateUsers)
	r.do("GET", "/Users/"+id, "").is(http.StatusNotFound)
	r.toldNothing()
	state := r.state(id)
	assert.True(t, state.Active && state.Deleted)
	assert.Equal(t, []string{id}, r.waiting())
	r.happened(scim.UserDeleted, scim.MembershipRemoved)
	assert.Zero(t, r.reconcile(id))

	r.reload(id)
	a := r.told()
	assert.True(t, a.Active)
	assert.Equal(t, []scim.Grant{fromGroup("editor", group)}, a.Roles)
	assert.Equal(t, []string{group}, groupIDs(a))
	assert.Equal(t, "Ada", a.Profile.Name)
	assert.Equal(t, a.Groups, r.account(id).Groups)

	r.off(0)
	assert.Equal(t, 1, r.reconcile(id))
	a = r.told()
	assert.Equal(t, scim.Deleted, a.Change)
	assert.False(t, a.Active)
	assert.Empty(t, a.Roles)
	assert.Equal(t, "host-"+id, a.HostID)
	assert.Empty(t, r.waiting())
	assert.Zero(t, r.reconcile(id))
	r.reload(id) // rule B12: of deleted users too
	a = r.told()
	assert.Equal(t, scim.Resynced, a.Change)
	assert.False(t, a.Active)
}

// Who was deleted and comes back before that was passed on has never been away.
func TestB10BackBeforeTheDeletionWasPassedOn(t *testing.T) {
	t.Parallel()
	for _, off := range []scim.Switches{scim.DeactivateUsers, scim.DeactivateUsers | scim.CreateUsers, scim.DeactivateUsers | scim.CreateUsers | scim.UpdateAttributes | scim.SyncGroups} {
		t.Run(off.String(), func(t *testing.T) {
			t.Parallel()
			r := newManagedRig(t, mappedRoles(t), strictly(), nil)
			old := r.post("/Users", person("ada"))
			r.set("/Users/"+old, "displayName", `"Ada"`)
			group := r.post("/Groups", team("Engineers", old))
			r.off(off)
			r.do("DELETE", "/Users/"+old, "").is(http.StatusNoContent)
			r.forget()
			id := r.post("/Users", person("ada"))
			a := r.told()
			assert.Equal(t, scim.Updated, a.Change)
			assert.True(t, a.Active)
			assert.Equal(t, "host-"+old, a.HostID)
			if off.Has(scim.SyncGroups) {
				assert.Equal(t, []scim.Grant{fromGroup("editor", group)}, a.Roles)
				assert.Equal(t, "Ada", a.Profile.Name)
				assert.Equal(t, scim.PendingUpdate|scim.PendingGroups, r.state(id).Pending)
			} else {
				assert.Zero(t, r.state(id).Pending)
				assert.Equal(t, []scim.Grant{byDefault("viewer")}, a.Roles, "memberships ended with the deletion")
			}
			r.off(0)
			r.forget()
			r.reconcile(old, id)
			for _, a := range r.app.drain() {
				assert.Equal(t, id, a.ID, "the account is one person's")
			}
			assert.Equal(t, []scim.Grant{byDefault("viewer")}, r.account(id).Roles)
			assert.True(t, r.account(id).Active)
			assert.Empty(t, r.waiting())
			r.do("DELETE", "/Users/"+id, "").is(http.StatusNoContent)
			assert.False(t, r.told().Active)
		})
	}
}

func TestB10SyncGroupsOff(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), nil)
	ada, grace := r.post("/Users", person("ada")), r.post("/Users", person("grace"))
	engineers, admins := r.post("/Groups", team("Engineers", ada)), r.post("/Groups", team("Admins", grace))
	r.forget()
	r.off(scim.SyncGroups)
	r.join(admins, ada)
	r.withheld(scim.SyncGroups)
	r.leave(engineers, ada)
	r.set("/Groups/"+admins, "displayName", `"Bosses"`)
	r.withheld(scim.SyncGroups)
	r.get("/Users/"+ada).shows("/groups/0/display", "Bosses")
	r.toldNothing()
	r.happened(scim.MembershipAdded, scim.MembershipRemoved, scim.GroupUpdated)
	r.do("DELETE", "/Groups/"+engineers, "").is(http.StatusNoContent)
	later := r.post("/Groups", team("Later", grace))
	r.withheld(scim.SyncGroups)
	assert.Equal(t, scim.PendingGroups, r.state(ada).Pending)
	assert.ElementsMatch(t, []string{ada, grace}, r.waiting())
	assert.Zero(t, r.reconcile(ada, grace))

	// Other parts go on, with groups and their roles as they were.
	r.set("/Users/"+ada, "displayName", `"Ada"`)
	r.withheld(0)
	a := r.told()
	assert.Equal(t, []scim.Grant{fromGroup("editor", engineers)}, a.Roles)
	assert.Equal(t, []string{engineers}, groupIDs(a))
	r.deactivate(grace)
	r.reactivate(grace)
	a = r.app.account(grace)
	assert.Equal(t, []scim.Grant{fromGroup("admin", admins)}, a.Roles)
	require.Len(t, a.Groups, 1)
	assert.Equal(t, "Admins", a.Groups[0].DisplayName)
	require.NoError(t, r.scim.Engine().SetManualRoles(context.Background(), r.dir, grace, "billing"))
	assert.Equal(t, []scim.Grant{fromGroup("admin", admins), byHand("billing")}, r.account(grace).Roles)
	r.forget()

	r.off(0)
	assert.Equal(t, 2, r.reconcile(grace, ada))
	told := r.app.drain()
	require.Len(t, told, 2)
	assert.Equal(t, []scim.Grant{fromGroup("admin", admins)}, told[0].Roles)
	assert.Equal(t, []string{admins}, groupIDs(told[0]))
	assert.Equal(t, []string{admins, later}, groupIDs(told[1]))
	assert.Equal(t, "Bosses", told[1].Groups[0].DisplayName)
	r.happened(scim.UserRolesChanged)
	assert.Empty(t, r.waiting())
	assert.Nil(t, r.state(ada).Frozen)
	assert.Zero(t, r.reconcile(ada, grace))
}

// A group that comes back under the same externalId inherits the mapping. Who
// had a role from the old one keeps it where groups are switched off.
func TestB10AGroupThatIsMadeAnewTakesNoRoleAway(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), nil)
	ada := r.post("/Users", person("ada"))
	engineers := r.post("/Groups", fmt.Sprintf(`{"displayName":"Engineers","externalId":"g-1","members":[{"value":%q}]}`, ada))
	r.off(scim.SyncGroups)
	r.do("DELETE", "/Groups/"+engineers, "").is(http.StatusNoContent)
	anew := r.post("/Groups", `{"displayName":"Builders","externalId":"g-1"}`)
	r.set("/Users/"+ada, "displayName", `"Ada"`)
	assert.Equal(t, []scim.Grant{fromGroup("editor", engineers)}, r.account(ada).Roles)
	r.join(anew, ada)
	r.off(0)
	r.forget()
	assert.Equal(t, 1, r.reconcile(ada))
	assert.Equal(t, []scim.Grant{fromGroup("editor", anew)}, r.told().Roles)
}

// A mapping is bound to the group that it found first (rule C2), also for those
// whom the host is told to be members still.
func TestB10FrozenGroupsKeepWhatTheyAreBoundTo(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), nil)
	ada, grace := r.post("/Users", person("ada")), r.post("/Users", person("grace"))
	first := r.post("/Groups", team("Engineers", ada))
	r.set("/Groups/"+first, "displayName", `"Builders"`)
	namesake := r.post("/Groups", team("Engineers", grace))
	r.off(scim.SyncGroups)
	r.leave(first, ada)
	r.leave(namesake, grace)
	r.reload(ada, grace)
	assert.Equal(t, []scim.Grant{fromGroup("editor", first)}, r.account(ada).Roles)
	assert.Equal(t, []scim.Grant{byDefault("viewer")}, r.account(grace).Roles)
	assert.Equal(t, []string{namesake}, groupIDs(r.account(grace)))
}

// What comes back to what the host knows waits for nothing.
func TestB10WhatIsTakenBackIsNotPending(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), acme(scim.Policy{Email: scim.AllowEmailChange}), nil)
	id := r.post("/Users", person("ada"))
	group := r.post("/Groups", team("Engineers"))
	r.off(scim.SyncGroups | scim.DeactivateUsers)
	r.join(group, id)
	r.deactivate(id)
	assert.Equal(t, scim.PendingGroups|scim.PendingDeactivate, r.state(id).Pending)
	since := r.state(id).Since
	r.leave(group, id)
	assert.Equal(t, since, r.state(id).Since, "waiting began then, whatever has changed")
	r.reactivate(id)
	assert.Zero(t, r.state(id).Pending)
	assert.Zero(t, r.state(id).Since)
	assert.Nil(t, r.state(id).Frozen)
	assert.Empty(t, r.waiting())
}

func TestB10SwitchesNeedALedger(t *testing.T) {
	t.Parallel()
	d := strictly()
	d.Policy.Off = scim.SyncGroups
	r := newPlainRig(t, scim.NoRoles{}, d, nil)
	r.do("GET", "/Users", "").is(http.StatusInternalServerError)
}

// Any history with switches toggled, and then all of them on, ends with the
// accounts of the same history with all switches on throughout.
func TestB10HistoriesWithSwitchesEndAsThoseWithout(t *testing.T) {
	t.Parallel()
	for seed := range uint64(24) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			for _, email := range []scim.EmailPolicy{scim.AllowEmailChange, scim.KeepEmail} {
				with, without := newHistory(t, email, true), newHistory(t, email, false)
				const steps = 80
				for i := range steps {
					// Both draw the same numbers whatever the other one does.
					random := func() *rand.Rand { return rand.New(rand.NewPCG(seed, uint64(i))) }
					with.step(random(), i)
					without.step(random(), i)
				}
				with.settle()
				assert.Equal(t, without.accounts(true), with.accounts(true), "seed %d", seed)
				// Who is out has the roles that were left behind, which no
				// later change of groups reaches; who comes back has today's.
				for _, h := range []*history{with, without} {
					for _, name := range slices.Sorted(maps.Keys(h.users)) {
						h.r.reactivate(h.users[name])
					}
				}
				assert.Equal(t, without.accounts(false), with.accounts(false), "seed %d", seed)
			}
		})
	}
}

// A history is what a provider does, by names: ids differ.
type history struct {
	r             *ruleRig
	switches      bool
	users, groups map[string]string // ids
	everybody     []string          // ids, of deleted users too
	names         map[string]string // of users, by id
}

func newHistory(t *testing.T, email scim.EmailPolicy, switches bool) *history {
	t.Helper()
	return &history{
		r: newManagedRig(t, mappedRoles(t), acme(scim.Policy{Email: email}), nil), switches: switches,
		users: map[string]string{}, groups: map[string]string{}, names: map[string]string{},
	}
}

func (h *history) step(random *rand.Rand, i int) {
	people, teams := []string{"ada", "grace", "ken", "barbara"}, []string{"Admins", "Engineers", "Friends"}
	name, group := people[random.IntN(len(people))], teams[random.IntN(len(teams))]
	user, known := h.users[name]
	id, made := h.groups[group]
	switch action := random.IntN(10); {
	case action == 0:
		if off := scim.Switches(random.IntN(16)); h.switches {
			h.r.off(off)
		}
	case action == 1:
		if h.switches && random.IntN(2) == 0 {
			h.settleSome()
		}
	case !known:
		id := h.r.post("/Users", person(name))
		h.users[name], h.names[id] = id, name
		h.everybody = append(h.everybody, id)
	case action == 2:
		h.r.do("DELETE", "/Users/"+user, "").is(http.StatusNoContent)
		delete(h.users, name)
	case action == 3:
		h.r.deactivate(user)
	case action == 4:
		h.r.reactivate(user)
	case action == 5:
		h.r.set("/Users/"+user, "displayName", fmt.Sprintf(`"%s %d"`, name, random.IntN(3)))
	case action == 6:
		address := name
		if random.IntN(2) == 0 {
			address = fmt.Sprintf("%s-%d", name, i)
		}
		h.r.patch("/Users/"+user, replaceOp(`emails[type eq "work"].value`, fmt.Sprintf(`"%s@acme.example"`, address)),
			replaceOp("active", fmt.Sprint(random.IntN(3) > 0))).is(http.StatusOK)
	case !made:
		h.groups[group] = h.r.post("/Groups", team(group, user))
	case action == 7 && random.IntN(3) == 0:
		h.r.do("DELETE", "/Groups/"+id, "").is(http.StatusNoContent)
		delete(h.groups, group)
	case action == 7:
		h.r.do("PUT", "/Groups/"+id, team(group, user)).is(http.StatusOK)
	case action == 8:
		h.r.join(id, user)
	default:
		h.r.leave(id, user)
	}
}

// settleSome reconciles everybody under whatever is switched off.
func (h *history) settleSome() { h.r.reconcile(h.everybody...) }

func (h *history) settle() {
	h.r.off(0)
	h.settleSome()
	assert.Zero(h.r.t, h.r.reconcile(h.everybody...), "it is idempotent")
	assert.Empty(h.r.t, h.r.waiting())
}

// accounts returns what the host was told last of everybody who is there, by
// name; without roles of those who are out if so asked.
func (h *history) accounts(leavers bool) map[string]string {
	groups := map[string]string{}
	for name, id := range h.groups {
		groups[id] = name
	}
	all := map[string]string{}
	for _, id := range h.everybody {
		a, name := h.r.app.account(id), h.names[id]
		if h.users[name] != id { // deleted: what a successor has not got is out
			assert.False(h.r.t, h.r.state(id).HostID != "" && a.Active, "deleted, with access")
			continue
		}
		var in, may []string
		for _, g := range a.Groups {
			in = append(in, groups[g.ID]+"/"+g.DisplayName)
		}
		slices.Sort(in)
		for _, g := range a.Roles {
			if a.Active || !leavers {
				may = append(may, g.Role+" "+groups[g.Group])
			}
		}
		all[name] = fmt.Sprint(a.Active, a.Held, a.Email, a.Profile, in, may)
	}
	return all
}
