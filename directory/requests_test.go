package directory_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
	"github.com/muster-id/scim/roles"
)

// Rule D8: the log of a directory comes with a hint for each line that needs
// one, the newest line first, and never with another directory's lines.
func TestD8RequestsHaveHints(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	key, secret := k.create(directory.Directory{Name: "Entra", Provider: scim.Entra})
	other, otherSecret := k.create(directory.Directory{Name: "Okta", Provider: scim.Okta, Policy: anyDomain()})
	require.Equal(t, http.StatusBadRequest, k.post(secret, "ada@acme.example"), "no domain is registered")
	require.Equal(t, http.StatusOK, k.get(secret))
	require.Equal(t, http.StatusCreated, k.post(otherSecret, "ada@acme.example"))

	log, err := k.Requests(t.Context(), key, 10)
	require.NoError(t, err)
	require.Len(t, log, 2)
	require.Equal(t, http.MethodGet, log[0].Method)
	require.Empty(t, log[0].Hint)
	require.Equal(t, scim.ReasonNoDomains, log[1].Reason)
	require.Equal(t, directory.Hint(&log[1].LogEntry, scim.Entra), log[1].Hint)
	require.Contains(t, log[1].Hint, "Provision on demand", "in the provider's own words")

	log, err = k.Requests(t.Context(), key, 1)
	require.NoError(t, err)
	require.Len(t, log, 1)
	for _, limit := range []int{0, -1} {
		log, err = k.Requests(t.Context(), key, limit)
		require.NoError(t, err)
		require.Empty(t, log)
	}
	log, err = k.Requests(t.Context(), other, 1<<30)
	require.NoError(t, err)
	require.Len(t, log, 1)
	for _, nowhere := range []scim.Key{{}, {Tenant: "acme", Directory: "none"}, {Tenant: "umbrella", Directory: key.Directory}} {
		_, err = k.Requests(t.Context(), nowhere, 1)
		require.ErrorIs(t, err, scim.ErrNotFound)
	}
}

// explain asks why somebody is not in the application.
func (k *console) explain(key scim.Key, who string) *directory.Explanation {
	k.t.Helper()
	x, err := k.Explain(k.t.Context(), key, who)
	require.NoError(k.t, err)
	questions := []directory.Question{
		directory.AskRequest, directory.AskEmail, directory.AskDomain, directory.AskToken, directory.AskSeat, directory.AskHold, directory.AskSwitch, directory.AskRole,
	}
	at, caused := -1, x.Cause == ""
	for _, a := range x.Answers {
		i := indexOf(questions, a.Question)
		require.Greater(k.t, i, at, "the questions are answered in their order, each once")
		at = i
		require.NotEmpty(k.t, a.Text, a.Question)
		require.NotContains(k.t, a.Text, "{", a.Question)
		require.True(k.t, strings.HasSuffix(a.Text, "."), a.Text)
		if a.Question == x.Cause {
			require.False(k.t, a.OK, a.Text)
			require.Equal(k.t, a.Text, x.Text())
			caused = true
		}
	}
	require.True(k.t, caused, "the cause is one of the answers")
	require.LessOrEqual(k.t, len(x.Requests), 5)
	return x
}

func indexOf(all []directory.Question, q directory.Question) int {
	for i := range all {
		if all[i] == q {
			return i
		}
	}
	return -1
}

// send sends a request that must be answered with that status, and returns the
// id of the resource that was created.
func (k *console) send(secret, method, path, body string, status int) (id string) {
	k.t.Helper()
	r := httptest.NewRequestWithContext(k.t.Context(), method, "/scim/v2"+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+secret)
	w := httptest.NewRecorder()
	k.http.ServeHTTP(w, r)
	require.Equal(k.t, status, w.Code, w.Body.String())
	location := w.Header().Get("Location")
	return location[strings.LastIndexByte(location, '/')+1:]
}

func sentUser(email string) string {
	return `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"` + email + `","externalId":"ext-` + email + `","emails":[{"value":"` + email + `","primary":true}]}`
}

// verified makes a domain the tenant's.
func (k *console) verified(tenant, domain string) {
	k.t.Helper()
	_, err := k.AssertDomain(k.t.Context(), tenant, domain)
	require.NoError(k.t, err)
}

// account changes what is kept of a user's account.
func (k *console) account(key scim.Key, user string, change func(a *scim.AccountState)) {
	k.t.Helper()
	require.NoError(k.t, k.store.Do(k.t.Context(), key.Tenant, func(ctx context.Context, tx scim.Tx) error {
		states, err := tx.UserStates(ctx, key, []string{user})
		if err != nil {
			return err
		}
		next := *states[0].Account
		change(&next)
		return tx.PutAccount(ctx, &next)
	}))
}

// mapped gives a directory a mapping of groups to roles.
func (k *console) mapped(key scim.Key, m roles.Mapping) {
	k.t.Helper()
	data, err := jsonOf(map[string]any{"mapping": m})
	require.NoError(k.t, err)
	require.NoError(k.t, k.store.Do(k.t.Context(), key.Tenant, func(ctx context.Context, tx scim.Tx) error {
		_, err := k.store.PutRecord(ctx, &directory.Record{RecordKey: directory.RecordKey{Tenant: key.Tenant, Kind: directory.KindMapping, ID: key.Directory}, Data: data})
		if err != nil {
			return err
		}
		tally, err := tx.Tally(ctx)
		if err != nil {
			return err
		}
		next := *tally
		next.Revision++
		return tx.PutTally(ctx, &next)
	}))
	k.clock.pass(10 * time.Second)
}

// Rule D8, of somebody whom the directory does not have: what stands between
// them and the application, the first thing first.
func TestD8WhySomebodyIsNotThere(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	made, err := k.Create(t.Context(), directory.Directory{Tenant: "acme", Name: "Okta", Provider: scim.Okta})
	require.NoError(t, err)
	key := made.Key()

	x := k.explain(key, "ada@acme.example")
	require.Equal(t, directory.AskToken, x.Cause, "no token was ever made")
	require.Contains(t, x.Text(), "Provisioning > Integration")
	require.Empty(t, x.User)
	require.False(t, x.Access)

	secret, token, err := k.IssueToken(t.Context(), key, directory.TokenOptions{})
	require.NoError(t, err)
	x = k.explain(key, "ada@acme.example")
	require.Equal(t, directory.AskDomain, x.Cause, "no domain is registered")
	require.Contains(t, x.Text(), "You have not registered a domain yet")

	k.verified("acme", "acme.example")
	x = k.explain(key, "ada@other.example")
	require.Equal(t, directory.AskDomain, x.Cause)
	require.Contains(t, x.Text(), "other.example is not one of your registered domains")
	x = k.explain(key, "ada@acme.example")
	require.Equal(t, directory.AskRequest, x.Cause)
	require.Contains(t, x.Text(), "Nothing has come from Okta yet", "no request at all")

	require.Equal(t, http.StatusOK, k.get(secret))
	x = k.explain(key, "Ada")
	require.Equal(t, directory.AskRequest, x.Cause)
	require.Contains(t, x.Text(), "has not sent anybody by that name")
	require.Contains(t, x.Text(), "Assign the person in Assignments")
	require.Empty(t, x.Requests)

	k.send(secret, http.MethodPost, "/Users", `{"userName":"ada"}`, http.StatusBadRequest)
	k.send(secret, http.MethodPost, "/Users", sentUser("eve@evil.example"), http.StatusBadRequest)
	x = k.explain(key, "ada@acme.example")
	require.Equal(t, directory.AskRequest, x.Cause)
	require.Len(t, x.Requests, 1, "what was refused for another domain was not about them")
	require.Equal(t, scim.ReasonNoEmail, x.Requests[0].Reason)
	require.Contains(t, x.Text(), "Fill in Primary email", "what the refused attempt asks for")

	require.NoError(t, k.Pause(t.Context(), key))
	x = k.explain(key, "ada@acme.example")
	require.Equal(t, directory.AskSwitch, x.Cause)
	require.Contains(t, x.Text(), "paused")
	require.NoError(t, k.Enable(t.Context(), key))

	require.NoError(t, k.RevokeToken(t.Context(), key, token.ID))
	require.Equal(t, directory.AskToken, k.explain(key, "ada@acme.example").Cause, "a token that was revoked is none")
}

// Rule D8, of somebody whom the directory has: each thing that can keep them
// out, found by whichever name.
func TestD8WhySomebodyHasNoAccess(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	key, secret := k.create(directory.Directory{Name: "Entra", Provider: scim.Entra})
	k.verified("acme", "acme.example")
	k.mapped(key, roles.Mapping{Rules: []roles.Rule{{GroupName: "Editors", Role: "editor"}}})
	ada := k.send(secret, http.MethodPost, "/Users", sentUser("ada@acme.example"), http.StatusCreated)

	for _, who := range []string{ada, "ada@acme.example", "ADA@ACME.example", "ext-ada@acme.example", "  ada@acme.example "} {
		x := k.explain(key, who)
		require.Equal(t, ada, x.User, who)
		require.Equal(t, "ada@acme.example", x.Email)
		require.True(t, x.Access)
		require.Equal(t, directory.AskRole, x.Cause, "no group of hers has a role")
		require.Contains(t, x.Text(), "in no group")
	}
	k.send(secret, http.MethodPost, "/Groups", `{"displayName":"Readers","members":[{"value":"`+ada+`"}]}`, http.StatusCreated)
	require.Contains(t, k.explain(key, ada).Text(), "None of the person's groups has a role: Readers")
	k.send(secret, http.MethodPost, "/Groups", `{"displayName":"Editors","members":[{"value":"`+ada+`"}]}`, http.StatusCreated)
	x := k.explain(key, ada)
	require.Empty(t, x.Cause)
	require.Equal(t, "The person has access to the application.", x.Text())
	require.Len(t, x.Answers, 8, "every question is answered")

	was := scim.AccountState{}
	k.account(key, ada, func(a *scim.AccountState) { was = *a })
	for _, c := range []struct {
		name   string
		change func(a *scim.AccountState)
		cause  directory.Question
		says   string
	}{
		{"no email", func(a *scim.AccountState) { a.Email, a.Active = "", false }, directory.AskEmail, "userPrincipalName"},
		{"held for its domain", func(a *scim.AccountState) { a.Held, a.Active = scim.HeldForDomain, false }, directory.AskDomain, "not registered"},
		{"held for a seat", func(a *scim.AccountState) { a.Held, a.Active, a.Since = scim.HeldForSeat, false, k.clock.Now() }, directory.AskSeat, "since 2026-11-22"},
		{"roles that need a seat", func(a *scim.AccountState) { a.Pending, a.Grants = scim.PendingSeat, nil }, directory.AskSeat, "no free seat"},
		{"held by the application", func(a *scim.AccountState) { a.Held, a.Active = "a contractor", false }, directory.AskHold, "held for review in the application: a contractor"},
		{"creating is switched off", func(a *scim.AccountState) { a.Pending, a.Active = scim.PendingCreate, false }, directory.AskSwitch, "switched off: new people"},
		{"groups are switched off", func(a *scim.AccountState) { a.Pending, a.Grants = scim.PendingGroups, nil }, directory.AskSwitch, "switched off: groups"},
		{"roles are being worked out", func(a *scim.AccountState) { a.Pending, a.Grants = scim.PendingGrants, nil }, directory.AskRole, "some minutes"},
		{"another email waits", func(a *scim.AccountState) { a.RefusedEmail = "lovelace@acme.example" }, "", "has access"},
	} {
		k.account(key, ada, func(a *scim.AccountState) { *a = was; c.change(a) })
		x := k.explain(key, ada)
		require.Equal(t, c.cause, x.Cause, c.name)
		require.Contains(t, x.Text(), c.says, c.name)
		if c.name == "another email waits" {
			require.Contains(t, x.Answers[1].Text, "lovelace@acme.example, which waits for approval")
		}
	}
	k.account(key, ada, func(a *scim.AccountState) { *a = was })

	k.send(secret, http.MethodPatch, "/Users/"+ada, patch("title", `5`), http.StatusBadRequest)
	x = k.explain(key, ada)
	require.Len(t, x.Requests, 1, "what was refused about her")
	require.Equal(t, scim.ReasonSchema, x.Requests[0].Reason)
	require.Empty(t, x.Cause, "which keeps nobody out")

	k.send(secret, http.MethodPatch, "/Users/"+ada, patch("active", `false`), http.StatusOK)
	x = k.explain(key, ada)
	require.Equal(t, directory.AskRequest, x.Cause)
	require.Contains(t, x.Text(), "Entra ID has deactivated this person")
	k.send(secret, http.MethodDelete, "/Users/"+ada, "", http.StatusNoContent)
	for _, who := range []string{"ada@acme.example", ada} {
		x = k.explain(key, who)
		require.Equal(t, directory.AskRequest, x.Cause)
		require.Equal(t, ada, x.User, who)
		require.Contains(t, x.Text(), "Entra ID has deleted this person")
	}
	again := k.send(secret, http.MethodPost, "/Users", sentUser("ada@acme.example"), http.StatusCreated)
	require.Equal(t, again, k.explain(key, "ada@acme.example").User, "who is there, not who was")
}

func patch(path, value string) string {
	return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"` + path + `","value":` + value + `}]}`
}

// Who is provisioned by another directory of the tenant is found there; who is
// another tenant's is not found at all.
func TestA1ExplainKnowsOneTenant(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	key, secret := k.create(directory.Directory{Name: "Okta", Provider: scim.Okta, Policy: anyDomain()})
	_, siblingSecret := k.create(directory.Directory{Name: "Contractors", Policy: anyDomain()})
	_, foreignSecret := k.create(directory.Directory{Tenant: "umbrella", Name: "Theirs", Policy: anyDomain()})
	require.Equal(t, http.StatusOK, k.get(secret))
	ben := k.send(siblingSecret, http.MethodPost, "/Users", sentUser("ben@acme.example"), http.StatusCreated)
	eve := k.send(foreignSecret, http.MethodPost, "/Users", sentUser("eve@acme.example"), http.StatusCreated)

	x := k.explain(key, "ben@acme.example")
	require.Equal(t, directory.AskRequest, x.Cause)
	require.Contains(t, x.Text(), "Another directory of yours provisions this person, not this one: Contractors.")
	require.Empty(t, x.User)
	for _, who := range []string{"eve@acme.example", eve, ben, "ext-eve@acme.example"} {
		x := k.explain(key, who)
		require.Empty(t, x.User, who)
		require.Empty(t, x.Email)
		require.NotContains(t, x.Text(), "Theirs")
		require.Contains(t, x.Text(), "has not sent anybody by that name", who)
	}
	for _, nowhere := range []scim.Key{{}, {Tenant: "acme", Directory: "none"}, {Tenant: "umbrella", Directory: key.Directory}} {
		_, err := k.Explain(t.Context(), nowhere, "ada")
		require.ErrorIs(t, err, scim.ErrNotFound)
	}
	for _, who := range []string{"", " ", "\x00", "\xff", strings.Repeat("a", 5000)} {
		_, err := k.Explain(t.Context(), key, who)
		require.Equal(t, []string{"who"}, problems(t, err))
	}
}
