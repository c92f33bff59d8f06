package scim_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
)

// A6: domains.

func guests() *scim.Directory { return acme(scim.Policy{Domain: scim.GuestDomain}) }

func TestA6RejectsOutsiders(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ user, attribute, domain string }{
		"email": {`{"userName":"eve","emails":[{"value":"eve@other.example","primary":true}]}`, "emails.value", "other.example"},
		"userName as email": {
			`{"userName":"eve@other.example"}`, "userName", "other.example",
		},
		"userName beside a harmless email": {
			`{"userName":"victim@other.example","emails":[{"value":"eve@acme.example","primary":true}]}`, "userName", "other.example",
		},
		"userName with a full-width @": {
			`{"userName":"victim＠other.example","emails":[{"value":"eve@acme.example","primary":true}]}`, "userName", "other.example",
		},
		"subdomain":   {`{"userName":"eve@ext.acme.example"}`, "userName", "ext.acme.example"},
		"superdomain": {`{"userName":"eve@example"}`, "userName", "example"},
		"same ending": {`{"userName":"eve@notacme.example"}`, "userName", "notacme.example"},
		"registered as a prefix": {
			`{"userName":"eve@acme.example.evil.example"}`, "userName", "acme.example.evil.example",
		},
		"inactive": {`{"userName":"eve@other.example","active":false}`, "userName", "other.example"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := func() *scim.Directory { d := strictly(); d.Domains = append(d.Domains, "acme.test"); return d }
			onEveryStore(t, d, func(t *testing.T, r *ruleRig) {
				r.do("POST", "/Users", c.user).refused(http.StatusBadRequest, "invalidValue", c.attribute, `"`+c.domain+`"`, " 2 registered domains")
				r.get("/Users").shows("/Resources", []any{})
				r.toldNothing()
				if r.store != nil {
					r.happened()
				}
			})
		})
	}
}

func TestA6AcceptsRegisteredDomainsInAnyForm(t *testing.T) {
	t.Parallel()
	d := func() *scim.Directory {
		d := strictly()
		d.Domains = []string{"ACME.example", "bücher.example", "xn--mller-kva.example"}
		return d
	}
	onEveryStore(t, d, func(t *testing.T, r *ruleRig) {
		for _, email := range []string{
			"a@acme.example", "b@Acme.EXAMPLE", "c@bücher.example", "d@BÜCHER.example", "e@xn--bcher-kva.example", "f@müller.example", "g@XN--MLLER-KVA.example",
		} {
			r.post("/Users", `{"userName":"`+email+`"}`)
			assert.True(t, r.told().EmailVerified, email)
		}
		r.do("POST", "/Users", `{"userName":"h@bucher.example"}`).is(http.StatusBadRequest)
	})
}

func TestA6OtherAddressesAndNamesAreNotChecked(t *testing.T) {
	t.Parallel()
	onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
		r.post("/Users", `{"userName":"ada","emails":[{"value":"ada@acme.example","primary":true},{"value":"ada@home.example","type":"home"}]}`)
		r.post("/Users", `{"userName":"CORP\\grace","emails":[{"value":"grace@acme.example"}]}`)
	})
}

func TestA6WithoutDomainsEverybodyIsRefused(t *testing.T) {
	t.Parallel()
	d := func() *scim.Directory { d := strictly(); d.Domains = nil; return d }
	onEveryStore(t, d, func(t *testing.T, r *ruleRig) {
		r.do("POST", "/Users", person("ada")).refused(http.StatusBadRequest, "invalidValue", "no registered domain", `"acme.example"`)
		r.get("/Users").shows("/Resources", []any{})
		r.toldNothing()
	})
}

func TestA6OnAChange(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func() *scim.Directory { return acme(scim.Policy{Email: scim.AllowEmailChange}) }, func(t *testing.T, r *ruleRig) {
		id := r.post("/Users", person("ada"))
		before := r.get("/Users/" + id)
		r.forget()
		r.patch("/Users/"+id, replaceOp(`emails[type eq "work"].value`, `"ada@other.example"`)).
			refused(http.StatusBadRequest, "invalidValue", "emails.value", `"other.example"`)
		r.patch("/Users/"+id, replaceOp("userName", `"victim@other.example"`)).
			refused(http.StatusBadRequest, "invalidValue", "userName", `"other.example"`)
		r.do("PUT", "/Users/"+id, `{"userName":"victim@other.example","emails":[{"value":"ada@acme.example"}]}`).
			refused(http.StatusBadRequest, "invalidValue", "userName", `"other.example"`)
		assert.Equal(t, before.body, r.get("/Users/"+id).body)
		r.toldNothing()
	})
}

func TestA6OnReactivation(t *testing.T) {
	t.Parallel()
	onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
		id := r.post("/Users", person("ada"))
		r.deactivate(id)
		r.forget()
		r.dir.Domains = []string{"other.example"}
		r.patch("/Users/"+id, replaceOp("active", "true")).refused(http.StatusBadRequest, "invalidValue", `"acme.example"`)
		r.do("PUT", "/Users/"+id, person("ada")).refused(http.StatusBadRequest, "invalidValue", `"acme.example"`)
		r.get("/Users/"+id).shows("/active", false)
		r.toldNothing()
		r.dir.Domains = []string{"acme.example"}
		r.reactivate(id)
		assert.True(t, r.told().Active)
	})
}

// Who left while outside the domains comes back only inside them.
func TestA6OnReactivationAfterARename(t *testing.T) {
	t.Parallel()
	onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
		id := r.post("/Users", person("ada"))
		r.patch("/Users/"+id, replaceOp("active", "false"), replaceOp("userName", `"victim@other.example"`)).is(http.StatusOK)
		r.patch("/Users/"+id, replaceOp("active", "true")).refused(http.StatusBadRequest, "invalidValue", "userName", `"other.example"`)
	})
}

func TestA6RemovingADomainDeprovisionsNobody(t *testing.T) {
	t.Parallel()
	onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
		id := r.post("/Users", person("ada"))
		r.dir.Domains = []string{"other.example"}
		a := r.account(id)
		assert.True(t, a.Active)
		assert.False(t, a.EmailVerified, "flagged")
		r.forget()
		r.set("/Users/"+id, "displayName", `"Ada"`) // what the rule is not about
		assert.True(t, r.told().Active)
		r.do("POST", "/Users", person("grace")).refused(http.StatusBadRequest, "invalidValue", `"acme.example"`)
		r.deactivate(id)
		assert.False(t, r.told().Active)
	})
}

func TestA6GuestIsStoredAndHeld(t *testing.T) {
	t.Parallel()
	for name, user := range map[string]string{
		"email":    `{"userName":"eve","active":true,"emails":[{"value":"eve@other.example"}]}`,
		"userName": `{"userName":"victim@other.example","active":true,"emails":[{"value":"eve@acme.example"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newManagedRig(t, scim.NoRoles{}, guests(), nil)
			created := r.do("POST", "/Users", user).is(http.StatusCreated).shows("/active", true)
			id := created.id()
			a := r.told()
			assert.False(t, a.Active, "no access")
			assert.Contains(t, a.Held, "domain")
			assert.Equal(t, scim.Created, a.Change)
			e := r.happened(scim.UserCreated, scim.UserHeld)
			assert.Equal(t, a.Held, e[1].Note)
			assert.False(t, r.account(id).Active)
			assert.True(t, r.account(id).User.User().Active(), "the directory says what the provider said")

			// The host invites.
			require.NoError(t, r.scim.Engine().Release(context.Background(), r.dir, id))
			a = r.told()
			assert.True(t, a.Active)
			assert.Empty(t, a.Held)
			r.happened(scim.UserReleased)
			r.set("/Users/"+id, "displayName", `"Eve"`)
			assert.True(t, r.told().Active, "the invitation stands")
			r.forget()
			require.NoError(t, r.scim.Engine().Release(context.Background(), r.dir, id))
			r.happened() // nothing is released twice
		})
	}
}

func TestA6GuestIsHeldWhileOutside(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, acme(scim.Policy{Domain: scim.GuestDomain, Email: scim.AllowEmailChange}), nil)
	id := r.post("/Users", person("ada"))
	assert.True(t, r.told().Active)
	r.happened(scim.UserCreated)

	r.set("/Users/"+id, `emails[type eq "work"].value`, `"ada@other.example"`)
	a := r.told()
	assert.False(t, a.Active)
	assert.NotEmpty(t, a.Held)
	r.happened(scim.UserUpdated, scim.UserHeld)

	r.set("/Users/"+id, `emails[type eq "work"].value`, `"ada@acme.example"`)
	a = r.told()
	assert.True(t, a.Active)
	assert.Empty(t, a.Held)
	r.happened(scim.UserUpdated, scim.UserReleased)

	// On reactivation.
	r.deactivate(id)
	r.dir.Domains = []string{"other.example"}
	r.forget()
	r.reactivate(id)
	a = r.told()
	assert.False(t, a.Active)
	assert.NotEmpty(t, a.Held)
	r.happened(scim.UserReactivated, scim.UserHeld)
}

// A hold for another reason is not lifted by moving out of the domains and
// back.
func TestA6GuestDoesNotLiftAnotherHold(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, guests(), resolving(func(*scim.Account) scim.Resolution { return scim.Hold("is a contractor") }))
	id := r.post("/Users", person("ada"))
	for _, name := range []string{"ada@other.example", "ada@acme.example", "ada"} {
		r.set("/Users/"+id, "userName", `"`+name+`"`)
		a := r.account(id)
		assert.False(t, a.Active, name)
		assert.Equal(t, "is a contractor", a.Held, name)
	}
	r.deactivate(id)
	r.reactivate(id)
	assert.Equal(t, "is a contractor", r.account(id).Held)
}

func TestA6GuestNeedsALedger(t *testing.T) {
	t.Parallel()
	r := newPlainRig(t, scim.NoRoles{}, guests(), nil)
	r.do("POST", "/Users", person("ada")).is(http.StatusInternalServerError)
	r.toldNothing()
}

func TestA6AnyDomain(t *testing.T) {
	t.Parallel()
	d := func() *scim.Directory {
		d := acme(scim.Policy{Domain: scim.AnyDomain, Email: scim.AllowEmailChange})
		d.Domains = nil
		return d
	}
	onEveryStore(t, d, func(t *testing.T, r *ruleRig) {
		id := r.post("/Users", `{"userName":"victim@other.example","emails":[{"value":"eve@elsewhere.example","type":"work"}]}`)
		a := r.told()
		assert.True(t, a.Active)
		assert.False(t, a.EmailVerified)
		r.set("/Users/"+id, `emails[type eq "work"].value`, `"eve@third.example"`)
		r.deactivate(id)
		r.reactivate(id)
	})
}

// Rule A3: domains are compared as IDNA reads them. A spelling that only IDNA
// reads as the domain would make two people of one email, whom no filter finds.
func TestA3DomainsAreSpelledOut(t *testing.T) {
	t.Parallel()
	d := func() *scim.Directory { d := strictly(); d.Domains = append(d.Domains, "bücher.example"); return d }
	onEveryStore(t, d, func(t *testing.T, r *ruleRig) {
		for _, domain := range []string{"acme\u3002example", "ac\u00adme.example", "acme\uff61example", "ac\u200bme.example"} {
			r.do("POST", "/Users", `{"userName":"eve","emails":[{"value":"eve@`+domain+`"}]}`).refused(http.StatusBadRequest, "invalidValue", "emails.value")
			r.do("POST", "/Users", `{"userName":"eve@`+domain+`","emails":[{"value":"eve@acme.example"}]}`).refused(http.StatusBadRequest, "invalidValue", "userName")
		}
		for i, domain := range []string{"ａcme.example", "BU\u0308CHER.example", "ACME.example"} {
			r.do("POST", "/Users", fmt.Sprintf(`{"userName":"u%d","emails":[{"value":"u%d@%s"}]}`, i, i, domain)).is(http.StatusCreated)
		}
		r.do("POST", "/Users", `{"userName":"again","emails":[{"value":"u1@xn--bcher-kva.example"}]}`).refused(http.StatusConflict, "uniqueness")
	})
}
