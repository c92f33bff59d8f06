package scim_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
)

// A resolvingApp is an application that knows some people already.
type resolvingApp struct {
	*hostApp
	resolve func(*scim.Account) (scim.Resolution, error)
}

func (a resolvingApp) ResolveExisting(_ context.Context, acc *scim.Account) (scim.Resolution, error) {
	return a.resolve(acc)
}

// resolving makes the application of a rig answer so.
func resolving(answer func(*scim.Account) scim.Resolution) func(*scim.Config) {
	return func(cfg *scim.Config) {
		app, _ := cfg.Provisioner.(*hostApp)
		cfg.Provisioner = resolvingApp{app, func(a *scim.Account) (scim.Resolution, error) { return answer(a), nil }}
	}
}

// A7: an account with this email exists already, in this directory.

func TestA7WhatPOSTRefusesAFilterFinds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ there, second, attribute, filter string }{
		"userName":           {person("ada"), `{"userName":"ADA","emails":[{"value":"other@acme.example"}]}`, "userName", `userName eq "ADA"`},
		"externalId":         {person("ada"), `{"userName":"other@acme.example","externalId":"ext-ada"}`, "externalId", `externalId eq "ext-ada"`},
		"email":              {person("ada"), `{"userName":"other","emails":[{"value":"Ada@ACME.example"}]}`, "emails.value", `emails.value eq "Ada@ACME.example"`},
		"email, typed":       {person("ada"), `{"userName":"other","emails":[{"value":"ada@acme.example","type":"home"}]}`, "emails.value", `emails[type eq "work"].value eq "ada@acme.example"`},
		"email is userName":  {`{"userName":"ada@acme.example"}`, `{"userName":"other","emails":[{"value":"ADA@acme.example"}]}`, "userName", `userName eq "ADA@acme.example"`},
		"userName is email":  {person("ada"), `{"userName":"Ada@acme.example"}`, "emails.value", `emails.value eq "Ada@acme.example"`},
		"somebody inactive":  {`{"userName":"ada@acme.example","active":false}`, `{"userName":"ada@acme.example"}`, "userName", `userName eq "ada@acme.example"`},
		"as inactive person": {person("ada"), `{"userName":"other","active":false,"emails":[{"value":"ada@acme.example"}]}`, "emails.value", `emails.value eq "ada@acme.example"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
				assert.Empty(t, r.find("/Users", c.filter), "what a filter does not find, POST does not refuse")
				id := r.post("/Users", c.there)
				r.forget()
				assert.Equal(t, []string{id}, r.find("/Users", c.filter))
				r.do("POST", "/Users", c.second).refused(http.StatusConflict, "uniqueness", c.attribute)
				assert.Equal(t, []string{id}, r.find("/Users", c.filter))
				r.toldNothing()
				if r.store != nil {
					r.happened()
				}
				// What is deleted is neither found nor refused.
				r.do("DELETE", "/Users/"+id, "").is(http.StatusNoContent)
				assert.Empty(t, r.find("/Users", c.filter))
				r.post("/Users", c.second)
			})
		})
	}
}

func TestA7AChangeToAnotherUsersEmail(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func() *scim.Directory { return acme(scim.Policy{Email: scim.AllowEmailChange}) }, func(t *testing.T, r *ruleRig) {
		r.post("/Users", person("ada"))
		grace := r.post("/Users", person("grace"))
		r.forget()
		r.set("/Users/"+grace, "displayName", `"Grace"`) // nobody is in one's own way
		r.forget()
		r.patch("/Users/"+grace, replaceOp(`emails[type eq "work"].value`, `"Ada@acme.example"`)).
			refused(http.StatusConflict, "uniqueness", "emails.value")
		r.do("PUT", "/Users/"+grace, `{"userName":"ada@acme.example"}`).refused(http.StatusConflict, "uniqueness", "emails.value")
		r.get("/Users/"+grace).shows("/emails/0/value", "grace@acme.example")
		r.toldNothing()
	})
}

// A7: an account with this email exists already, in the host.

func TestA7TheHostIsAskedOnceAboutEveryNewPerson(t *testing.T) {
	t.Parallel()
	var asked []*scim.Account
	r := newManagedRig(t, scim.NoRoles{}, strictly(), resolving(func(a *scim.Account) scim.Resolution {
		asked = append(asked, a)
		return scim.Resolution{}
	}))
	id := r.post("/Users", person("ada"))
	require.Len(t, asked, 1)
	a := asked[0]
	assert.Equal(t, "ada@acme.example", a.Email)
	assert.True(t, a.EmailVerified)
	assert.True(t, a.Active)
	assert.Equal(t, "ext-ada", a.ExternalID)
	assert.Equal(t, []string{"acme", "okta", id}, []string{a.Tenant, a.Directory, a.ID})
	assert.Equal(t, scim.Created, r.told().Change)
	r.happened(scim.UserCreated)

	r.set("/Users/"+id, "displayName", `"Ada"`)
	r.deactivate(id)
	r.reactivate(id)
	r.do("POST", "/Users", person("ada")).is(http.StatusConflict) // refused before
	assert.Len(t, asked, 1)
}

func TestA7LinkKeepsTheRolesItFound(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), resolving(func(*scim.Account) scim.Resolution {
		return scim.Link("legacy-7", "billing", "owner")
	}))
	id := r.post("/Users", person("ada"))
	a := r.told()
	assert.Equal(t, scim.Linked, a.Change)
	assert.Equal(t, "legacy-7", a.HostID)
	assert.True(t, a.Active)
	want := []scim.Grant{byHand("billing"), byHand("owner"), byDefault("viewer")}
	assert.Equal(t, want, a.Roles)
	events := r.happened(scim.UserCreated, scim.UserLinked, scim.UserRolesChanged)
	assert.Equal(t, []scim.Grant{byHand("billing"), byHand("owner")}, events[1].Roles)
	assert.Equal(t, want, events[2].Roles)

	group := r.post("/Groups", team("Engineers", id))
	assert.Equal(t, []scim.Grant{byHand("billing"), fromGroup("editor", group), byHand("owner")}, r.account(id).Roles)
	r.leave(group, id)
	assert.Equal(t, want, r.account(id).Roles)
	assert.Equal(t, "legacy-7", r.account(id).HostID)
}

func TestA7DefaultLinksWhatIsVerifiedAndNotProtected(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		user      string
		protected bool
		linked    bool
	}{
		"verified":                {person("ada"), false, true},
		"verified, but protected": {person("ada"), true, false},
		"not verified":            {`{"userName":"ada@other.example","active":true}`, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newManagedRig(t, scim.NoRoles{}, acme(scim.Policy{Domain: scim.AnyDomain}), resolving(func(*scim.Account) scim.Resolution {
				return scim.Existing("legacy-7", c.protected, "owner")
			}))
			id := r.post("/Users", c.user)
			a := r.account(id)
			if c.linked {
				a = r.told()
			} else {
				r.toldNothing() // it is the application's own: a host that simply applied this would lock its owner out
			}
			assert.Equal(t, "legacy-7", a.HostID)
			assert.Equal(t, []scim.Grant{byHand("owner")}, a.Roles)
			assert.Equal(t, c.linked, a.Active)
			if c.linked {
				assert.Equal(t, scim.Linked, a.Change)
				r.happened(scim.UserCreated, scim.UserLinked, scim.UserRolesChanged)
				return
			}
			assert.Equal(t, scim.HeldForReview, a.Held)
			r.happened(scim.UserCreated, scim.UserHeld, scim.UserRolesChanged)
			assert.Zero(t, r.reconcile(id), "a review stands until somebody has looked")
			require.NoError(t, r.scim.Engine().Release(context.Background(), r.dir, id))
			a = r.told()
			assert.True(t, a.Active)
			assert.Equal(t, scim.Linked, a.Change)
			assert.Equal(t, "legacy-7", a.HostID)
			assert.Equal(t, []string{"owner"}, r.state(id).Found)
			events := r.happened(scim.UserLinked, scim.UserReleased)
			assert.Equal(t, []scim.Grant{byHand("owner")}, events[0].Roles)
		})
	}
}

func TestA7HoldIsStoredWithoutAccess(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), resolving(func(*scim.Account) scim.Resolution { return scim.Hold("same name as a partner") }))
	id := r.do("POST", "/Users", person("ada")).is(http.StatusCreated).shows("/active", true).id()
	a := r.told()
	assert.False(t, a.Active)
	assert.Equal(t, "same name as a partner", a.Held)
	events := r.happened(scim.UserCreated, scim.UserHeld, scim.UserRolesChanged)
	assert.Equal(t, "same name as a partner", events[1].Note)
	assert.Equal(t, []string{id}, r.find("/Users", `userName eq "ada"`))

	// It stays held whatever the provider does.
	r.set("/Users/"+id, "displayName", `"Ada"`)
	r.deactivate(id)
	r.reactivate(id)
	r.post("/Groups", team("Admins", id))
	for _, a := range r.app.drain() {
		assert.False(t, a.Active)
	}
	assert.Equal(t, []string{"admin"}, r.account(id).RoleNames(), "what the person may do once released")
	assert.False(t, r.account(id).Active)
	r.forget()
	assert.Zero(t, r.reconcile(id), "the application's own reason stands until Release")
	require.NoError(t, r.scim.Engine().Release(context.Background(), r.dir, id))
	a = r.told()
	assert.True(t, a.Active)
	assert.Empty(t, a.Held)
	assert.Equal(t, scim.Updated, a.Change)
	r.happened(scim.UserReleased)
}

// Deleting and creating anew is no way around a review.
func TestA7AHeldPersonWhoIsDeletedAndComesBackIsHeld(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, acme(scim.Policy{RejoinByEmail: true}), resolving(func(*scim.Account) scim.Resolution {
		return scim.Existing("the-owner", true, "owner")
	}))
	id := r.post("/Users", person("ada"))
	for _, again := range []string{person("ada"), `{"userName":"ada@acme.example","active":true}`} { // by externalId, by email
		r.do("DELETE", "/Users/"+id, "").is(http.StatusNoContent)
		require.NoError(t, r.scim.Engine().Resync(context.Background(), r.dir, id))
		r.toldNothing()
		r.forget()
		id = r.post("/Users", again)
		r.toldNothing()
		a := r.account(id)
		assert.Equal(t, "the-owner", a.HostID)
		assert.False(t, a.Active)
		assert.NotEmpty(t, a.Held)
		assert.Equal(t, []scim.Grant{byHand("owner")}, a.Roles)
		r.happened(scim.UserCreated, scim.UserHeld, scim.UserRolesChanged)
	}
}

func TestA7RefuseIs403WithoutScimType(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, strictly(), resolving(func(*scim.Account) scim.Resolution { return scim.Refuse("robots are not provisioned") }))
	r.do("POST", "/Users", person("ada")).refused(http.StatusForbidden, "", "robots are not provisioned")
	assert.Empty(t, r.find("/Users", `userName eq "ada"`))
	r.toldNothing()
	r.happened()
	assert.Equal(t, http.StatusForbidden, r.refusals()[0].Status)
}

// refusals returns the lines of the request log that were refused, the newest
// first.
func (r *ruleRig) refusals() (refused []*scim.LogEntry) {
	r.t.Helper()
	entries, err := r.store.Requests(context.Background(), r.dir.Key(), 1000)
	require.NoError(r.t, err)
	for _, e := range entries {
		if e.Status >= http.StatusBadRequest {
			refused = append(refused, e)
		}
	}
	return refused
}

func TestA7AnErrorOfTheResolverStoresNothing(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, strictly(), func(cfg *scim.Config) {
		app, _ := cfg.Provisioner.(*hostApp)
		cfg.Provisioner = resolvingApp{app, func(*scim.Account) (scim.Resolution, error) {
			return scim.Resolution{}, errors.New("secret of the host")
		}}
	})
	a := r.do("POST", "/Users", person("ada")).is(http.StatusInternalServerError)
	assert.NotContains(t, a.at("/detail"), "secret")
	assert.Empty(t, r.find("/Users", `userName eq "ada"`))
	r.toldNothing()
	r.happened()
}

func TestA7AResolverNeedsALedger(t *testing.T) {
	t.Parallel()
	_, err := scim.NewEngine(newNaiveStore(), scim.NoRoles{}, &scim.Config{Provisioner: resolvingApp{hostApp: newHostApp()}})
	require.ErrorContains(t, err, "A7")
}

// A8: legacy users are never touched.

func TestA8LegacyUsersAreNeverTouched(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), resolving(func(a *scim.Account) scim.Resolution {
		if a.Email == "managed@acme.example" {
			return scim.Link("legacy-1")
		}
		return scim.Resolution{}
	}))
	// The host has legacy-1 and legacy-2; the provider sends the first alone.
	id := r.post("/Users", person("managed"))
	ada := r.post("/Users", person("ada"))
	group := r.post("/Groups", team("Engineers", id, ada, "legacy-2"))
	r.patch("/Groups/"+group, `{"op":"add","path":"members","value":[{"value":"legacy-2"}]}`).is(http.StatusNoContent)
	r.set("/Groups/"+group, "displayName", `"Builders"`)
	for _, method := range []string{"GET", "DELETE"} {
		r.do(method, "/Users/legacy-2", "").is(http.StatusNotFound)
	}
	r.patch("/Users/legacy-2", replaceOp("active", "false")).is(http.StatusNotFound)
	r.do("DELETE", "/Groups/"+group, "").is(http.StatusNoContent)
	r.get("/Users").shows("/totalResults", jsonNumber(2))
	r.do("DELETE", "/Users/"+id, "").is(http.StatusNoContent)
	for _, a := range r.app.drain() {
		assert.Contains(t, []string{id, ada}, a.ID)
		assert.NotEqual(t, "legacy-2", a.HostID)
	}
}
