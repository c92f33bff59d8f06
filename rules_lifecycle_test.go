package scim_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
)

// B1: deactivate and delete are two transitions.

func TestB1DeactivateEndsAccessAndStaysReadable(t *testing.T) {
	t.Parallel()
	for name, deactivate := range map[string]func(*ruleRig, string) *reply{
		"PATCH": func(r *ruleRig, id string) *reply { return r.patch("/Users/"+id, replaceOp("active", "false")) },
		"PATCH without path": func(r *ruleRig, id string) *reply {
			return r.patch("/Users/"+id, `{"op":"replace","value":{"active":false}}`)
		},
		"PATCH as Entra sends it": func(r *ruleRig, id string) *reply {
			return r.patch("/Users/"+id, `{"op":"Replace","path":"active","value":"False"}`)
		},
		"PUT": func(r *ruleRig, id string) *reply {
			return r.do("PUT", "/Users/"+id, `{"userName":"ada","externalId":"ext-ada","active":false,"emails":[{"value":"ada@acme.example","type":"work","primary":true}]}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
				id := r.post("/Users", person("ada"))
				r.forget()
				deactivate(r, id).is(http.StatusOK).shows("/active", false)
				a := r.told()
				assert.False(t, a.Active)
				assert.Equal(t, scim.Deactivated, a.Change)
				r.get("/Users/"+id).shows("/active", false).shows("/userName", "ada")
				assert.Equal(t, []string{id}, r.find("/Users", `userName eq "ada"`))
				if r.store != nil {
					assert.Equal(t, "host-"+id, a.HostID)
					e := r.happened(scim.UserDeactivated)[0]
					assert.True(t, e.Previous.User().Active())
					assert.False(t, e.Data.User().Active())
				}
			})
		})
	}
}

func TestB1DeleteEndsAccessAndIsGone(t *testing.T) {
	t.Parallel()
	onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
		id := r.post("/Users", person("ada"))
		r.forget()
		r.do("DELETE", "/Users/"+id, "").is(http.StatusNoContent)
		a := r.told()
		assert.False(t, a.Active)
		assert.Equal(t, scim.Deleted, a.Change)
		assert.Equal(t, id, a.ID)
		assert.Equal(t, "ext-ada", a.ExternalID)
		assert.Equal(t, "ada@acme.example", a.Email)
		assert.Nil(t, a.User)
		for _, method := range []string{"GET", "DELETE"} {
			r.do(method, "/Users/"+id, "").is(http.StatusNotFound)
		}
		r.do("PUT", "/Users/"+id, person("ada")).is(http.StatusNotFound)
		r.patch("/Users/"+id, replaceOp("active", "true")).is(http.StatusNotFound)
		assert.Empty(t, r.find("/Users", `userName eq "ada"`))
		r.toldNothing()
		if r.store != nil {
			assert.Equal(t, "host-"+id, a.HostID)
			e := r.happened(scim.UserDeleted)[0]
			assert.Equal(t, id, e.Subject().ID)
		}
	})
}

func TestB1ATombstoneStays(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, strictly(), nil)
	id := r.post("/Users", person("ada"))
	r.do("DELETE", "/Users/"+id, "").is(http.StatusNoContent)
	state := r.state(id)
	assert.True(t, state.Deleted)
	assert.False(t, state.Active)
	assert.Equal(t, []string{"host-" + id, "ext-ada", "ada@acme.example"}, []string{state.HostID, state.ExternalID, state.Email})
	a := r.account(id)
	assert.Equal(t, scim.Deleted, a.Change)
	assert.Equal(t, "host-"+id, a.HostID)
	assert.False(t, a.Active)
}

func TestB1DeletingSomebodyInactiveIsAnotherTransition(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, strictly(), nil)
	id := r.post("/Users", person("ada"))
	r.deactivate(id)
	r.do("DELETE", "/Users/"+id, "").is(http.StatusNoContent)
	r.happened(scim.UserCreated, scim.UserDeactivated, scim.UserDeleted)
	changes := []scim.Change{}
	for _, a := range r.app.drain() {
		changes = append(changes, a.Change)
	}
	assert.Equal(t, []scim.Change{scim.Created, scim.Deactivated, scim.Deleted}, changes)
}

// B2: memberships of those who are out.

func TestB2DeactivationKeepsMemberships(t *testing.T) {
	t.Parallel()
	onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
		id := r.post("/Users", person("ada"))
		group := r.post("/Groups", team("Engineers", id))
		before := r.get("/Groups/" + group)
		r.forget()
		r.deactivate(id)
		assert.Equal(t, []string{group}, groupIDs(r.told()))
		after := r.get("/Groups/" + group)
		assert.Equal(t, before.body, after.body)
		r.get("/Users/"+id).shows("/groups/0/value", group)
		r.forget()
		r.reactivate(id)
		assert.Equal(t, []string{group}, groupIDs(r.told()))
	})
}

func TestB2DeletionDropsMemberships(t *testing.T) {
	t.Parallel()
	onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
		ada, grace := r.post("/Users", person("ada")), r.post("/Users", person("grace"))
		one, two := r.post("/Groups", team("One", ada, grace)), r.post("/Groups", team("Two", ada))
		before := r.get("/Groups/" + one)
		r.forget()
		r.do("DELETE", "/Users/"+ada, "").is(http.StatusNoContent)
		assert.Equal(t, scim.Deleted, r.told().Change)
		after := r.get("/Groups/"+one).shows("/members/0/value", grace).shows("/members/1", absent)
		assert.NotEqual(t, before.etag(), after.etag(), "the version of a group changes with its members (rule E3a)")
		r.get("/Groups/"+two).shows("/members", absent)
		if r.store != nil {
			events := r.happened(scim.UserDeleted, scim.MembershipRemoved, scim.MembershipRemoved)
			assert.ElementsMatch(t, []string{one, two}, []string{events[1].Subject().ID, events[2].Subject().ID})
			for _, e := range events[1:] {
				assert.Equal(t, ada, e.Member.Value)
			}
		}
		again := r.post("/Users", person("ada"))
		r.get("/Users/"+again).shows("/groups", absent)
	})
}

// B3: reactivation.

func TestB3ReactivationRecomputesRolesFromCurrentGroups(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), nil)
	id := r.post("/Users", person("ada"))
	engineers := r.post("/Groups", team("Engineers", id))
	admins := r.post("/Groups", team("Admins"))
	r.deactivate(id)
	r.forget()
	r.leave(engineers, id)
	r.join(admins, id)
	for _, a := range r.app.drain() {
		assert.False(t, a.Active, "nobody comes in by a group")
	}
	r.happened(scim.MembershipRemoved, scim.MembershipAdded)
	r.reactivate(id)
	a := r.told()
	assert.True(t, a.Active)
	assert.Equal(t, scim.Reactivated, a.Change)
	assert.Equal(t, []scim.Grant{fromGroup("admin", admins)}, a.Roles)
	e := r.happened(scim.UserReactivated, scim.UserRolesChanged)[1]
	assert.Equal(t, []scim.Grant{fromGroup("editor", engineers)}, e.PreviousRoles)
	assert.Equal(t, []scim.Grant{fromGroup("admin", admins)}, e.Roles)
}

func TestB3ReactivationRecomputesRolesFromTheMappingAsItIsNow(t *testing.T) {
	t.Parallel()
	mapping := &switchedRoles{}
	r := newManagedRig(t, mapping, strictly(), nil)
	id := r.post("/Users", person("ada"))
	group := r.post("/Groups", team("Engineers", id))
	mapping.use(t, rolesOf(group, "editor"))
	r.reload(id)
	r.deactivate(id)
	mapping.use(t, rolesOf(group, "admin"))
	r.forget()
	r.set("/Users/"+id, "displayName", `"Ada"`)
	r.told()
	r.happened(scim.UserUpdated)
	r.reactivate(id)
	assert.Equal(t, []scim.Grant{fromGroup("admin", group)}, r.told().Roles)
	r.happened(scim.UserReactivated, scim.UserRolesChanged)
}

func TestB3NoRolesEventWhereTheyAreTheSame(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), nil)
	id := r.post("/Users", person("ada"))
	r.deactivate(id)
	r.forget()
	r.reactivate(id)
	assert.Equal(t, []scim.Grant{byDefault("viewer")}, r.told().Roles)
	r.happened(scim.UserReactivated)
}

func TestB3ReactivationByPUT(t *testing.T) {
	t.Parallel()
	onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
		id := r.post("/Users", person("ada"))
		r.deactivate(id)
		r.forget()
		// What a PUT leaves out is cleared, active excepted: nobody comes
		// back because a provider did not say.
		r.do("PUT", "/Users/"+id, `{"userName":"ada","displayName":"Ada","emails":[{"value":"ada@acme.example"}]}`).is(http.StatusOK).shows("/active", false)
		assert.False(t, r.told().Active)
		r.do("PUT", "/Users/"+id, person("ada")).is(http.StatusOK).shows("/active", true)
		a := r.told()
		assert.True(t, a.Active)
		assert.Equal(t, scim.Reactivated, a.Change)
	})
}

// B4: create after delete.

func TestB4TheSameExternalIDIsTheSameHostAccount(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), nil)
	first := r.post("/Users", person("ada"))
	require.NoError(t, r.scim.Engine().SetManualRoles(context.Background(), r.dir, first, "billing"))
	r.post("/Groups", team("Admins", first))
	r.do("DELETE", "/Users/"+first, "").is(http.StatusNoContent)
	r.forget()
	second := r.post("/Users", `{"userName":"somebody.else","externalId":"ext-ada","emails":[{"value":"ada.new@acme.example"}]}`)
	assert.NotEqual(t, first, second, "a new id")
	a := r.told()
	assert.Equal(t, "host-"+first, a.HostID)
	assert.Equal(t, second, a.ID)
	assert.Equal(t, "ada@acme.example", a.Email, "to delete and to create again is no way around rule A4")
	assert.Equal(t, "ada.new@acme.example", r.state(second).RefusedEmail, "held back until it is approved")
	assert.True(t, a.Active)
	assert.Equal(t, []scim.Grant{byHand("billing"), byDefault("viewer")}, a.Roles, "memberships were dropped, what was given by hand stays")
	r.do("GET", "/Users/"+first, "").is(http.StatusNotFound)
	r.happened(scim.UserCreated, scim.UserRolesChanged)
}

func TestB4OtherwiseItIsAnotherAccount(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]string{
		"other externalId":              `{"userName":"ada","externalId":"EXT-ADA","emails":[{"value":"ada@acme.example"}]}`,
		"no externalId":                 `{"userName":"ada","emails":[{"value":"ada@acme.example"}]}`,
		"same email without the policy": `{"userName":"ada@acme.example"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newManagedRig(t, scim.NoRoles{}, strictly(), nil)
			first := r.post("/Users", person("ada"))
			r.do("DELETE", "/Users/"+first, "").is(http.StatusNoContent)
			r.forget()
			second := r.post("/Users", again)
			assert.Equal(t, "host-"+second, r.told().HostID)
		})
	}
}

func TestB4ByPolicyTheSameVerifiedEmail(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first, again string
		same         bool
	}{
		"same email":                  {person("ada"), `{"userName":"ada","externalId":"new","emails":[{"value":"ada@acme.example"}]}`, true},
		"without externalId":          {person("ada"), `{"userName":"ada@acme.example"}`, true},
		"in another case":             {person("ada"), `{"userName":"x","emails":[{"value":"ADA@Acme.example"}]}`, true},
		"in another form":             {`{"userName":"ada@bücher.example"}`, `{"userName":"ADA@xn--bcher-kva.example"}`, true},
		"and its own form":            {`{"userName":"ada@bücher.example"}`, `{"userName":"ada@bücher.example"}`, true},
		"another email":               {person("ada"), `{"userName":"ada","emails":[{"value":"grace@acme.example"}]}`, false},
		"a domain nobody vouches for": {`{"userName":"ada@other.example"}`, `{"userName":"ada@other.example"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newManagedRig(t, scim.NoRoles{}, acme(scim.Policy{RejoinByEmail: true, Domain: scim.AnyDomain}), nil)
			r.dir.Domains = append(r.dir.Domains, "bücher.example")
			first := r.post("/Users", c.first)
			r.do("DELETE", "/Users/"+first, "").is(http.StatusNoContent)
			r.forget()
			second := r.post("/Users", c.again)
			assert.NotEqual(t, first, second)
			if c.same {
				assert.Equal(t, "host-"+first, r.told().HostID)
			} else {
				assert.Equal(t, "host-"+second, r.told().HostID)
			}
		})
	}
}

func TestB4TheExternalIDCountsBeforeTheEmail(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, acme(scim.Policy{RejoinByEmail: true}), nil)
	ada, grace := r.post("/Users", person("ada")), r.post("/Users", person("grace"))
	for _, id := range []string{ada, grace} {
		r.do("DELETE", "/Users/"+id, "").is(http.StatusNoContent)
	}
	r.forget()
	r.post("/Users", `{"userName":"grace@acme.example","externalId":"ext-ada"}`)
	assert.Equal(t, "host-"+ada, r.told().HostID)
}

func TestB4TheLatestWhoLeftComesBack(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, acme(scim.Policy{RejoinByEmail: true}), nil)
	for _, ext := range []string{"one", "two"} {
		id := r.post("/Users", `{"userName":"ada@acme.example","externalId":"`+ext+`"}`)
		r.do("DELETE", "/Users/"+id, "").is(http.StatusNoContent)
	}
	r.forget()
	// The second was the first by email, and so is the third.
	first := r.state(r.post("/Users", `{"userName":"ada@acme.example"}`)).HostID
	assert.Equal(t, first, r.told().HostID)
}

// One host account is never two people's: who has come back is not to come
// back a second time.
func TestB4AHostAccountIsGivenBackOnce(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, acme(scim.Policy{RejoinByEmail: true, Email: scim.AllowEmailChange}), nil)
	first := r.post("/Users", person("ada"))
	r.do("DELETE", "/Users/"+first, "").is(http.StatusNoContent)
	back := r.post("/Users", person("ada"))
	assert.Equal(t, "host-"+first, r.account(back).HostID)
	// She marries; her old address goes to a namesake.
	r.patch("/Users/"+back, replaceOp("userName", `"lovelace"`), replaceOp("externalId", `"ext-lovelace"`),
		replaceOp(`emails[type eq "work"].value`, `"lovelace@acme.example"`)).is(http.StatusOK)
	r.forget()
	namesake := r.post("/Users", person("ada"))
	assert.Equal(t, "host-"+namesake, r.told().HostID)
	assert.Equal(t, "host-"+first, r.account(back).HostID)
}

func TestB4NobodyComesBackFromAnotherDirectory(t *testing.T) {
	t.Parallel()
	policy := scim.Policy{RejoinByEmail: true}
	r := newManagedRig(t, scim.NoRoles{}, acme(policy), nil)
	other := newRuleRig(t, r.store, scim.NoRoles{}, &scim.Directory{Tenant: "acme", ID: "entra", Domains: []string{"acme.example"}, Policy: policy}, r.clock, nil)
	first := other.post("/Users", person("ada"))
	other.do("DELETE", "/Users/"+first, "").is(http.StatusNoContent)
	id := r.post("/Users", person("ada"))
	assert.Equal(t, "host-"+id, r.told().HostID)
}

func TestB4TheHostIsNotAskedAboutSomebodyItHad(t *testing.T) {
	t.Parallel()
	asked := 0
	r := newManagedRig(t, scim.NoRoles{}, strictly(), resolving(func(*scim.Account) scim.Resolution { asked++; return scim.Resolution{} }))
	first := r.post("/Users", person("ada"))
	r.do("DELETE", "/Users/"+first, "").is(http.StatusNoContent)
	r.post("/Users", person("ada"))
	assert.Equal(t, 1, asked)
}

func TestB4RejoinByEmailNeedsALedger(t *testing.T) {
	t.Parallel()
	r := newPlainRig(t, scim.NoRoles{}, acme(scim.Policy{RejoinByEmail: true}), nil)
	r.do("POST", "/Users", person("ada")).is(http.StatusInternalServerError)
}

// B5: POST with active false.

func TestB5CreatedInactive(t *testing.T) {
	t.Parallel()
	onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
		id := r.do("POST", "/Users", `{"userName":"ada@acme.example","active":false}`).is(http.StatusCreated).shows("/active", false).id()
		a := r.told()
		assert.False(t, a.Active)
		assert.Equal(t, scim.Created, a.Change)
		r.get("/Users/"+id).shows("/active", false)
		assert.Equal(t, []string{id}, r.find("/Users", `userName eq "ada@acme.example"`))
		if r.store != nil {
			r.happened(scim.UserCreated)
		}
	})
}

func TestB5NoRolesUntilTheFirstActivation(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), nil)
	id := r.post("/Users", `{"userName":"ada@acme.example","active":false}`)
	assert.Empty(t, r.told().Roles)
	group := r.post("/Groups", team("Engineers", id))
	a := r.told()
	assert.False(t, a.Active)
	assert.Empty(t, a.Roles)
	r.forget()
	r.reactivate(id)
	a = r.told()
	assert.True(t, a.Active)
	assert.Equal(t, []scim.Grant{fromGroup("editor", group)}, a.Roles)
	r.happened(scim.UserReactivated, scim.UserRolesChanged)
}

func TestB5WithoutActiveIsActive(t *testing.T) {
	t.Parallel()
	onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
		r.post("/Users", `{"userName":"ada@acme.example"}`)
		assert.True(t, r.told().Active)
	})
}

// B6: access ends now; the two hooks.

// A committingApp is an application with both hooks, which writes down in what
// order it is called.
type committingApp struct {
	*hostApp
	provision, commit func(context.Context, *scim.Account) error

	mu        sync.Mutex
	calls     []string
	committed []*scim.Account
}

func (a *committingApp) Provision(ctx context.Context, acc *scim.Account) (string, error) {
	a.note("provision", acc)
	if a.provision != nil {
		if err := a.provision(ctx, acc); err != nil {
			return "", err
		}
	}
	return a.hostApp.Provision(ctx, acc)
}

func (a *committingApp) Committed(ctx context.Context, acc *scim.Account) error {
	a.note("commit", acc)
	if a.commit != nil {
		if err := a.commit(ctx, acc); err != nil {
			return err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.committed = append(a.committed, acc)
	return nil
}

func (a *committingApp) note(hook string, acc *scim.Account) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls, hook+" "+string(acc.Change))
}

// drainCalls returns the calls since it was asked last.
func (a *committingApp) drainCalls() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	calls := a.calls
	a.calls, a.committed = nil, nil
	return calls
}

// last returns the account of the last Committed call that succeeded.
func (a *committingApp) last() *scim.Account {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.committed) == 0 {
		return nil
	}
	return a.committed[len(a.committed)-1]
}

// newCommittingRig is a managed rig whose application has both hooks.
func newCommittingRig(t *testing.T) (*ruleRig, *committingApp) {
	t.Helper()
	app := &committingApp{}
	r := newManagedRig(t, mappedRoles(t), strictly(), func(cfg *scim.Config) {
		app.hostApp, _ = cfg.Provisioner.(*hostApp)
		cfg.Provisioner = app
	})
	return r, app
}

func TestB6ProvisionThenCommittedThenTheAnswer(t *testing.T) {
	t.Parallel()
	r, app := newCommittingRig(t)
	id := r.post("/Users", person("ada"))
	// The answer is here, so both calls were before it.
	assert.Equal(t, []string{"provision created", "commit created"}, app.drainCalls())
	group := r.post("/Groups", team("Engineers", id))
	assert.Equal(t, []string{"provision updated", "commit updated"}, app.drainCalls())
	r.deactivate(id)
	a := app.last()
	assert.Equal(t, []string{"provision deactivated", "commit deactivated"}, app.drainCalls())
	assert.False(t, a.Active)
	assert.Equal(t, "host-"+id, a.HostID)
	r.do("DELETE", "/Groups/"+group, "").is(http.StatusNoContent)
	assert.Equal(t, []string{"provision updated", "commit updated"}, app.drainCalls())
	r.do("DELETE", "/Users/"+id, "").is(http.StatusNoContent)
	a = app.last()
	assert.Equal(t, []string{"provision deleted", "commit deleted"}, app.drainCalls())
	assert.Equal(t, "host-"+id, a.HostID)
	assert.False(t, a.Active)
	pending, err := r.store.Undelivered(context.Background(), r.dir.Tenant, r.clock.Now().Add(time.Hour), 10)
	require.NoError(t, err)
	assert.Empty(t, pending, "nothing is outstanding")
}

func TestB6ProvisionRunsInsideTheTransaction(t *testing.T) {
	t.Parallel()
	r, app := newCommittingRig(t)
	id := r.post("/Users", person("ada"))
	read := func(ctx context.Context) (active bool) {
		u, err := r.store.Get(ctx, scim.Ref{Directory: r.dir.Key(), Type: "User", ID: id}, scim.GetOptions{})
		require.NoError(t, err)
		return u.User().Active()
	}
	var inside, outside, after bool
	app.provision = func(ctx context.Context, _ *scim.Account) error {
		inside, outside = read(ctx), read(context.Background())
		return nil
	}
	app.commit = func(context.Context, *scim.Account) error {
		after = read(context.Background())
		return nil
	}
	r.deactivate(id)
	assert.False(t, inside, "the transaction sees what it does")
	assert.True(t, outside, "nobody else does before the commit")
	assert.False(t, after, "Committed is after the commit")
}

func TestB6AProvisionThatFailsRollsEverythingBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fail   func(context.Context, *scim.Account) error
		status int
		says   string
	}{
		"error": {func(context.Context, *scim.Account) error { return errors.New("secret of the host") }, http.StatusInternalServerError, "logged"},
		"panic": {func(context.Context, *scim.Account) error { panic("secret of the host") }, http.StatusInternalServerError, "logged"},
		"an error of its own": {func(context.Context, *scim.Account) error {
			return &scim.Error{Status: http.StatusForbidden, Detail: "the plan has no seat left", Err: errors.New("secret of the host")}
		}, http.StatusForbidden, "no seat left"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, app := newCommittingRig(t)
			id := r.post("/Users", person("ada"))
			group := r.post("/Groups", team("Engineers", id))
			before, groupBefore := r.get("/Users/"+id), r.get("/Groups/"+group)
			r.forget()
			app.drainCalls()
			app.provision = c.fail
			for _, request := range []struct{ method, path, body string }{
				{"PATCH", "/Users/" + id, patchBody(replaceOp("active", "false"))},
				{"PUT", "/Users/" + id, `{"userName":"ada@acme.example","active":false}`},
				{"DELETE", "/Users/" + id, ""},
				{"POST", "/Users", person("grace")},
				{"PATCH", "/Groups/" + group, patchBody(`{"op":"remove","path":"members"}`)},
				{"DELETE", "/Groups/" + group, ""},
				{"POST", "/Groups", team("Admins", id)},
			} {
				a := r.do(request.method, request.path, request.body).is(c.status)
				assert.Contains(t, a.at("/detail"), c.says)
				assert.NotContains(t, a.at("/detail"), "secret")
			}
			assert.Equal(t, before.body, r.get("/Users/"+id).body)
			assert.Equal(t, groupBefore.body, r.get("/Groups/"+group).body)
			assert.Empty(t, r.find("/Users", `userName eq "grace"`))
			assert.Empty(t, r.find("/Groups", `displayName eq "Admins"`))
			r.happened()
			assert.NotContains(t, app.drainCalls(), "commit")
			assert.Nil(t, app.last())
			a := r.account(id)
			assert.True(t, a.Active)
			assert.Equal(t, []scim.Grant{fromGroup("editor", group)}, a.Roles)

			app.provision = nil // and the provider tries again
			r.deactivate(id)
			r.happened(scim.UserDeactivated)
		})
	}
}

func TestB6ACommittedThatFailsIsRepeatedUntilItSucceeds(t *testing.T) {
	t.Parallel()
	r, app := newCommittingRig(t)
	id := r.post("/Users", person("ada"))
	app.drainCalls()
	broken := errors.New("the session store is down")
	app.commit = func(context.Context, *scim.Account) error { return broken }
	r.deactivate(id) // succeeds: it is done, and cannot be undone
	assert.Equal(t, []string{"provision deactivated", "commit deactivated"}, app.drainCalls())
	assert.False(t, r.account(id).Active)

	deliver := func() (int, error) {
		r.clock.step()
		return r.scim.Engine().DeliverPending(context.Background(), r.dir.Tenant, func(k scim.Key) *scim.Directory {
			assert.Equal(t, r.dir.Key(), k)
			return r.dir
		})
	}
	for range 2 {
		n, err := deliver()
		require.ErrorContains(t, err, broken.Error())
		assert.Zero(t, n)
		assert.Equal(t, []string{"commit deactivated"}, app.drainCalls())
	}
	app.commit = nil
	n, err := deliver()
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	a := app.last()
	assert.Equal(t, []string{"commit deactivated"}, app.drainCalls(), "Provision is not called again")
	assert.Equal(t, id, a.ID)
	assert.Equal(t, "host-"+id, a.HostID)
	assert.False(t, a.Active)
	n, err = deliver()
	require.NoError(t, err)
	assert.Zero(t, n, "once is enough")
	assert.Empty(t, app.drainCalls())
}

// A call that is repeated says what is the case by then, not what was.
func TestB6ARepeatedCommittedTellsTheAccountAsItIs(t *testing.T) {
	t.Parallel()
	r, app := newCommittingRig(t)
	id := r.post("/Users", person("ada"))
	app.commit = func(context.Context, *scim.Account) error { return errors.New("down") }
	r.deactivate(id)
	r.reactivate(id)
	r.do("DELETE", "/Users/"+id, "").is(http.StatusNoContent)
	app.commit = nil
	app.drainCalls()
	r.clock.step()
	n, err := r.scim.Engine().DeliverPending(context.Background(), r.dir.Tenant, func(scim.Key) *scim.Directory { return r.dir })
	require.NoError(t, err)
	assert.Equal(t, 3, n)
	app.mu.Lock()
	defer app.mu.Unlock()
	for _, a := range app.committed {
		assert.False(t, a.Active, "the person is deleted")
		assert.Equal(t, "host-"+id, a.HostID)
		assert.Equal(t, scim.Deleted, a.Change)
	}
}

func TestB6ACommittedThatPanicsIsRepeatedToo(t *testing.T) {
	t.Parallel()
	r, app := newCommittingRig(t)
	app.commit = func(context.Context, *scim.Account) error { panic("at the disco") }
	id := r.post("/Users", person("ada"))
	assert.True(t, r.account(id).Active)
	app.commit = nil
	r.clock.step()
	n, err := r.scim.Engine().DeliverPending(context.Background(), r.dir.Tenant, func(scim.Key) *scim.Directory { return r.dir })
	require.NoError(t, err)
	assert.Equal(t, 1, n)
}

func TestB6OneFailureHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	r, app := newCommittingRig(t)
	ada, grace := r.post("/Users", person("ada")), r.post("/Users", person("grace"))
	app.drainCalls()
	app.commit = func(_ context.Context, a *scim.Account) error {
		if a.ID == ada {
			return errors.New("down")
		}
		return nil
	}
	r.post("/Groups", team("Engineers", ada, grace))
	assert.Equal(t, grace, app.last().ID)
	r.clock.step()
	pending, err := r.store.Undelivered(context.Background(), r.dir.Tenant, r.clock.Now(), 10)
	require.NoError(t, err)
	require.Len(t, pending, 1)
	assert.Equal(t, ada, pending[0].User.ID)
}

func TestB6CommittedOnAPlainStore(t *testing.T) {
	t.Parallel()
	app := &committingApp{}
	r := newPlainRig(t, scim.NoRoles{}, strictly(), func(cfg *scim.Config) {
		app.hostApp, _ = cfg.Provisioner.(*hostApp)
		cfg.Provisioner = app
	})
	id := r.post("/Users", person("ada"))
	r.deactivate(id)
	r.do("DELETE", "/Users/"+id, "").is(http.StatusNoContent)
	assert.Equal(t, []string{
		"provision created", "commit created", "provision deactivated", "commit deactivated", "provision deleted", "commit deleted",
	}, app.drainCalls())
}

// Access by a group ends with the request that ends the membership.
func TestB6RevocationsThroughAGroupDoNotQueue(t *testing.T) {
	t.Parallel()
	r, app := newCommittingRig(t)
	ids := make([]string, 25)
	for i := range ids {
		ids[i] = r.post("/Users", person("u"+string(rune('a'+i))))
	}
	group := r.post("/Groups", team("Admins", ids...))
	app.drainCalls()
	r.forget()
	r.patch("/Groups/"+group, `{"op":"replace","path":"members","value":[]}`).is(http.StatusNoContent)
	told := r.app.drain()
	require.Len(t, told, len(ids))
	for i, a := range told {
		assert.Equal(t, ids[i], a.ID, "in order of id: the host's locks are taken in one order")
		assert.Equal(t, []scim.Grant{byDefault("viewer")}, a.Roles)
	}
	assert.Len(t, app.drainCalls(), 2*len(ids))
}

func TestB6RevocationsOfThousandsDoNotQueueEither(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), nil)
	ids := make([]string, 1050) // more than are worked out at once
	for i := range ids {
		ids[i] = r.post("/Users", person(fmt.Sprint("u", i)))
	}
	group := r.post("/Groups", team("Admins", ids...))
	r.forget()
	r.do("DELETE", "/Groups/"+group, "").is(http.StatusNoContent)
	told := r.app.drain()
	require.Len(t, told, len(ids))
	for i, a := range told {
		require.Equal(t, ids[i], a.ID)
		require.Equal(t, []scim.Grant{byDefault("viewer")}, a.Roles)
	}
}

func TestB6AHookThatTakesTooLongRollsBack(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, strictly(), func(cfg *scim.Config) {
		app, limit := cfg.Provisioner, time.Millisecond
		cfg.ProvisionTimeout = limit
		cfg.Provisioner = scim.ProvisionerFunc(func(ctx context.Context, a *scim.Account) (string, error) {
			if a.Change == scim.Deactivated {
				<-ctx.Done()
				return "", ctx.Err()
			}
			return app.Provision(context.WithoutCancel(ctx), a)
		})
	})
	id := r.post("/Users", person("ada"))
	r.forget()
	a := r.patch("/Users/"+id, replaceOp("active", "false"))
	a.refused(http.StatusServiceUnavailable, "", "did not answer in time")
	assert.NotEmpty(t, a.header.Get("Retry-After"))
	r.get("/Users/"+id).shows("/active", true)
	r.happened()
	assert.True(t, r.account(id).Active)
}

// The client's connection is no reason to leave a session open.
func TestB6AClientThatHangsUpDoesNotStopCommitted(t *testing.T) {
	t.Parallel()
	r, app := newCommittingRig(t)
	id := r.post("/Users", person("ada"))
	app.drainCalls()
	ctx, hangUp := context.WithCancel(context.Background())
	app.commit = func(ctx context.Context, _ *scim.Account) error {
		hangUp()
		return ctx.Err()
	}
	req := httptest.NewRequestWithContext(ctx, http.MethodDelete, "/scim/v2/Users/"+id, nil)
	req.Header.Set("Authorization", "Bearer "+testToken)
	r.ServeHTTP(httptest.NewRecorder(), req)
	require.Error(t, ctx.Err())
	require.NotNil(t, app.last())
	assert.Equal(t, scim.Deleted, app.last().Change)
	assert.Equal(t, []string{"provision deleted", "commit deleted"}, app.drainCalls())
}

func TestB6WhatIsOutstandingOfADirectoryThatIsGoneIsForgotten(t *testing.T) {
	t.Parallel()
	r, app := newCommittingRig(t)
	app.commit = func(context.Context, *scim.Account) error { return errors.New("down") }
	r.post("/Users", person("ada"))
	app.drainCalls()
	r.clock.step()
	_, err := r.scim.Engine().DeliverPending(context.Background(), r.dir.Tenant, func(scim.Key) *scim.Directory { return nil })
	require.NoError(t, err)
	assert.Empty(t, app.drainCalls())
	pending, err := r.store.Undelivered(context.Background(), r.dir.Tenant, r.clock.Now(), 10)
	require.NoError(t, err)
	assert.Empty(t, pending)
}
