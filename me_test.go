package scim_test

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/elimity-com/scim/schema"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
)

// rankedTypes are the core types and one whose title is a number.
func rankedTypes(t *testing.T) *scim.Types {
	t.Helper()
	rank, err := attr.NewType("Rank", "/Ranks", "", schema.Schema{ID: "urn:example:Rank", Attributes: schema.Attributes{
		schema.SimpleCoreAttribute(schema.SimpleNumberParams(schema.NumberParams{Name: "title", Type: schema.AttributeTypeInteger()})),
	}})
	require.NoError(t, err)
	core := scim.CoreTypes().All()
	types, err := scim.NewTypes(core[0].Type, core[1].Type, rank)
	require.NoError(t, err)
	return types
}

// asSubject is a world's handler for a caller who is a user of a directory.
func (w *world) asSubject(t *testing.T, d *scim.Directory, subject string, store scim.Store) http.Handler {
	t.Helper()
	auth := scim.AuthenticatorFunc(func(*http.Request) (*scim.Caller, error) {
		return &scim.Caller{Directory: d, Actor: "self", Subject: subject}, nil
	})
	h, err := scim.NewHandler(store, memberRole{}, auth, &scim.Config{Provisioner: w.app, OnRequest: func(_ context.Context, e *scim.LogEntry) { w.log = append(w.log, *e) }})
	require.NoError(t, err)
	return scim.Mount(conversationBase, h, nil)
}

// RFC 7644 section 3.11: /Me is the caller's user, and every answer says where
// that is for good.
func TestRFC7644_3_11_Me(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		id := w.addUser(t, ours, "ada@example.com", `,"title":"countess","emails":[{"value":"ada@example.com"}]`)
		group := w.addGroup(t, ours, "team", "", id)
		location := "http://example.com" + conversationBase + "/Users/" + id
		h := w.asSubject(t, ours, id, w.store)
		do := func(a ask) *response {
			t.Helper()
			r := a.do(t, h)
			require.Equal(t, location, r.Header().Get("Location"), a.method)
			return r
		}
		got := do(ask{method: "GET", target: "/Me"}).must(t, http.StatusOK)
		require.Equal(t, w.get(t, "/Users/"+id).doc, got.doc, "meta.location included")
		require.Equal(t, location, got.text("/meta/location"))
		require.Equal(t, group, got.text("/groups/0/value"))
		require.False(t, do(ask{method: "GET", target: "//Me/?attributes=userName"}).has("/title"))
		do(ask{method: "GET", target: "/Me?excludedAttributes=groups", header: map[string]string{"If-None-Match": got.Header().Get("ETag")}}).must(t, http.StatusNotModified)

		patched := do(ask{method: "PATCH", target: "/Me", body: onePatch("replace", "title", `"analyst"`)}).must(t, http.StatusOK)
		require.Equal(t, "analyst", patched.text("/title"))
		put := do(ask{method: "PUT", target: "/Me", body: `{"userName":"ada@example.com","title":"engineer","emails":[{"value":"ada@example.com"}]}`}).must(t, http.StatusOK)
		require.Equal(t, "engineer", put.text("/title"))
		do(ask{method: "PUT", target: "/Me", body: `{"userName":"ada@example.com"}`, header: map[string]string{"If-Match": `W/"999"`}}).must(t, http.StatusPreconditionFailed, "any response says where, an error too")
		do(ask{method: "PATCH", target: "/Me", body: "{"}).must(t, http.StatusBadRequest)
		require.Equal(t, "engineer", w.get(t, "/Users/"+id).text("/title"))

		logged := 0
		for _, entry := range w.logged() {
			if entry.Actor == "self" {
				require.Equal(t, "/Me", entry.Path, "the log says what was asked for")
				logged++
			}
		}
		require.Equal(t, 7, logged)
		posted := ask{method: "POST", target: "/Me", body: `{"userName":"eve@example.com"}`}.do(t, h).must(t, http.StatusNotImplemented)
		require.Contains(t, posted.text("/detail"), "POST /Users")
		refused := ask{method: "BREW", target: "/Me"}.do(t, h).must(t, http.StatusMethodNotAllowed)
		require.Equal(t, "GET, HEAD, PUT, PATCH, DELETE", refused.Header().Get("Allow"))

		do(ask{method: "DELETE", target: "/Me"}).must(t, http.StatusNoContent)
		w.get(t, "/Users/"+id).must(t, http.StatusNotFound)
		gone := ask{method: "GET", target: "/Me"}.do(t, h).must(t, http.StatusNotFound)
		require.Empty(t, gone.Header().Get("Location"))
	})
}

// A credential that is nobody's has no /Me, RFC 7644 section 3.11; nor has one
// of a user who is deactivated, unknown or in another directory, rule A1: these
// look the same, and nothing is changed.
func TestRFC7644_3_11_NoMe(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		inactive := w.addUser(t, ours, "left@example.com", `,"active":false,"emails":[{"value":"left@example.com"}]`)
		theirs := w.addUser(t, sibling, "ada@example.com", "")
		group := w.addGroup(t, ours, "team", "")
		nobody := "00000000-0000-7000-8000-000000000000"
		before := w.fingerprint(t)
		asks := []ask{
			{method: "GET", target: "/Me"},
			{method: "DELETE", target: "/Me"},
			{method: "PATCH", target: "/Me", body: onePatch("replace", "active", "true")},
			{method: "PUT", target: "/Me", body: `{"userName":"left@example.com","active":true,"emails":[{"value":"left@example.com"}]}`},
			{method: "PATCH", target: "/Me", body: onePatch("replace", "active", "true"), header: map[string]string{"If-Match": `W/"1"`}},
		}
		for _, a := range asks {
			none := a.do(t, w).must(t, http.StatusNotImplemented)
			require.Contains(t, none.text("/detail"), "/Users/{id}")
			want := a.do(t, w.asSubject(t, ours, nobody, w.store)).must(t, http.StatusNotFound).Body.String()
			for _, subject := range []string{inactive, theirs, group, "\xff", "a\x00b", "../Users/" + inactive} {
				got := a.do(t, w.asSubject(t, ours, subject, w.store)).must(t, http.StatusNotFound, subject)
				require.Equal(t, want, got.Body.String())
				require.Empty(t, got.Header().Get("Location"))
			}
		}
		require.Equal(t, before, w.fingerprint(t))
	})
}

// That a credential is nobody's is no failure of the service, for an operator
// to look into.
func TestNoMeIsNoFailure(t *testing.T) {
	var log strings.Builder
	w := newWorld(t, newNaiveStore(), func(cfg *scim.Config) { cfg.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	w.get(t, "/Me").must(t, http.StatusNotImplemented)
	require.Empty(t, log.String())
}
