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
)

// retire gives up users.
func (r *ruleRig) retire(how scim.Retirement, users ...string) {
	r.t.Helper()
	require.NoError(r.t, r.scim.Engine().Retire(context.Background(), r.dir, how, users...))
}

// B9: a directory is given up.

// A parting is a directory with one of each kind of person.
type parting struct {
	*ruleRig
	ada    string // created, an editor
	linked string // an owner before
	plain  string // linked, without a role before
	out    string // linked, deactivated since
	review string // held for review
	gone   string // deleted before
	unborn string // never told of
	all    []string
	group  string
}

func newParting(t *testing.T) *parting {
	t.Helper()
	p := &parting{ruleRig: newManagedRig(t, mappedRoles(t), strictly(), resolving(func(a *scim.Account) scim.Resolution {
		switch a.ExternalID {
		case "ext-linked", "ext-out":
			return scim.Link("legacy-"+a.ExternalID, "owner")
		case "ext-plain":
			return scim.Link("legacy-plain")
		case "ext-review":
			return scim.Existing("legacy-review", true, "owner")
		}
		return scim.Resolution{}
	}))}
	for id, name := range map[*string]string{&p.ada: "ada", &p.linked: "linked", &p.plain: "plain", &p.out: "out", &p.review: "review", &p.gone: "gone"} {
		*id = p.post("/Users", person(name))
		p.all = append(p.all, *id)
	}
	p.set("/Users/"+p.ada, "displayName", `"Ada"`)
	p.group = p.post("/Groups", team("Engineers", p.all...))
	p.do("DELETE", "/Users/"+p.gone, "").is(http.StatusNoContent)
	p.deactivate(p.out)
	p.off(scim.CreateUsers)
	p.unborn = p.post("/Users", person("unborn"))
	p.all = append(p.all, p.unborn, "nobody")
	p.off(0)
	p.dir.Disabled = true // as whoever retires a directory has made it
	p.forget()
	return p
}

// parted returns what the host was told of each, once, and checks that nobody is
// told again.
func (p *parting) parted(how scim.Retirement) map[string]*scim.Account {
	p.t.Helper()
	half := len(p.all) / 2
	p.retire(how, p.all[half:]...) // a task that was interrupted begins again
	p.retire(how, p.all...)
	told := map[string]*scim.Account{}
	for _, a := range p.app.drain() {
		require.NotContains(p.t, told, a.ID, "told once")
		told[a.ID] = a
	}
	assert.Len(p.t, told, 4)
	assert.NotContains(p.t, told, p.gone)
	assert.NotContains(p.t, told, p.review, "the account was never the directory's")
	assert.NotContains(p.t, told, p.unborn)
	for _, id := range p.all[:6] {
		state := p.state(id)
		assert.True(p.t, state.Deleted)
		assert.NotEmpty(p.t, state.ExternalID)
		assert.NotEmpty(p.t, state.Email)
		assert.NotEmpty(p.t, state.HostID)
	}
	// What is told once more, by Committed that failed, is the same.
	for id, a := range told {
		now := p.account(id)
		a := *a
		now.Change, a.Change, a.User = "", "", nil
		now.Roles, a.Roles = append([]scim.Grant{}, now.Roles...), append([]scim.Grant{}, a.Roles...)
		if !a.Active {
			now.Profile, a.Profile = scim.Profile{}, scim.Profile{} // of no use to who is out
		}
		assert.Equal(p.t, &a, now)
	}
	n, err := p.scim.Engine().RetireRest(context.Background(), p.dir, 100)
	require.NoError(p.t, err)
	assert.Equal(p.t, 1, n)
	n, err = p.scim.Engine().RetireRest(context.Background(), p.dir, 100)
	require.NoError(p.t, err)
	assert.Zero(p.t, n)
	p.toldNothing()
	p.reload(p.gone)
	p.app.drain()
	assert.Zero(p.t, p.reconcile(p.all...))
	p.toldNothing()
	return told
}

func TestB9ReleaseLeavesEverybodyWithWhatTheyHave(t *testing.T) {
	t.Parallel()
	p := newParting(t)
	before := p.account(p.ada)
	told := p.parted(scim.ReleaseAccounts)
	a := told[p.ada]
	assert.Equal(t, scim.Released, a.Change)
	assert.True(t, a.Active)
	assert.Equal(t, []scim.Grant{byHand("editor")}, a.Roles)
	assert.Equal(t, before.Profile, a.Profile)
	assert.Equal(t, before.Groups, a.Groups)
	assert.Equal(t, []scim.Grant{byHand("editor"), byHand("owner")}, told[p.linked].Roles)
	assert.False(t, told[p.out].Active)
	assert.False(t, p.account(p.review).Active, "a review stands")
	for _, a := range told {
		assert.Equal(t, scim.Released, a.Change)
		assert.True(t, p.state(a.ID).Unmanaged)
	}
	p.happened()
	p.reload(p.ada)
	p.toldNothing()
}

func TestB9DeactivateAllEndsAccess(t *testing.T) {
	t.Parallel()
	p := newParting(t)
	told := p.parted(scim.DeactivateAll)
	for _, a := range told {
		assert.Equal(t, scim.Deactivated, a.Change)
		assert.False(t, a.Active)
		assert.False(t, p.state(a.ID).Unmanaged)
		assert.Empty(t, a.Groups)
	}
	assert.Equal(t, []scim.Grant{byHand("owner")}, told[p.linked].Roles, "what was given by hand is the host's")
	p.happened(slices.Repeat([]scim.EventType{scim.UserDeleted}, 4)...)
}

func TestB9RestorePutsBackWhatWasThereBefore(t *testing.T) {
	t.Parallel()
	p := newParting(t)
	require.NoError(t, p.scim.Engine().SetManualRoles(context.Background(), p.dir, p.linked, "owner", "billing"))
	p.forget()
	told := p.parted(scim.RestoreAccounts)
	for name, c := range map[string]struct {
		id     string
		active bool
		roles  []scim.Grant
		change scim.Change
	}{
		"an owner":                      {p.linked, true, []scim.Grant{byHand("owner")}, scim.Released},
		"one without a role":            {p.plain, true, []scim.Grant{}, scim.Released},
		"one whom the provider put out": {p.out, false, []scim.Grant{byHand("owner")}, scim.Released},
		"one who came by the directory": {p.ada, false, []scim.Grant{}, scim.Deactivated},
	} {
		a := told[c.id]
		assert.Equal(t, c.active, a.Active, name)
		assert.Equal(t, c.roles, append([]scim.Grant{}, a.Roles...), name)
		assert.Equal(t, c.change, a.Change, name)
		assert.Empty(t, a.Groups, name)
		assert.Empty(t, a.Held, name)
		assert.Equal(t, c.change == scim.Released, p.state(c.id).Unmanaged, name)
	}
	var deleted []string
	for _, e := range p.events() {
		if e.Type == scim.UserDeleted {
			deleted = append(deleted, e.Data.ID())
		} else {
			assert.Equal(t, scim.UserRolesChanged, e.Type)
		}
	}
	assert.Equal(t, []string{p.ada}, deleted)
}

// What a switch has left to somebody goes with the directory, as it was chosen.
func TestB9WhoWasLeftAccessByASwitch(t *testing.T) {
	t.Parallel()
	for how, active := range map[scim.Retirement]bool{scim.ReleaseAccounts: true, scim.DeactivateAll: false, scim.RestoreAccounts: false} {
		t.Run(how.String(), func(t *testing.T) {
			t.Parallel()
			r := newManagedRig(t, mappedRoles(t), strictly(), nil)
			inactive, deleted := r.post("/Users", person("ada")), r.post("/Users", person("grace"))
			r.off(scim.DeactivateUsers)
			r.deactivate(inactive)
			r.do("DELETE", "/Users/"+deleted, "").is(http.StatusNoContent)
			r.forget()
			r.retire(how, inactive, deleted)
			told := r.app.drain()
			require.Len(t, told, 2)
			for _, a := range told {
				assert.Equal(t, active, a.Active)
			}
			r.retire(how, inactive, deleted)
			r.toldNothing()
			assert.Empty(t, r.waiting())
		})
	}
}

func TestB9WhatIsLeftIsRemovedWhenTheUsersAreGone(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, strictly(), nil)
	id := r.post("/Users", person("ada"))
	for i := range 5 {
		r.post("/Groups", team(fmt.Sprint("Team ", i), id))
	}
	_, err := r.scim.Engine().RetireRest(context.Background(), r.dir, 2)
	require.ErrorContains(t, err, "Retire")
	r.retire(scim.DeactivateAll, id)
	for _, want := range []int{2, 2, 1, 0} {
		n, err := r.scim.Engine().RetireRest(context.Background(), r.dir, 2)
		require.NoError(t, err)
		assert.Equal(t, want, n)
	}
	r.get("/Groups").shows("/totalResults", jsonNumber(0))
	require.ErrorContains(t, r.scim.Engine().Retire(context.Background(), r.dir, 9, id), "no retirement")
}

func TestB9RetirementsByName(t *testing.T) {
	t.Parallel()
	for how, name := range map[scim.Retirement]string{scim.ReleaseAccounts: "release", scim.DeactivateAll: "deactivate", scim.RestoreAccounts: "restore"} {
		text, err := how.MarshalText()
		require.NoError(t, err)
		assert.Equal(t, name, string(text))
		var back scim.Retirement = 7
		require.NoError(t, back.UnmarshalText(text))
		assert.Equal(t, how, back)
	}
	var r scim.Retirement
	require.ErrorContains(t, r.UnmarshalText([]byte("erase")), "release, deactivate, restore")
}

// Rebinding: another directory of the tenant takes the people over.

func TestB9ANewDirectoryClaimsThePeopleOfARetiredOne(t *testing.T) {
	t.Parallel()
	for how, c := range map[scim.Retirement]struct{ linked, ada []scim.Grant }{
		scim.ReleaseAccounts: {[]scim.Grant{byHand("owner"), byDefault("viewer")}, []scim.Grant{byDefault("viewer")}},
		scim.DeactivateAll:   {[]scim.Grant{byHand("owner"), byDefault("viewer")}, []scim.Grant{byDefault("viewer")}},
		scim.RestoreAccounts: {[]scim.Grant{byHand("owner"), byDefault("viewer")}, []scim.Grant{byDefault("viewer")}},
	} {
		for key, send := range map[string]func(name string) string{
			"externalId": func(name string) string {
				return fmt.Sprintf(`{"userName":"%[1]s@acme.example","externalId":"ext-%[1]s"}`, name)
			},
			"email": func(name string) string {
				return fmt.Sprintf(`{"userName":"%[1]s@acme.example","externalId":"new-%[1]s"}`, name)
			},
		} {
			t.Run(how.String()+" "+key, func(t *testing.T) {
				t.Parallel()
				p := newParting(t)
				p.parted(how)
				retired := p.dir.ID
				p.dir.ID, p.dir.Disabled, p.dir.Claims = "entra", false, []string{"unknown", retired}
				p.forget()

				id := p.post("/Users", send("linked"))
				a := p.told()
				assert.Equal(t, scim.Linked, a.Change)
				assert.Equal(t, "legacy-ext-linked", a.HostID)
				assert.True(t, a.Active)
				assert.Equal(t, c.linked, a.Roles, "what was given by hand stays, what the old directory gave goes")
				assert.Equal(t, []string{"owner"}, p.state(id).Found)
				events := p.happened(scim.UserCreated, scim.UserLinked, scim.UserRolesChanged)
				assert.Equal(t, []scim.Grant{byHand("owner")}, events[1].Roles)
				p.do("DELETE", "/Users/"+id, "").is(http.StatusNoContent)
				p.forget()

				p.post("/Users", send("ada"))
				a = p.told()
				assert.Equal(t, "host-"+p.ada, a.HostID)
				assert.Equal(t, c.ada, a.Roles)
				p.forget()

				// A host account is one person's.
				if key == "email" {
					stranger := p.post("/Users", `{"userName":"stranger@acme.example","externalId":"ext-ada"}`)
					assert.Equal(t, "host-"+stranger, p.told().HostID)
				}

				reviewed := p.post("/Users", fmt.Sprintf(`{"userName":"review@acme.example","externalId":"%s"}`, "ext-review"))
				p.toldNothing()
				assert.Equal(t, scim.HeldForReview, p.account(reviewed).Held, "to come by another directory is no way around a review")
				assert.False(t, p.account(reviewed).Active)
			})
		}
	}
}

func TestB9WhatIsNotClaimedIsNotFound(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*scim.Directory){
		"no claim":       func(d *scim.Directory) { d.Claims = nil },
		"another tenant": func(d *scim.Directory) { d.Tenant = "globex" },
		"not verified":   func(d *scim.Directory) { d.Domains, d.Policy.Domain = nil, scim.AnyDomain },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newManagedRig(t, scim.NoRoles{}, strictly(), nil)
			old := r.post("/Users", person("ada"))
			r.retire(scim.ReleaseAccounts, old)
			r.forget()
			r.dir.Claims = []string{r.dir.ID}
			r.dir.ID = "entra"
			change(r.dir)
			id := r.post("/Users", `{"userName":"ada@acme.example"}`)
			a := r.app.account(id)
			assert.Equal(t, "host-"+id, a.HostID)
			assert.Equal(t, scim.Created, a.Change)
		})
	}
}
