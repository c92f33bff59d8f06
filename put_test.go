package scim_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
)

// seed puts a resource into the store as the host would, what a client cannot
// write included, and returns its path.
func (w *world) seed(t testing.TB, typ, body string) string {
	t.Helper()
	r, err := scim.CoreTypes().Decode(ours.Key(), typ, []byte(body), scim.Meta{})
	require.NoError(t, err)
	created, err := w.store.Create(t.Context(), r)
	require.NoError(t, err)
	return created.Type().Endpoint + "/" + created.ID()
}

// RFC 7644 section 3.5.1: the name of a manager is the server's to say. It stays
// while the manager does.
func TestRFC7644Section3_5_1ReadOnlyBelow(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		path := w.seed(t, "User", `{"schemas":["`+userURN+`","`+enterpriseURN+`"],"id":"ada","userName":"ada@example.com","title":"t",
			"`+enterpriseURN+`":{"department":"D","manager":{"value":"m1","displayName":"Grace"}}}`)
		put := func(extension string) *response {
			return ask{method: "PUT", target: path, body: `{"userName":"ada@example.com"` + extension + `}`}.do(t, w).must(t, http.StatusOK)
		}
		extension := func(s string) string { return `,"` + enterpriseURN + `":` + s }
		name := "/" + enterpriseURN + "/manager/displayName"

		a := put(extension(`{"manager":{"value":"m1","displayName":"Mallory"}}`))
		require.Equal(t, "Grace", a.text(name))
		require.False(t, a.has("/"+enterpriseURN+"/department"), "what is left out is cleared")
		version := a.Header().Get("ETag")
		a = put(extension(`{"manager":{"value":"m1"}}`))
		require.Equal(t, "Grace", a.text(name), "what a GET has shown is as good as what a client knows")
		require.Equal(t, version, a.Header().Get("ETag"), "rule D4: it is no change")
		a = put(extension(`{"manager":"m2"}`))
		require.Equal(t, "m2", a.text("/"+enterpriseURN+"/manager/value"))
		require.False(t, a.has(name), "nobody has said what the new one is called")
		a = put("")
		require.False(t, a.has("/"+enterpriseURN))
		require.Equal(t, []any{userURN}, a.doc["schemas"])
	})
}

// RFC 7644 section 3.5.1: a required attribute must be sent, and an error names
// it.
func TestRFC7644Section3_5_1Required(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		user := w.addUser(t, ours, "ada@example.com", "")
		group := w.addGroup(t, ours, "team", "", user)
		before := w.fingerprint(t)
		for _, c := range []struct{ path, body, names string }{
			{"/Users/" + user, `{"displayName":"Ada"}`, "userName"},
			{"/Users/" + user, `{"userName":null}`, "userName"},
			{"/Users/" + user, `{"userName":""}`, "userName"},
			{"/Groups/" + group, `{"members":[]}`, "displayName"},
		} {
			a := ask{method: "PUT", target: c.path, body: c.body}.do(t, w).refused(t, http.StatusBadRequest, scim.InvalidValue, c.body)
			require.Contains(t, a.text("/detail"), c.names+" is required")
		}
		require.Equal(t, before, w.fingerprint(t))
	})
}

// Quirk 96: leaving active out, or null, says nothing of it; everything else
// that is left out is cleared.
func TestQuirk96PutKeepsActive(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		for i, active := range []bool{true, false} {
			name := fmt.Sprintf("u%d@example.com", i)
			id := w.addUser(t, ours, name, fmt.Sprintf(`,"active":%t,"title":"t","nickName":"n"`, active))
			for _, body := range []string{`{"userName":"%s"}`, `{"userName":"%s","active":null}`, `{"userName":"%s","title":null}`, `{"userName":"%s","active":[]}`} {
				a := ask{method: "PUT", target: "/Users/" + id, body: fmt.Sprintf(body, name)}.do(t, w).must(t, http.StatusOK, body)
				require.Equal(t, active, a.doc["active"], body)
				require.False(t, a.has("/title"))
				require.False(t, a.has("/nickName"))
			}
			a := ask{method: "PUT", target: "/Users/" + id, body: fmt.Sprintf(`{"userName":%q,"active":%t}`, name, !active)}.do(t, w).must(t, http.StatusOK)
			require.Equal(t, !active, a.doc["active"], "what is said counts")
		}
	})
}

// Quirk 73: a PUT of a group without members succeeds. It is a PUT: what is not
// there is gone, and with it what the group gave. Clients that leave out an
// empty list are common, and nobody may keep access for it.
func TestQuirk73PutOfAGroupWithoutMembers(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		for i, members := range []string{"", `,"members":[]`, `,"members":null`} {
			user := w.addUser(t, ours, fmt.Sprintf("u%d@example.com", i), "")
			group := w.addGroup(t, ours, fmt.Sprint("team ", i), "", user)
			w.app.drain()
			a := ask{method: "PUT", target: "/Groups/" + group, body: fmt.Sprintf(`{"displayName":"other %d"%s}`, i, members)}.do(t, w).must(t, http.StatusOK, members)
			require.False(t, a.has("/members"), members)
			require.False(t, w.get(t, "/Users/"+user).has("/groups"))
			require.Empty(t, w.app.account(user).Roles, "what the group gave is gone")
			require.NotEmpty(t, w.app.drain())
		}
	})
}

// A group can be sent back as it was read, whatever it has and whoever keeps
// its members.
func TestRFC7644Section3_5_1WhatWasReadCanBeSent(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		user := w.addUser(t, ours, "ada@example.com", `,"title":"t","emails":[{"value":"ada@example.com","type":"work","primary":true},{"value":"a@example.com"}],"`+enterpriseURN+`":{"manager":{"value":"x"}}`)
		inner := w.addGroup(t, ours, "inner", "")
		group := w.addGroup(t, ours, "team", `,"externalId":"x"`, user, inner)
		for _, path := range []string{"/Users/" + user, "/Groups/" + group} {
			read := w.get(t, path)
			a := ask{method: "PUT", target: path, body: read.Body.String(), header: map[string]string{"If-Match": read.Header().Get("ETag")}}.do(t, w).must(t, http.StatusOK)
			require.JSONEq(t, read.Body.String(), a.Body.String())
			require.Equal(t, read.Header().Get("ETag"), a.Header().Get("ETag"), "rule D4")
		}
	})
}

// Rule A7: where userName and email are both taken, the 409 names userName:
// providers look for people by it.
func TestA7UserNameIsNamedFirst(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		email := func(s string) string { return `,"emails":[{"value":"` + s + `@example.com"}]` }
		w.addUser(t, ours, "ada", email("ada"))
		w.addUser(t, ours, "ben", email("ben"))
		for body, names := range map[string]string{
			`{"userName":"ADA"` + email("ada") + `}`: "userName",
			`{"userName":"ada"` + email("ben") + `}`: "userName", // of two people
			`{"userName":"new"` + email("ada") + `}`: "emails.value",
			`{"userName":"ada"` + email("new") + `}`: "userName",
		} {
			a := ask{method: "POST", target: "/Users", body: body}.do(t, w).refused(t, http.StatusConflict, scim.Uniqueness, body)
			require.Contains(t, a.text("/detail"), "has the same "+names+";", body)
		}
	})
	onEveryStore(t, func() *scim.Directory { return acme(scim.Policy{Email: scim.AllowEmailChange}) }, func(t *testing.T, r *ruleRig) {
		r.post("/Users", person("ada"))
		path := "/Users/" + r.post("/Users", person("eve"))
		r.do("PUT", path, `{"userName":"Ada","emails":[{"value":"ada@acme.example"}]}`).refused(http.StatusConflict, "uniqueness", "the same userName;")
		r.do("PUT", path, `{"userName":"eve","emails":[{"value":"ada@acme.example"}]}`).refused(http.StatusConflict, "uniqueness", "the same emails.value;")
	})
}
