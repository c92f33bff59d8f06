package scim_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/memstore"
)

// A scopeRig is a handler with users, groups and a custom type, whose callers
// say in a header which scope they have, and are a user.
type scopeRig struct {
	http.Handler
	user, group, device string
	log                 []scim.LogEntry
}

// everyScope are all combinations of scopes; the first is everything.
func everyScope() []scim.Scope {
	var all []scim.Scope
	for s := scim.Scope(0); s < 1<<4; s++ {
		all = append(all, s)
	}
	return all
}

// typesWithDevices are the core types and one of a host's own.
func typesWithDevices(t *testing.T) *scim.Types {
	t.Helper()
	devices, err := attr.ParseTypes([]byte(`[
		{"name":"Device","endpoint":"/Devices","schema":"urn:example:params:scim:schemas:core:2.0:Device"},
		{"id":"urn:example:params:scim:schemas:core:2.0:Device","name":"Device","attributes":[{"name":"serial"}]}]`))
	require.NoError(t, err)
	types, err := scim.CoreTypes().With(devices...)
	require.NoError(t, err)
	return types
}

func onScopeRigs(t *testing.T, test func(t *testing.T, r *scopeRig)) {
	t.Helper()
	types := typesWithDevices(t)
	for name, open := range map[string]func() scim.Store{
		"memstore": func() scim.Store { return newManaged(types, &memstore.Options{}) },
		"naive":    func() scim.Store { return newNaiveStore() },
	} {
		t.Run(name, func(t *testing.T) {
			r := newScopeRig(t, open(), types)
			r.user = r.do(t, 0, ask{method: "POST", target: "/Users", body: person("ada")}).must(t, http.StatusCreated).text("/id")
			r.group = r.do(t, 0, ask{method: "POST", target: "/Groups", body: team("team", r.user)}).must(t, http.StatusCreated).text("/id")
			r.device = r.do(t, 0, ask{method: "POST", target: "/Devices", body: `{"serial":"7"}`}).must(t, http.StatusCreated).text("/id")
			test(t, r)
		})
	}
}

func newScopeRig(t *testing.T, store scim.Store, types *scim.Types) *scopeRig {
	t.Helper()
	r := new(scopeRig)
	d := acme(scim.Policy{})
	auth := scim.AuthenticatorFunc(func(req *http.Request) (*scim.Caller, error) {
		c := &scim.Caller{Directory: d, Actor: "test", Subject: r.user}
		return c, c.Scope.UnmarshalText([]byte(req.Header.Get("X-Scope")))
	})
	cfg := &scim.Config{Types: types, OnRequest: func(_ context.Context, e *scim.LogEntry) {
		r.log = append(r.log, *e)
		checkReason(t, e)
	}}
	if _, positions := store.(scim.Ledger); positions {
		cfg.CursorKey = []byte(strings.Repeat("k", 32))
	}
	h, err := scim.NewHandler(store, scim.NoRoles{}, auth, cfg)
	require.NoError(t, err)
	r.Handler = scim.Mount(conversationBase, h, nil)
	return r
}

func (r *scopeRig) do(t *testing.T, s scim.Scope, a ask) *response {
	t.Helper()
	r.log = nil
	headers := map[string]string{"X-Scope": s.String()}
	maps.Copy(headers, a.header)
	a.header = headers
	return a.do(t, r)
}

// allowed is rule E2 in other words: who has the scope itself, or to read also
// the one to write.
func allowed(s scim.Scope, need string) bool {
	if s == 0 || need == "" {
		return true
	}
	names := strings.Fields(s.String())
	return slices.Contains(names, need) || slices.Contains(names, strings.Replace(need, "read", "write", 1))
}

// Rule E2: a token does what its scope names and nothing else, on every endpoint
// and with every method. What is refused changes nothing.
func TestE2EveryScopeOnEveryRoute(t *testing.T) {
	onScopeRigs(t, func(t *testing.T, r *scopeRig) {
		search := `{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]}`
		type request struct {
			ask
			need string
		}
		var requests []request
		for _, c := range []struct{ endpoint, id, kind, body, patch string }{
			{"/Users", r.user, "users", person("eve"), patchBody(replaceOp("title", `"x"`))},
			{"/Groups", r.group, "groups", team("others"), patchBody(replaceOp("displayName", `"x"`))},
			{"/Devices", r.device, "users", `{"serial":"8"}`, patchBody(replaceOp("serial", `"9"`))},
			{"/Me", "", "users", "", patchBody(replaceOp("title", `"x"`))},
		} {
			read, write := c.kind+":read", c.kind+":write"
			one := strings.TrimSuffix(c.endpoint+"/"+c.id, "/")
			if c.id != "" {
				requests = append(requests,
					request{ask{method: "GET", target: c.endpoint}, read},
					request{ask{method: "HEAD", target: c.endpoint}, read},
					request{ask{method: "POST", target: c.endpoint, body: c.body}, write},
					request{ask{method: "POST", target: c.endpoint + "/.search", body: search}, read},
				)
			}
			requests = append(requests,
				request{ask{method: "GET", target: one}, read},
				request{ask{method: "HEAD", target: one}, read},
				request{ask{method: "GET", target: one, header: map[string]string{"If-None-Match": "*"}}, read},
				request{ask{method: "PATCH", target: one, body: c.patch}, write},
				request{ask{method: "PUT", target: one, body: `{}`}, write},
				request{ask{method: "DELETE", target: one, header: map[string]string{"If-Match": `"no"`}}, write},
			)
		}
		for _, target := range []string{"/ServiceProviderConfig", "/ResourceTypes", "/ResourceTypes/User", "/Schemas", "/Schemas/" + enterpriseURN} {
			requests = append(requests, request{ask{method: "GET", target: target}, ""})
		}
		state := func() string {
			return r.do(t, 0, ask{method: "GET", target: "/"}).Body.String()
		}
		refused := 0
		for _, s := range everyScope() {
			for _, c := range requests {
				if allowed(s, c.need) {
					a := r.do(t, s, c.ask)
					require.NotEqual(t, http.StatusForbidden, a.Code, "%q may %s %s: %s", s, c.method, c.target, a.Body)
					require.Less(t, a.Code, 500)
					continue
				}
				refused++
				before := state()
				a := r.do(t, s, c.ask)
				require.Equal(t, http.StatusForbidden, a.Code, "%q may not %s %s: %s", s, c.method, c.target, a.Body)
				require.Len(t, r.log, 1)
				require.Equal(t, scim.ReasonScope, r.log[0].Reason)
				require.Contains(t, r.log[0].Detail, "the scope "+c.need+" ", "which scope is missing")
				require.Contains(t, r.log[0].Detail, "tokens are made in the application", "the remedy")
				if c.method != http.MethodHead {
					require.Equal(t, r.log[0].Detail, a.text("/detail"))
				}
				require.Equal(t, before, state(), "%s %s", c.method, c.target)
			}
		}
		require.Greater(t, refused, 100)
	})
}

// Rule E2 in bulk: each operation needs its own scope, and who may not write at
// all has none to send.
func TestE2BulkOperationsEachNeedTheirScope(t *testing.T) {
	onScopeRigs(t, func(t *testing.T, r *scopeRig) {
		for _, s := range everyScope() {
			a := r.do(t, s, ask{method: "POST", target: "/Bulk", body: bulkRequest("",
				operation("PATCH", "/Users/"+r.user, patchBody(replaceOp("title", `"x"`))),
				operation("PATCH", "/Groups/"+r.group, patchBody(replaceOp("displayName", `"x"`))),
				operation("DELETE", "/Devices/none", ""),
				`{"method":"POST","path":"/Users","bulkId":"new","data":`+person(fmt.Sprintf("new-%d", s))+`}`,
				postGroup("group", "of "+s.String(), "bulkId:new"),
			)})
			users, groups := allowed(s, "users:write"), allowed(s, "groups:write")
			if !users && !groups {
				a.refused(t, http.StatusForbidden, "", "no operation could succeed")
				require.Len(t, r.log, 1)
				require.Equal(t, scim.ReasonScope, r.log[0].Reason)
				require.Contains(t, r.log[0].Detail, "users:write or groups:write")
				continue
			}
			var statuses []string
			for _, result := range a.results(t) {
				statuses = append(statuses, result.Status)
			}
			want := []string{"200", "200", "404", "201", "201"}
			if !users {
				// Whom the group is to have was not created either.
				want = []string{"403", "200", "403", "403", "409"}
			}
			if !groups {
				want[1], want[4] = "403", "403"
			}
			require.Equal(t, want, statuses, "%q: %s", s, a.Body)
			scoped := 0
			for _, e := range r.log {
				if e.Status == http.StatusForbidden {
					require.Equal(t, scim.ReasonScope, e.Reason)
					scoped++
				}
			}
			require.Equal(t, strings.Count(strings.Join(statuses, " "), "403"), scoped, "each refused operation has its line: %s", a.Body)
		}
	})
}

// Rule E2 for a query of everything: it shows what may be read, as if there were
// nothing else, also to who names something else.
func TestE2AQueryOfEverythingShowsWhatMayBeRead(t *testing.T) {
	onScopeRigs(t, func(t *testing.T, r *scopeRig) {
		for _, s := range everyScope() {
			var want []string
			if allowed(s, "users:read") {
				want = append(want, r.user, r.device)
			}
			if allowed(s, "groups:read") {
				want = append(want, r.group)
			}
			for _, a := range []ask{
				{method: "GET", target: "/"},
				{method: "GET", target: "/?sortBy=meta.created"},
				{method: "GET", target: "/?cursor="},
				{method: "GET", target: "/?filter=meta.resourceType+pr"},
				{method: "POST", target: "/.search", body: `{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],"count":10}`},
			} {
				list := r.do(t, s, a)
				require.ElementsMatch(t, want, list.ids(t), "%q %s", s, a.target)
				require.Equal(t, fmt.Sprint(len(want)), fmt.Sprint(list.doc["totalResults"]), "what is not shown is not counted")
			}
			found := r.do(t, s, ask{method: "GET", target: "/?filter=meta.resourceType+eq+%22Group%22"}).ids(t)
			if allowed(s, "groups:read") {
				require.Equal(t, []string{r.group}, found)
			} else {
				require.Empty(t, found, s)
				r.do(t, s, ask{method: "GET", target: "/?filter=members.value+eq+%22" + r.user + "%22"}).refused(t, http.StatusBadRequest, scim.InvalidFilter, "an oracle about groups")
			}
		}
	})
}

// A cursor of a token that may read more is not one of a token that may read
// less.
func TestE2ACursorDoesNotWidenAScope(t *testing.T) {
	types := typesWithDevices(t)
	r := newScopeRig(t, newManaged(types, &memstore.Options{}), types)
	for _, name := range []string{"ada", "ben"} {
		r.do(t, 0, ask{method: "POST", target: "/Users", body: person(name)}).must(t, http.StatusCreated)
		r.do(t, 0, ask{method: "POST", target: "/Groups", body: team(name)}).must(t, http.StatusCreated)
	}
	cursor := r.do(t, 0, ask{method: "GET", target: "/?count=3&cursor="}).must(t, http.StatusOK).text("/nextCursor")
	require.NotEmpty(t, cursor)
	require.Len(t, r.do(t, 0, ask{method: "GET", target: "/?count=3&cursor=" + cursor}).ids(t), 1)
	r.do(t, scim.ReadUsers, ask{method: "GET", target: "/?count=3&cursor=" + cursor}).refused(t, http.StatusBadRequest, scim.InvalidCursor)
}

// Where the service has no groups, who may read groups alone may read nothing.
func TestE2AScopeForNothing(t *testing.T) {
	types, err := scim.NewTypes(scim.CoreTypes().Type("User").Type)
	require.NoError(t, err)
	r := newScopeRig(t, newNaiveStore(), types)
	for _, s := range []scim.Scope{scim.ReadGroups, scim.WriteGroups} {
		r.do(t, s, ask{method: "GET", target: "/"}).refused(t, http.StatusForbidden, "")
		require.Equal(t, scim.ReasonScope, r.log[0].Reason)
		require.Contains(t, r.log[0].Detail, "users:read")
	}
}

// What is part of a resource goes with it: a user's groups with users, a group's
// members with groups.
func TestE2AttributesGoWithTheirResource(t *testing.T) {
	onScopeRigs(t, func(t *testing.T, r *scopeRig) {
		require.Equal(t, r.group, r.do(t, scim.ReadUsers, ask{method: "GET", target: "/Users/" + r.user}).text("/groups/0/value"))
		require.Equal(t, r.user, r.do(t, scim.ReadGroups, ask{method: "GET", target: "/Groups/" + r.group}).text("/members/0/value"))
		r.do(t, scim.ReadUsers, ask{method: "GET", target: "/Groups/" + r.group}).refused(t, http.StatusForbidden, "")
		r.do(t, scim.ReadGroups, ask{method: "GET", target: "/Users/" + r.user}).refused(t, http.StatusForbidden, "")
	})
}

// A token that is known when the program starts has a scope too.
func TestE2StaticTokensHaveScopes(t *testing.T) {
	d := acme(scim.Policy{})
	auth, err := scim.StaticTokens(scim.Token{Secret: testToken, Directory: d}, scim.Token{Secret: readerToken, Directory: d, Scope: scim.ReadUsers})
	require.NoError(t, err)
	for token, want := range map[string]scim.Scope{"Bearer " + testToken: 0, testToken: 0, "Bearer " + readerToken: scim.ReadUsers, readerToken: scim.ReadUsers} {
		c, err := auth.Authenticate(&http.Request{Header: http.Header{"Authorization": {token}}})
		require.NoError(t, err)
		assert.Equal(t, want, c.Scope, "with the word Bearer and without")
	}
}
