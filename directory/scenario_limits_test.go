package directory_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
)

// Section D: events and the request log.

// D1, D3: what one request causes is one range of the sequence, in the order
// user, group, membership, roles, seats and alerts.
func TestScenarioD3TheOrderOfEvents(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.app.seats, s.app.admins = 2, 0
	entra := s.connect(directory.Directory{Provider: scim.Entra})
	entra.rules("viewer", "Admins admin", "Editors editor")
	ada, grace, alan := entra.hire("Ada"), entra.hire("Grace"), entra.hire("Alan")
	admins, editors := entra.group("Admins", ada), entra.group("Editors")

	for _, step := range []struct {
		why  string
		do   func() *reply
		want []string
	}{
		{"a group push beyond the seats", func() *reply { return entra.join(editors, ada, grace, alan) }, []string{
			"membership.added", "membership.added", "membership.added", "user.roles_changed", "seat.limit_reached",
		}},
		{"a leaver, whose seat goes to who waits", func() *reply { return entra.suspend(grace) }, []string{"user.deactivated", "user.roles_changed", "seat.freed"}},
		{"she cannot come back", func() *reply { return entra.resume(grace) }, []string{"seat.limit_reached"}},
		{"the last administrator", func() *reply { return entra.leave(admins, ada) }, []string{"membership.removed", "user.roles_changed", "tenant.last_admin_protected"}},
		{"a deletion", func() *reply { return entra.remove(alan) }, []string{"user.deleted", "membership.removed", "seat.freed"}},
		{"of a group", func() *reply { return entra.say(entra.speaks.drop, nil, "group", editors) }, []string{
			"group.deleted", "membership.removed", "membership.removed", "user.roles_changed",
		}},
		{"the same again, and no-ops", func() *reply {
			entra.update(ada).fine()
			return entra.leave(admins, ada)
		}, []string{}},
	} {
		mark := s.mark()
		step.do()
		require.Equal(t, step.want, s.since(mark), step.why)
		const all = 100
		events, err := s.store.Events(t.Context(), "acme", mark, all)
		require.NoError(t, err)
		for _, e := range events {
			require.Equal(t, []any{events[0].Request, events[0].Time, "provider", entra.key}, []any{e.Request, e.Time, e.Actor, e.Directory}, step.why)
		}
	}
}

// D8: what is wrong is in the request log, with what to do about it in that
// provider.
func TestScenarioD8TheLogSaysWhatToDo(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.app.seats = 1
	entra := s.connect(directory.Directory{Provider: scim.Entra})
	entra.rules("editor")
	ada := entra.hire("Ada")
	group := entra.group("Editors")
	entra.send(http.MethodPost, "/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"externalId":"77","userName":"svc-backup","active":true}`).
		refused(http.StatusBadRequest, "invalidValue", "userPrincipalName")
	require.Equal(t, scim.ReasonNoEmail, entra.lastRequest().Reason)
	require.Contains(t, entra.lastRequest().Hint, "mail")

	for _, c := range []struct {
		do     func() *reply
		status int
		reason scim.Reason
		hint   string
	}{
		{func() *reply { return entra.say(entra.speaks.create, ada) }, http.StatusConflict, scim.ReasonExists, ""},
		{func() *reply { return entra.assign(someone("Grace")) }, http.StatusForbidden, scim.ReasonSeats, "seat"},
		{func() *reply {
			eve := someone("Eve")
			eve.email = "eve@other.example"
			return entra.assign(eve)
		}, http.StatusBadRequest, scim.ReasonDomain, "domain"},
		{func() *reply {
			king := *ada
			king.email = "ada.king@acme.example"
			return entra.update(&king)
		}, http.StatusBadRequest, scim.ReasonEmailImmutable, "email"},
		{func() *reply { return entra.join(group, ada, &person{id: "0190f3a1-0000-7000-8000-000000000000"}) }, http.StatusNoContent, "", "member"},
	} {
		require.Equal(t, c.status, c.do().Code, c.reason)
		line := entra.lastRequest()
		require.Equal(t, []any{c.status, c.reason, "provider"}, []any{line.Status, line.Reason, line.Actor})
		require.Contains(t, strings.ToLower(line.Hint), c.hint)
		require.NotEmpty(t, line.Hint)
	}
	last := entra.lastRequest()
	require.Equal(t, []scim.EventType{scim.MembershipAdded}, last.Changed)
	require.Len(t, last.Unknown, 1)
	require.NotZero(t, last.Fired, "Entra's form of Add is one that the log names")
	require.Equal(t, "PATCH /Groups/"+group, last.Method+" "+last.Path)
}

// Section E: seats, tokens, attributes, silence.

// E1: four ways to answer who needs a seat that is not there: created so, and
// through a group. Whoever waits is served when somebody leaves, first in, first
// out.
func TestScenarioE1FourSeatPolicies(t *testing.T) {
	t.Parallel()
	for policy, want := range map[scim.SeatPolicy]struct {
		status  int
		created [2]string // Grace's and Alan's access after they were created
		after   [2]string // and after Ada left
		grouped string    // Grace's, who was in no group, after she was pushed into one
	}{
		scim.RefuseSeats:   {http.StatusForbidden, [2]string{"", ""}, [2]string{"", ""}, "viewer"},
		scim.FreeRoleSeats: {http.StatusCreated, [2]string{"viewer", "viewer"}, [2]string{"editor", "viewer"}, "viewer"},
		scim.HoldSeats:     {http.StatusCreated, [2]string{"none", "none"}, [2]string{"editor", "none"}, "viewer"},
		scim.OverageSeats:  {http.StatusCreated, [2]string{"editor", "editor"}, [2]string{"editor", "editor"}, "editor"},
	} {
		t.Run(policy.String(), func(t *testing.T) {
			t.Parallel()
			p := scim.Policy{Seats: policy}
			if policy == scim.FreeRoleSeats {
				p.FreeRole = "viewer"
			}
			s := newScene(t)
			s.app.seats = 1
			okta := s.connect(directory.Directory{Provider: scim.Okta, Policy: p})
			okta.rules("editor")
			ada, grace, alan := okta.hire("Ada"), someone("Grace"), someone("Alan")
			mark := s.mark()
			for _, who := range []*person{grace, alan} {
				s.clock.pass(time.Minute)
				require.Equal(t, want.status, okta.assign(who).Code)
			}
			require.Equal(t, want.created, [2]string{s.access(grace.email), s.access(alan.email)})
			require.Equal(t, 1, strings.Count(strings.Join(s.since(mark), " "), "seat.limit_reached"), "one event a crossing")
			okta.suspend(ada).fine()
			require.Equal(t, want.after, [2]string{s.access(grace.email), s.access(alan.email)})
			require.Equal(t, "none", s.access(ada.email))
			if policy == scim.RefuseSeats {
				okta.assign(grace).fine() // as the provider does in its next cycle
				require.Equal(t, "editor", s.access(grace.email))
			}

			s = newScene(t)
			s.app.seats = 1
			okta = s.connect(directory.Directory{Provider: scim.Okta, Policy: p})
			okta.rules("viewer", "Leads editor")
			ada, grace = okta.hire("Ada"), okta.hire("Grace")
			leads := okta.group("Leads")
			okta.join(leads, grace, ada).fine()
			require.Equal(t, "editor", s.access(ada.email), "in order of the users' ids")
			require.Equal(t, want.grouped, s.access(grace.email), "who has access keeps it")
			okta.leave(leads, ada).fine()
			require.Equal(t, []string{"viewer", "editor"}, []string{s.access(ada.email), s.access(grace.email)})
		})
	}
}

// E2: a token from its issue to its end, by the clock.
func TestScenarioE2TheLifeOfAToken(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	okta := s.connect(directory.Directory{Provider: scim.Okta})
	ada := okta.hire("Ada")
	status := func(secret string) int {
		t.Helper()
		return (&provider{s, okta.key, secret, okta.speaks}).say(okta.speaks.find, ada).Code
	}
	tokens, err := s.Tokens(t.Context(), okta.key)
	require.NoError(t, err)
	first, old := tokens[0], okta.secret
	require.True(t, strings.HasPrefix(old, "muster_"), "secret scanners know it")

	s.clock.pass(300 * testDay)
	mark := s.mark()
	next, second, err := s.RotateToken(t.Context(), okta.key, first.ID, 7*testDay)
	require.NoError(t, err)
	require.Equal(t, []string{"token.created"}, s.since(mark))
	_, _, err = s.IssueToken(t.Context(), okta.key, directory.TokenOptions{})
	require.Contains(t, problems(t, err), "tokens", "two are active, which are as many as can be")
	s.clock.pass(7*testDay - time.Minute)
	require.Equal(t, []int{http.StatusOK, http.StatusOK}, []int{status(old), status(next)}, "the overlap")
	s.clock.pass(2 * time.Minute)
	require.Equal(t, []int{http.StatusUnauthorized, http.StatusOK}, []int{status(old), status(next)})

	reader, third, err := s.IssueToken(t.Context(), okta.key, directory.TokenOptions{Label: "import", Scope: scim.ReadUsers})
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status(reader))
	(&provider{s, okta.key, reader, okta.speaks}).suspend(ada).refused(http.StatusForbidden, "", "users:write")
	require.NoError(t, s.RevokeToken(t.Context(), okta.key, third.ID))
	require.Equal(t, http.StatusUnauthorized, status(reader), "at once where it was revoked")

	mark = s.mark()
	for _, hours := range []time.Duration{31 * 24, 29 * 24, 8 * 24, 6 * 24, 2 * 24, 12, 0} {
		s.clock.pass(second.Expires.Add(-hours * time.Hour).Sub(s.clock.Now()))
		s.work()
	}
	require.Equal(t, []string{
		"token.expired", // the one that was replaced
		"token.expiring", "token.expiring", "directory.attention token", "token.expiring", "token.expired",
	}, s.since(mark), "30, 7 and 1 days before, and when it has")
	require.Equal(t, http.StatusUnauthorized, status(next))
	require.NotContains(t, s.log.String(), next[len("muster_"):], "no secret in a log")
}

// E4: what people have is observed, masked, and any of it becomes an attribute
// of the profile; the nine standard ones need nothing.
func TestScenarioE4AttributesBecomeTheProfile(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	entra := s.connect(directory.Directory{Provider: scim.Entra})
	ada := entra.hire("Ada")
	entra.send(http.MethodPatch, "/Users/"+ada.id, patchOp+`{"op":"Add","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department","value":"Analysis"},
		{"op":"Add","path":"phoneNumbers[type eq \"work\"].value","value":"+44 20 7946 0958"},{"op":"Add","path":"locale","value":"en-GB"},{"op":"Add","path":"title","value":"Countess"}]}`).fine()
	p := s.member(ada.email).profile
	require.Equal(t, []string{"Ada Lovelace", "Ada", "Lovelace", "ada@acme.example", "+44 20 7946 0958", "en-GB"},
		[]string{p.Name, p.GivenName, p.FamilyName, p.PreferredUserName, p.PhoneNumber, p.Locale})
	require.Empty(t, p.Custom)

	seen, err := s.Observed(t.Context(), entra.key)
	require.NoError(t, err)
	examples := map[string]string{}
	for _, a := range seen.Attributes {
		examples[a.Path] = a.Example
		require.NotContains(t, a.Example, "Ada")
	}
	const department = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department"
	require.Equal(t, "Aa…", examples[department])
	require.Contains(t, examples, "title")

	d, err := s.Get(t.Context(), entra.key)
	require.NoError(t, err)
	d.Profile = map[string]string{"team": department, "job": "title"}
	_, err = s.Update(t.Context(), d)
	require.NoError(t, err)
	s.work()
	require.Equal(t, map[string]string{"team": "Analysis", "job": "Countess"}, s.member(ada.email).profile.Custom)
}

// E5: silence, or nothing but failures, is told of once.
func TestScenarioE5Silence(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(_ *scim.Config, o *directory.Options) { o.Worker.Failures = 5 })
	entra, okta := s.connect(directory.Directory{ID: "entra", Provider: scim.Entra}), s.connect(directory.Directory{ID: "okta", Provider: scim.Okta})
	ada := entra.hire("Ada")
	okta.hire("Grace")
	pass := func(d time.Duration) []string {
		t.Helper()
		mark := s.mark()
		s.clock.pass(d)
		s.work()
		return s.since(mark)
	}
	require.Empty(t, pass(time.Hour), "Entra comes every 40 minutes")
	require.Equal(t, []string{"directory.attention silence"}, pass(3*time.Hour), "Okta only when something changes")
	require.Empty(t, pass(3*time.Hour))
	require.Equal(t, 1, entra.looks(ada))
	require.Empty(t, pass(time.Hour))

	for i := range 5 {
		eve := someone(fmt.Sprint("Eve", i))
		eve.email = "eve@other.example"
		okta.say(okta.speaks.create, eve).refused(http.StatusBadRequest, "invalidValue")
	}
	require.Equal(t, 1, entra.looks(ada))
	require.Equal(t, []string{"directory.attention failures"}, pass(time.Hour))
	_, last := s.events("acme", 0)
	require.Equal(t, okta.key, last.Directory)
}
