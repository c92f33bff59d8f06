package scim_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
)

func strictly() *scim.Directory { return acme(scim.Policy{}) }

// A1: what identifies a user.

func TestA1UserNameIsUniqueWithoutCase(t *testing.T) {
	t.Parallel()
	onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
		ada := r.post("/Users", `{"userName":"Ada","emails":[{"value":"ada@acme.example"}]}`)
		r.forget()
		r.do("POST", "/Users", `{"userName":"aDA","emails":[{"value":"other@acme.example"}]}`).refused(http.StatusConflict, "uniqueness", "userName")
		grace := r.post("/Users", person("grace"))
		r.patch("/Users/"+grace, replaceOp("userName", `"ADA"`)).refused(http.StatusConflict, "uniqueness", "userName")
		r.get("/Users/"+grace).shows("/userName", "grace")
		assert.Equal(t, []string{ada}, r.find("/Users", `userName eq "ADA"`), "what is refused as existing can be found")
		r.set("/Users/"+ada, "userName", `"ADA"`).shows("/userName", "ADA") // its own name is no other's
	})
}

func TestA1ExternalIDIsExact(t *testing.T) {
	t.Parallel()
	onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
		r.post("/Users", `{"userName":"ada@acme.example","externalId":"X1"}`)
		lower := r.post("/Users", `{"userName":"grace@acme.example","externalId":"x1"}`)
		r.do("POST", "/Users", `{"userName":"ken@acme.example","externalId":"x1"}`).refused(http.StatusConflict, "uniqueness", "externalId")
		assert.Equal(t, []string{lower}, r.find("/Users", `externalId eq "x1"`))
	})
}

func TestA1EmailIsAnAttributeAndNotTheKey(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, acme(scim.Policy{Email: scim.AllowEmailChange}), nil)
	ada := r.post("/Users", person("ada"))
	host := r.account(ada).HostID
	r.set("/Users/"+ada, `emails[type eq "work"].value`, `"ada.l@acme.example"`)
	a := r.account(ada)
	assert.Equal(t, ada, a.ID)
	assert.Equal(t, host, a.HostID, "the same account with another email")
	// The address that was given up is free.
	r.post("/Users", `{"userName":"ada2","emails":[{"value":"ada@acme.example"}]}`)
}

func TestA1ForeignAndUnknownIDsLookTheSame(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, strictly(), nil)
	for _, other := range []*scim.Directory{
		{Tenant: "acme", ID: "entra", Domains: []string{"acme.example"}},
		{Tenant: "globex", ID: "okta", Domains: []string{"acme.example"}},
	} {
		theirs := newRuleRig(t, r.store, scim.NoRoles{}, other, r.clock, nil)
		theirs.store = r.store
		foreign := theirs.post("/Users", person("ada"))
		group := theirs.post("/Groups", team("Staff", foreign))
		before := theirs.get("/Users/" + foreign)
		for _, request := range []struct{ method, path, body string }{
			{"GET", "/Users/", ""},
			{"PUT", "/Users/", person("ada")},
			{"PATCH", "/Users/", patchBody(replaceOp("active", "false"))},
			{"DELETE", "/Users/", ""},
			{"GET", "/Groups/", ""},
			{"PUT", "/Groups/", team("Staff")},
			{"PATCH", "/Groups/", patchBody(`{"op":"remove","path":"members"}`)},
			{"DELETE", "/Groups/", ""},
		} {
			id := foreign
			if request.path == "/Groups/" {
				id = group
			}
			known := r.do(request.method, request.path+id, request.body).is(http.StatusNotFound)
			unknown := r.do(request.method, request.path+"0198c5a2-0000-7000-8000-000000000000", request.body).is(http.StatusNotFound)
			assert.Equal(t, unknown.body, known.body, "%s %s", request.method, request.path)
		}
		after := theirs.get("/Users/" + foreign)
		assert.Equal(t, before.body, after.body)
		theirs.get("/Groups/"+group).shows("/members/0/value", foreign)
		assert.Empty(t, r.find("/Users", `userName eq "ada"`))
	}
	r.toldNothing()
}

// A2: which value is the email.

func TestA2WhichValueIsTheEmail(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		source scim.EmailSource
		user   string
		want   string
	}{
		"primary before work": {
			user: `{"userName":"ada","emails":[{"value":"w@acme.example","type":"work"},{"value":"p@acme.example","type":"home","primary":true}]}`,
			want: "p@acme.example",
		},
		"first work before first": {
			user: `{"userName":"ada","emails":[{"value":"h@acme.example","type":"home"},{"value":"w1@acme.example","type":"WORK"},{"value":"w2@acme.example","type":"work"}]}`,
			want: "w1@acme.example",
		},
		"first": {
			user: `{"userName":"ada","emails":[{"value":"h@acme.example","type":"home"},{"value":"o@acme.example","type":"other"}]}`,
			want: "h@acme.example",
		},
		"primary that is false is none": {
			user: `{"userName":"ada","emails":[{"value":"h@acme.example","type":"home","primary":false},{"value":"w@acme.example","type":"work","primary":false}]}`,
			want: "w@acme.example",
		},
		"emails before userName": {
			user: `{"userName":"ada@acme.example","emails":[{"value":"h@acme.example"}]}`,
			want: "h@acme.example",
		},
		"userName in the form of an email": {
			user: `{"userName":"ada@acme.example"}`,
			want: "ada@acme.example",
		},
		"userName first, if the host wants": {
			source: scim.UserNameThenEmails,
			user:   `{"userName":"ada@acme.example","emails":[{"value":"h@acme.example","primary":true}]}`,
			want:   "ada@acme.example",
		},
		"userName first, but it is no email": {
			source: scim.UserNameThenEmails,
			user:   `{"userName":"ada","emails":[{"value":"h@acme.example"}]}`,
			want:   "h@acme.example",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEveryStore(t, func() *scim.Directory { return acme(scim.Policy{EmailSource: c.source}) }, func(t *testing.T, r *ruleRig) {
				id := r.post("/Users", c.user)
				assert.Equal(t, c.want, r.told().Email)
				assert.Equal(t, c.want, r.account(id).Email)
			})
		})
	}
}

func TestA2NoEmailIsRefusedWithARemedy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dialect scim.Dialect
		says    string
		silent  string
	}{
		{scim.Auto, "emails", "Entra"},
		{scim.Okta, "emails", "Entra"},
		{scim.Entra, "map userPrincipalName", ""},
	} {
		t.Run(c.dialect.String(), func(t *testing.T) {
			t.Parallel()
			d := func() *scim.Directory { d := strictly(); d.Dialect = c.dialect; return d }
			onEveryStore(t, d, func(t *testing.T, r *ruleRig) {
				for _, body := range []string{
					`{"userName":"ada"}`,
					`{"userName":"ada","emails":[]}`,
					`{"userName":"ada","emails":[{"type":"work"}]}`,
				} {
					a := r.do("POST", "/Users", body)
					a.refused(http.StatusBadRequest, "invalidValue", c.says)
					if c.silent != "" {
						assert.NotContains(t, a.at("/detail"), c.silent)
					}
				}
				r.do("POST", "/Users", `{"userName":"ada","emails":[{"value":"not an address"}]}`).refused(http.StatusBadRequest, "invalidValue", "emails.value", "form of an email")
				assert.Empty(t, r.find("/Users", `userName eq "ada"`), "nothing is stored")
				r.toldNothing()
			})
		})
	}
}

// A3: case, tags and dots.

func TestA3StoredAsSent(t *testing.T) {
	t.Parallel()
	onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
		id := r.post("/Users", `{"userName":"ada","emails":[{"value":"Ada.L+scim@ACME.Example","primary":true}]}`)
		r.get("/Users/"+id).shows("/emails/0/value", "Ada.L+scim@ACME.Example")
		assert.Equal(t, "Ada.L+scim@ACME.Example", r.told().Email)
	})
}

func TestA3ChangeOfCaseAloneIsNoChangeOfEmail(t *testing.T) {
	t.Parallel()
	onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
		id := r.post("/Users", person("ada"))
		r.forget()
		r.set("/Users/"+id, `emails[type eq "work"].value`, `"Ada@ACME.example"`).shows("/emails/0/value", "Ada@ACME.example")
		r.get("/Users/"+id).shows("/emails/0/value", "Ada@ACME.example")
		if r.store != nil {
			assert.Equal(t, "ada@acme.example", r.told().Email, "for the account nothing has changed")
			assert.Empty(t, r.state(id).RefusedEmail)
			r.happened(scim.UserUpdated)
		}
	})
	onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
		id := r.post("/Users", `{"userName":"ada@acme.example"}`)
		r.set("/Users/"+id, "userName", `"ADA@acme.example"`).shows("/userName", "ADA@acme.example")
	})
}

func TestA3DomainsAreComparedInASCIIForm(t *testing.T) {
	t.Parallel()
	d := func() *scim.Directory { d := strictly(); d.Domains = []string{"bücher.example"}; return d }
	onEveryStore(t, d, func(t *testing.T, r *ruleRig) {
		id := r.post("/Users", `{"userName":"ada","emails":[{"value":"ada@xn--bcher-kva.example","type":"work"}]}`)
		assert.True(t, r.told().EmailVerified)
		r.set("/Users/"+id, `emails[type eq "work"].value`, `"ada@BÜCHER.example"`).shows("/emails/0/value", "ada@BÜCHER.example")
		r.patch("/Users/"+id, replaceOp(`emails[type eq "work"].value`, `"ada@bucher.example"`)).refused(http.StatusBadRequest, "mutability")
	})
}

func TestA3TagsAndDotsAreKept(t *testing.T) {
	t.Parallel()
	onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
		id := r.post("/Users", person("ada.l"))
		for _, other := range []string{"adal@acme.example", "ada.l+x@acme.example"} {
			r.patch("/Users/"+id, replaceOp(`emails[type eq "work"].value`, `"`+other+`"`)).refused(http.StatusBadRequest, "mutability")
		}
		r.post("/Users", person("adal")) // another person
	})
}

// A4: the immutable email.

// twoAddresses is a user whose email is the work address, without being its
// userName.
const twoAddresses = `{"userName":"ada","displayName":"Ada","active":true,"emails":[
	{"value":"ada@acme.example","type":"work","primary":true},{"value":"ada.home@acme.example","type":"home"}]}`

// emailChanges are the ways in which the email of twoAddresses can become
// another one, and which.
var emailChanges = map[string]struct{ method, body, email string }{
	"by the value": {"PATCH", patchBody(replaceOp(`emails[type eq "work"].value`, `"new@acme.example"`)), "new@acme.example"},
	"by emails": {
		"PATCH", patchBody(replaceOp("emails", `[{"value":"new@acme.example","type":"work","primary":true}]`)),
		"new@acme.example",
	},
	"by emails without path": {
		"PATCH", patchBody(`{"op":"replace","value":{"displayName":"Countess","emails":[{"value":"new@acme.example"}]}}`),
		"new@acme.example",
	},
	"by PUT": {
		"PUT", `{"userName":"ada","displayName":"Countess","active":true,"emails":[{"value":"new@acme.example","type":"work","primary":true}]}`,
		"new@acme.example",
	},
	"by a switch of primary": {"PATCH", patchBody(replaceOp(`emails[type eq "home"].primary`, "true")), "ada.home@acme.example"},
	"by a new primary": {
		"PATCH", patchBody(`{"op":"add","path":"emails","value":[{"value":"new@acme.example","type":"other","primary":true}]}`),
		"new@acme.example",
	},
	"by removal": {"PATCH", patchBody(`{"op":"remove","path":"emails[type eq \"work\"]"}`), "ada.home@acme.example"},
	"with other changes": {
		"PATCH", patchBody(replaceOp("displayName", `"Countess"`), replaceOp(`emails[type eq "work"].value`, `"new@acme.example"`)),
		"new@acme.example",
	},
	"by PUT to the userName": {"PUT", `{"userName":"new@acme.example","active":true}`, "new@acme.example"},
}

func TestA4RejectsAChangeOfEmail(t *testing.T) {
	t.Parallel()
	for name, c := range emailChanges {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
				id := r.post("/Users", twoAddresses)
				before := r.get("/Users/" + id)
				r.forget()
				attribute := "emails.value"
				if name == "by PUT to the userName" {
					attribute = "userName"
				}
				r.do(c.method, "/Users/"+id, c.body).refused(http.StatusBadRequest, "mutability", attribute, "immutable", "approve")
				after := r.get("/Users/" + id)
				assert.Equal(t, before.body, after.body, "nothing of the request is stored")
				r.toldNothing()
				if r.store != nil {
					assert.Equal(t, "ada@acme.example", r.account(id).Email)
					e := r.happened(scim.UserEmailChangeRejected)[0]
					assert.Equal(t, c.email, e.Note)
					assert.Equal(t, id, e.Subject().ID)
					assert.Equal(t, "test", e.Actor)
				}
			})
		})
	}
}

func TestA4RejectsTheRemovalOfTheOnlyEmail(t *testing.T) {
	t.Parallel()
	onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
		id := r.post("/Users", person("ada"))
		r.forget()
		for _, body := range []string{`{"op":"remove","path":"emails"}`, replaceOp("emails", "[]"), `{"op":"remove","path":"emails[type eq \"work\"].value"}`} {
			r.patch("/Users/"+id, body).refused(http.StatusBadRequest, "mutability", "emails.value", "immutable")
		}
		r.do("PUT", "/Users/"+id, `{"userName":"ada"}`).refused(http.StatusBadRequest, "mutability", "emails.value")
		r.get("/Users/"+id).shows("/emails/0/value", "ada@acme.example")
		r.toldNothing()
	})
}

func TestA4RejectsAChangeOfEmailByUserName(t *testing.T) {
	t.Parallel()
	onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
		id := r.post("/Users", `{"userName":"ada@acme.example","active":true}`)
		r.forget()
		r.patch("/Users/"+id, replaceOp("userName", `"new@acme.example"`)).refused(http.StatusBadRequest, "mutability", "userName", "immutable")
		r.get("/Users/"+id).shows("/userName", "ada@acme.example")
		// An address beside it becomes the email too (rule A2).
		r.patch("/Users/"+id, `{"op":"add","path":"emails","value":[{"value":"new@acme.example","type":"work"}]}`).
			refused(http.StatusBadRequest, "mutability", "emails.value")
		// One that says the same does not change it.
		r.patch("/Users/"+id, `{"op":"add","path":"emails","value":[{"value":"ada@acme.example","type":"work"}]}`).is(http.StatusOK)
		// And now the userName is not the email.
		r.set("/Users/"+id, "userName", `"new@acme.example"`)
	})
}

func TestA4AUserNameThatIsNotTheEmailMayChange(t *testing.T) {
	t.Parallel()
	onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
		id := r.post("/Users", person("ada"))
		for _, name := range []string{"ada.lovelace", "lovelace@acme.example", "ada"} {
			r.forget()
			r.set("/Users/"+id, "userName", `"`+name+`"`).shows("/userName", name)
			a := r.told()
			assert.Equal(t, "ada@acme.example", a.Email)
			assert.Equal(t, name, a.Profile.PreferredUserName)
			if r.store != nil {
				r.happened(scim.UserUpdated)
			}
		}
	})
}

func TestA4WhereTheUserNameIsTheEmailEmailsMayChange(t *testing.T) {
	t.Parallel()
	d := func() *scim.Directory { return acme(scim.Policy{EmailSource: scim.UserNameThenEmails}) }
	onEveryStore(t, d, func(t *testing.T, r *ruleRig) {
		id := r.post("/Users", `{"userName":"ada@acme.example","emails":[{"value":"a@acme.example","type":"work","primary":true}]}`)
		r.set("/Users/"+id, `emails[type eq "work"].value`, `"b@acme.example"`).shows("/emails/0/value", "b@acme.example")
		r.patch("/Users/"+id, replaceOp("userName", `"new@acme.example"`)).refused(http.StatusBadRequest, "mutability", "userName")
		assert.Equal(t, "ada@acme.example", r.account(id).Email)
	})
}

func TestA4OtherAddressesMayChange(t *testing.T) {
	t.Parallel()
	onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
		id := r.post("/Users", twoAddresses)
		r.set("/Users/"+id, `emails[type eq "home"].value`, `"elsewhere@home.example"`)
		r.patch("/Users/"+id, `{"op":"remove","path":"emails[type eq \"home\"]"}`).is(http.StatusOK)
		assert.Equal(t, "ada@acme.example", r.account(id).Email)
	})
}

func TestA4IsRecordedOncePerDistinctValue(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, strictly(), nil)
	id := r.post("/Users", person("ada"))
	r.forget()
	send := func(email string) {
		t.Helper()
		r.patch("/Users/"+id, replaceOp(`emails[type eq "work"].value`, `"`+email+`"`)).refused(http.StatusBadRequest, "mutability")
		line := r.logged()
		assert.Equal(t, http.StatusBadRequest, line.Status)
		assert.Equal(t, scim.Mutability, line.Type)
	}
	send("new@acme.example")
	assert.Equal(t, "new@acme.example", r.happened(scim.UserEmailChangeRejected)[0].Note)
	assert.Equal(t, []scim.EventType{scim.UserEmailChangeRejected}, r.logged().Changed)
	send("new@acme.example") // as providers do every forty minutes
	send("NEW@acme.example")
	r.happened()
	assert.Equal(t, "new@acme.example", r.state(id).RefusedEmail, "shown until it is decided")
	r.set("/Users/"+id, "displayName", `"Ada"`)
	r.happened(scim.UserUpdated)
	send("new@acme.example")
	r.happened()
	send("newer@acme.example")
	assert.Equal(t, "newer@acme.example", r.happened(scim.UserEmailChangeRejected)[0].Note)
}

func TestA4AnApprovedChangeHappensWhenItComesAgain(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, strictly(), nil)
	ctx, engine := context.Background(), r.scim.Engine()
	id := r.post("/Users", person("ada"))
	var refused *scim.Error
	require.ErrorAs(t, engine.ApproveEmail(ctx, r.dir, id), &refused, "nothing waits")
	assert.Equal(t, http.StatusConflict, refused.Status)
	require.ErrorIs(t, engine.ApproveEmail(ctx, r.dir, "nobody"), scim.ErrNotFound)

	change := func(email string) *reply {
		return r.patch("/Users/"+id, replaceOp(`emails[type eq "work"].value`, `"`+email+`"`))
	}
	change("new@acme.example").is(http.StatusBadRequest)
	require.NoError(t, engine.ApproveEmail(ctx, r.dir, id))
	assert.Equal(t, "ada@acme.example", r.account(id).Email, "the directory still says so")
	assert.Empty(t, r.state(id).RefusedEmail)
	r.forget()
	change("other@acme.example").refused(http.StatusBadRequest, "mutability") // this one was not approved
	r.happened(scim.UserEmailChangeRejected)
	change("new@acme.example").is(http.StatusOK)
	a := r.told()
	assert.Equal(t, "new@acme.example", a.Email)
	assert.True(t, a.EmailVerified)
	assert.Equal(t, scim.Updated, a.Change)
	r.happened(scim.UserUpdated)
	change("ada@acme.example").refused(http.StatusBadRequest, "mutability") // an approval is for one change
}

func TestA4AnApprovedChangeIsStillSubjectToTheOtherRules(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, strictly(), nil)
	id := r.post("/Users", person("ada"))
	change := func(email string) *reply {
		return r.patch("/Users/"+id, replaceOp(`emails[type eq "work"].value`, `"`+email+`"`))
	}
	change("ada@other.example").is(http.StatusBadRequest)
	require.NoError(t, r.scim.Engine().ApproveEmail(context.Background(), r.dir, id))
	change("ada@other.example").refused(http.StatusBadRequest, "invalidValue", "other.example")

	change("grace@acme.example").is(http.StatusBadRequest)
	require.NoError(t, r.scim.Engine().ApproveEmail(context.Background(), r.dir, id))
	r.post("/Users", person("grace"))
	change("grace@acme.example").refused(http.StatusConflict, "uniqueness", "emails.value")
}

func TestA4KeepTakesTheChangeAndTheAccountKeepsItsEmail(t *testing.T) {
	t.Parallel()
	for name, c := range emailChanges {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newManagedRig(t, scim.NoRoles{}, acme(scim.Policy{Email: scim.KeepEmail}), nil)
			id := r.post("/Users", twoAddresses)
			r.forget()
			r.do(c.method, "/Users/"+id, c.body).is(http.StatusOK)
			r.happened(scim.UserUpdated)
			told := r.told()
			assert.Equal(t, "ada@acme.example", told.Email)
			assert.True(t, told.Active)
			assert.Equal(t, "ada@acme.example", r.account(id).Email)
			assert.Equal(t, c.email, r.state(id).RefusedEmail, "the drift is shown")

			require.NoError(t, r.scim.Engine().ApproveEmail(context.Background(), r.dir, id))
			assert.Equal(t, c.email, r.told().Email, "the directory has it already: at once")
			assert.Equal(t, c.email, r.account(id).Email)
			assert.Empty(t, r.state(id).RefusedEmail)
		})
	}
}

func TestA4KeepADriftThatIsTakenBackIsNone(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, acme(scim.Policy{Email: scim.KeepEmail}), nil)
	id := r.post("/Users", person("ada"))
	r.set("/Users/"+id, `emails[type eq "work"].value`, `"new@acme.example"`)
	r.set("/Users/"+id, "displayName", `"Ada"`)
	assert.Equal(t, "new@acme.example", r.state(id).RefusedEmail, "it stays until it is decided")
	r.set("/Users/"+id, `emails[type eq "work"].value`, `"Ada@acme.example"`)
	assert.Equal(t, "ada@acme.example", r.account(id).Email)
	assert.Empty(t, r.state(id).RefusedEmail)
	require.Error(t, r.scim.Engine().ApproveEmail(context.Background(), r.dir, id))
}

func TestA4KeepNeedsAnEmailAllTheSame(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, acme(scim.Policy{Email: scim.KeepEmail}), nil)
	id := r.post("/Users", person("ada"))
	r.forget()
	r.patch("/Users/"+id, `{"op":"remove","path":"emails"}`).refused(http.StatusBadRequest, "invalidValue", "emails") // rule A2
	r.toldNothing()
	r.happened()
}

func TestA4KeepNeedsALedger(t *testing.T) {
	t.Parallel()
	r := newPlainRig(t, scim.NoRoles{}, acme(scim.Policy{Email: scim.KeepEmail}), nil)
	r.do("POST", "/Users", person("ada")).is(http.StatusInternalServerError)
	r.toldNothing()
}

func TestA4WithinDomains(t *testing.T) {
	t.Parallel()
	d := func() *scim.Directory {
		d := acme(scim.Policy{Email: scim.EmailWithinDomains, Domain: scim.AnyDomain})
		d.Domains = append(d.Domains, "acme.test")
		return d
	}
	onEveryStore(t, d, func(t *testing.T, r *ruleRig) {
		id := r.post("/Users", person("ada"))
		r.forget()
		change := func(email string) *reply {
			return r.patch("/Users/"+id, replaceOp(`emails[type eq "work"].value`, `"`+email+`"`))
		}
		change("ada@ACME.test").is(http.StatusOK)
		assert.Equal(t, "ada@ACME.test", r.told().Email)
		for _, outside := range []string{"ada@other.example", "ada@sub.acme.example"} {
			change(outside).refused(http.StatusBadRequest, "mutability", "emails.value", "registered domain")
		}
		r.toldNothing()
		assert.Equal(t, "ada@ACME.test", r.account(id).Email)
		if r.store != nil {
			r.happened(scim.UserUpdated, scim.UserEmailChangeRejected, scim.UserEmailChangeRejected)
		}
	})
}

func TestA4Allow(t *testing.T) {
	t.Parallel()
	for name, c := range emailChanges {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEveryStore(t, func() *scim.Directory { return acme(scim.Policy{Email: scim.AllowEmailChange}) }, func(t *testing.T, r *ruleRig) {
				id := r.post("/Users", twoAddresses)
				r.forget()
				r.do(c.method, "/Users/"+id, c.body).is(http.StatusOK)
				assert.Equal(t, c.email, r.told().Email)
				assert.Equal(t, c.email, r.account(id).Email)
				if r.store != nil {
					r.happened(scim.UserUpdated)
				}
			})
		})
	}
}

func TestA4AllowChecksDomainAndUniqueness(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func() *scim.Directory { return acme(scim.Policy{Email: scim.AllowEmailChange}) }, func(t *testing.T, r *ruleRig) {
		id := r.post("/Users", person("ada"))
		r.post("/Users", person("grace"))
		r.forget()
		change := func(email string) *reply {
			return r.patch("/Users/"+id, replaceOp(`emails[type eq "work"].value`, `"`+email+`"`))
		}
		change("ada@other.example").refused(http.StatusBadRequest, "invalidValue", "other.example")
		change("GRACE@acme.example").refused(http.StatusConflict, "uniqueness", "emails.value")
		r.patch("/Users/"+id, `{"op":"remove","path":"emails"}`).refused(http.StatusBadRequest, "invalidValue", "emails")
		r.toldNothing()
		assert.Equal(t, "ada@acme.example", r.account(id).Email)
	})
}

// leavers are the requests that rename and deactivate twoAddresses in one.
var leavers = map[string]struct{ method, body string }{
	"PATCH, rename first": {"PATCH", patchBody(replaceOp(`emails[type eq "work"].value`, `"gone@acme.example"`), replaceOp("active", `"False"`))},
	"PATCH, rename last":  {"PATCH", patchBody(replaceOp("active", "false"), replaceOp(`emails[type eq "work"].value`, `"gone@acme.example"`))},
	"PATCH without path":  {"PATCH", patchBody(`{"op":"replace","value":{"active":false,"emails":[{"value":"gone@acme.example","type":"work"}]}}`)},
	"PUT":                 {"PUT", `{"userName":"ada","active":false,"emails":[{"value":"gone@acme.example","type":"work","primary":true}]}`},
}

func TestA4ALeaverAlwaysLeaves(t *testing.T) {
	t.Parallel()
	for name, c := range leavers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for policy, d := range map[string]func() *scim.Directory{
				"reject":  strictly,
				"domains": func() *scim.Directory { return acme(scim.Policy{Email: scim.EmailWithinDomains}) },
				"allow":   func() *scim.Directory { return acme(scim.Policy{Email: scim.AllowEmailChange}) },
			} {
				t.Run(policy, func(t *testing.T) {
					t.Parallel()
					onEveryStore(t, d, func(t *testing.T, r *ruleRig) {
						id := r.post("/Users", twoAddresses)
						r.forget()
						a := r.do(c.method, "/Users/"+id, c.body).is(http.StatusOK)
						a.shows("/active", false).shows("/emails/0/value", "gone@acme.example")
						told := r.told()
						assert.False(t, told.Active)
						assert.Equal(t, "ada@acme.example", told.Email)
						assert.Equal(t, scim.Deactivated, told.Change)
						if r.store == nil {
							return
						}
						assert.Equal(t, "gone@acme.example", r.state(id).RefusedEmail)
						r.happened(scim.UserDeactivated)
						// Okta says both again in every PUT.
						r.do(c.method, "/Users/"+id, c.body).is(http.StatusOK)
						r.toldNothing()
						r.happened()
					})
				})
			}
		})
	}
}

func TestA4ALeaverLeavesWhateverTheNewEmailIs(t *testing.T) {
	t.Parallel()
	for name, op := range map[string]string{
		"outside the domains": replaceOp(`emails[type eq "work"].value`, `"ada@other.example"`),
		"no email":            `{"op":"remove","path":"emails"}`,
		"no address":          replaceOp(`emails[type eq "work"].value`, `"gone"`),
		"somebody else's":     replaceOp(`emails[type eq "work"].value`, `"grace@acme.example"`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
				r.post("/Users", person("grace"))
				id := r.post("/Users", person("ada"))
				r.forget()
				r.patch("/Users/"+id, op, replaceOp("active", "false")).is(http.StatusOK).shows("/active", false)
				told := r.told()
				assert.False(t, told.Active)
				assert.Equal(t, "ada@acme.example", told.Email)
			})
		})
	}
}

func TestA4AReactivationKeepsTheEmailUntilTheChangeIsApproved(t *testing.T) {
	t.Parallel()
	for name, c := range leavers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newManagedRig(t, scim.NoRoles{}, strictly(), nil)
			id := r.post("/Users", twoAddresses)
			r.do(c.method, "/Users/"+id, c.body).is(http.StatusOK)
			r.forget()
			r.set("/Users/"+id, "active", "true").shows("/emails/0/value", "gone@acme.example")
			a := r.told()
			assert.True(t, a.Active)
			assert.Equal(t, "ada@acme.example", a.Email)
			r.set("/Users/"+id, "displayName", `"Countess"`)
			assert.Equal(t, "ada@acme.example", r.told().Email)
			assert.Equal(t, "gone@acme.example", r.state(id).RefusedEmail)

			require.NoError(t, r.scim.Engine().ApproveEmail(context.Background(), r.dir, id))
			a = r.told()
			assert.Equal(t, "gone@acme.example", a.Email)
			assert.True(t, a.Active)
			assert.Equal(t, "gone@acme.example", r.account(id).Email)
			require.Error(t, r.scim.Engine().ApproveEmail(context.Background(), r.dir, id), "it is approved")
		})
	}
}

func TestA4AReactivationWithAnotherEmailIsAChange(t *testing.T) {
	t.Parallel()
	onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
		id := r.post("/Users", person("ada"))
		r.deactivate(id)
		r.forget()
		r.patch("/Users/"+id, replaceOp("active", "true"), replaceOp(`emails[type eq "work"].value`, `"new@acme.example"`)).
			refused(http.StatusBadRequest, "mutability", "emails.value")
		r.get("/Users/"+id).shows("/active", false)
		r.toldNothing()
	})
}

// What the policy allows was held back only as long as the person was out.
func TestA4AReactivationTakesTheEmailThatThePolicyAllows(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]scim.EmailPolicy{"allow": scim.AllowEmailChange, "domains": scim.EmailWithinDomains} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newManagedRig(t, scim.NoRoles{}, acme(scim.Policy{Email: policy}), nil)
			id := r.post("/Users", twoAddresses)
			r.do("PUT", "/Users/"+id, leavers["PUT"].body).is(http.StatusOK)
			r.forget()
			r.reactivate(id)
			a := r.told()
			assert.Equal(t, "gone@acme.example", a.Email)
			assert.Empty(t, r.state(id).RefusedEmail)

			r.patch("/Users/"+id, replaceOp("active", "false"), replaceOp(`emails[type eq "work"].value`, `"grace@acme.example"`)).is(http.StatusOK)
			r.post("/Users", `{"userName":"grace","emails":[{"value":"g@acme.example"},{"value":"grace@acme.example"}]}`)
			r.reactivate(id) // a second address is nobody's email
			r.patch("/Users/"+id, replaceOp("active", "false"), replaceOp(`emails[type eq "work"].value`, `"ken@acme.example"`)).is(http.StatusOK)
			assert.Equal(t, "grace@acme.example", r.account(id).Email)
			r.do("POST", "/Users", person("ken")).refused(http.StatusConflict, "uniqueness") // rule A7: a filter finds it
		})
	}
}

// The email that somebody else has by now cannot become the account's.
func TestA4AHeldBackEmailThatIsTakenIsNotGivenTwice(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, strictly(), nil)
	r.post("/Users", person("grace"))
	id := r.post("/Users", person("ada"))
	r.patch("/Users/"+id, replaceOp("active", "false"), replaceOp(`emails[type eq "work"].value`, `"grace@acme.example"`)).is(http.StatusOK)
	require.ErrorIs(t, r.scim.Engine().ApproveEmail(context.Background(), r.dir, id), scim.ErrUniqueness)
	assert.Equal(t, "ada@acme.example", r.account(id).Email)

	r.dir.Policy.Email = scim.AllowEmailChange
	r.patch("/Users/"+id, replaceOp("active", "true")).refused(http.StatusConflict, "uniqueness", "emails.value")
	assert.False(t, r.account(id).Active)
}

func TestA4ALeaverMayTakeTheRenameBack(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, strictly(), nil)
	id := r.post("/Users", twoAddresses)
	r.do("PUT", "/Users/"+id, leavers["PUT"].body).is(http.StatusOK)
	r.reactivate(id)
	r.forget()
	// It is what the refusal advises: change it back in the provider.
	r.set("/Users/"+id, `emails[type eq "work"].value`, `"ada@acme.example"`)
	assert.Equal(t, "ada@acme.example", r.told().Email)
	assert.Empty(t, r.state(id).RefusedEmail)
	r.happened(scim.UserUpdated)
}

// A5: an email counts as verified if and only if its domain is.

func TestA5VerifiedIfAndOnlyIfTheDomainIs(t *testing.T) {
	t.Parallel()
	d := func() *scim.Directory { return acme(scim.Policy{Domain: scim.AnyDomain}) }
	onEveryStore(t, d, func(t *testing.T, r *ruleRig) {
		for email, verified := range map[string]bool{
			"a@acme.example": true, "b@ACME.example": true, "c@ext.acme.example": false, "d@other.example": false, "e@acme.example.evil.example": false,
		} {
			id := r.post("/Users", `{"userName":"`+email+`"}`)
			assert.Equal(t, verified, r.told().EmailVerified, email)
			assert.Equal(t, verified, r.account(id).EmailVerified, email)
		}
	})
}

func TestA5FollowsTheDomains(t *testing.T) {
	t.Parallel()
	onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
		id := r.post("/Users", person("ada"))
		r.dir.Domains = nil
		assert.False(t, r.account(id).EmailVerified)
		r.dir.Domains = []string{"other.example", "ACME.example"}
		assert.True(t, r.account(id).EmailVerified)
	})
}

// A held-back email does not count: what matters is the account's.
func TestA5IsAboutTheAccountsEmail(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, acme(scim.Policy{Email: scim.KeepEmail, Domain: scim.AnyDomain}), nil)
	id := r.post("/Users", `{"userName":"ada@other.example"}`)
	r.set("/Users/"+id, "userName", `"ada@acme.example"`)
	assert.Equal(t, "ada@other.example", r.account(id).Email)
	assert.False(t, r.account(id).EmailVerified)
}

// Two people never have one email: not even where the account of one has kept
// what the directory has given to the other.
func TestA4AKeptEmailIsNobodyElses(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, acme(scim.Policy{Email: scim.KeepEmail}), nil)
	ada := r.post("/Users", person("ada"))
	r.set("/Users/"+ada, "userName", `"countess@acme.example"`)
	r.set("/Users/"+ada, `emails[type eq "work"].value`, `"countess@acme.example"`)
	require.Equal(t, "ada@acme.example", r.account(ada).Email)

	other := r.post("/Users", strings.Replace(person("ada"), "ext-ada", "ext-other", 1))
	assert.False(t, r.account(other).Active, "held, because the account of the first still has the email")
	assert.Contains(t, r.account(other).Held, "still has this email")
	assert.True(t, r.account(ada).Active)

	require.NoError(t, r.scim.Engine().ApproveEmail(context.Background(), r.dir, ada))
	require.NoError(t, r.scim.Engine().Release(context.Background(), r.dir, other))
	assert.Equal(t, "countess@acme.example", r.account(ada).Email)
	assert.Equal(t, "ada@acme.example", r.account(other).Email)
	assert.True(t, r.account(other).Active)

	grace := r.post("/Users", person("grace"))
	r.set("/Users/"+ada, `emails[type eq "work"].value`, `"queen@acme.example"`) // countess is kept
	r.dir.Policy.Email = scim.AllowEmailChange
	r.set("/Users/"+grace, `emails[type eq "work"].value`, `"countess@acme.example"`)
	assert.Equal(t, "grace@acme.example", r.account(grace).Email, "not while another account has it")
	assert.Equal(t, "countess@acme.example", r.state(grace).RefusedEmail)

	r.do("DELETE", "/Users/"+ada, "").is(http.StatusNoContent)
	require.NoError(t, r.scim.Engine().ApproveEmail(context.Background(), r.dir, grace))
	assert.Equal(t, "countess@acme.example", r.account(grace).Email)
}
