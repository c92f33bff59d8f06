package scim_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
)

// Rule D8: the log names what was sent and no schema defines, of every kind of
// write and wherever it stood.
func TestD8TheLogNamesWhatWasIgnored(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		const unknown = `"badge":{"x":1},"name":{"givenName":"Ada","nick":"A"},"emails":[{"value":"ada@example.com","verified":true},{"value":"a@example.com","verified":false}],` +
			`"` + enterpriseURN + `":{"desk":"3"},"urn:example:other:User":{"a":1}`
		names := []string{"badge", "name.nick", "emails.verified", enterpriseURN + ":desk", "urn:example:other:User"}
		w.logged()
		created := ask{method: "POST", target: "/Users", body: `{"userName":"ada@example.com",` + unknown + `,"id":"x","meta":{}}`}.do(t, w).must(t, http.StatusCreated)
		path := "/Users/" + created.text("/id")
		ask{method: "PUT", target: path, body: `{"userName":"ada@example.com",` + unknown + `}`}.do(t, w).must(t, http.StatusOK)
		ask{method: "PATCH", target: path, body: onePatch("add", "", "{"+unknown+"}")}.do(t, w).must(t, http.StatusOK)
		ask{method: "PUT", target: path, body: `{"badge":1}`}.do(t, w).refused(t, http.StatusBadRequest, scim.InvalidValue, "userName is required")
		ask{method: "PUT", target: path, body: `{"userName":"ada@example.com"}`}.do(t, w).must(t, http.StatusOK)
		log := w.logged()
		for _, e := range log[:3] {
			require.ElementsMatch(t, names, e.Ignored, e.Method)
		}
		require.Equal(t, []string{"badge"}, log[3].Ignored, "of what was refused too")
		require.Empty(t, log[4].Ignored)

		group := w.addGroup(t, ours, "team", `,"colour":"red"`)
		member := `[{"value":` + quoted(created.text("/id")) + `,"since":"now"}]`
		ask{method: "PUT", target: "/Groups/" + group, body: `{"displayName":"team","members":` + member + `}`}.do(t, w).must(t, http.StatusOK)
		ask{method: "PATCH", target: "/Groups/" + group, body: onePatch("add", "members", member)}.do(t, w).must(t, http.StatusNoContent)
		log = w.logged()
		require.Equal(t, []string{"colour"}, log[0].Ignored)
		require.Equal(t, []string{"members.since"}, log[1].Ignored)
		require.Equal(t, []string{"members.since"}, log[2].Ignored)
	})
}

// What is named is bounded: a hundred names, each once, of a long one the
// beginning; and it keeps nothing of the body.
func TestD8WhatWasIgnoredIsBounded(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		var many, values strings.Builder
		for i := range 5000 {
			fmt.Fprintf(&many, `,"unknown%d":1`, i)
			fmt.Fprintf(&values, `,{"value":"e%d","same":1}`, i)
		}
		long := strings.Repeat("é", 10_000)
		w.addUser(t, ours, "ada@example.com", many.String())
		w.addUser(t, ours, "ben@example.com", `,"`+long+`":1`)
		w.addUser(t, ours, "eve@example.com", `,"entitlements":[`+values.String()[1:]+`]`)
		log := w.logged()
		require.Len(t, log[0].Ignored, 100)
		require.Equal(t, "unknown0", log[0].Ignored[0])
		require.Equal(t, []string{long[:256] + "…"}, log[1].Ignored)
		require.Equal(t, []string{"entitlements.same"}, log[2].Ignored)
	})
}

// A wordlessStore is a ledger whose readers fail when they are told to: an
// answer then fails after its write.
type wordlessStore struct {
	scim.Ledger
	fails bool
}

func (s *wordlessStore) Members(ctx context.Context, group scim.Ref) iter.Seq2[scim.Member, error] {
	if !s.fails {
		return s.Ledger.Members(ctx, group)
	}
	return func(yield func(scim.Member, error) bool) { yield(scim.Member{}, errors.New("the disk is gone")) }
}

func (s *wordlessStore) GroupsOf(ctx context.Context, d scim.Key, users []string) ([][]scim.GroupRef, error) {
	if s.fails {
		panic("the disk is gone")
	}
	return s.Ledger.GroupsOf(ctx, d, users)
}

// A request is one line of the log (rule D8). Of a write that has happened it is
// the one that committed with it, though the answer failed: it says what
// changed. What failed then is told to the operator's Logger and to OnRequest.
func TestD8ARequestIsOneLine(t *testing.T) {
	store := &wordlessStore{Ledger: newManaged(scim.CoreTypes(), nil)}
	w := newWorld(t, store, nil)
	user := w.addUser(t, ours, "ada@example.com", "")
	group := w.addGroup(t, ours, "team", "", user)
	lines := func() int {
		entries, err := store.Requests(t.Context(), ours.Key(), 1000)
		require.NoError(t, err)
		return len(entries)
	}
	for _, c := range []struct {
		request ask
		logged  int // the status in the log
	}{
		{ask{method: "PUT", target: "/Groups/" + group, body: `{"displayName":"other","members":[{"value":"` + user + `"}]}`}, 200},
		{ask{method: "PATCH", target: "/Groups/" + group + "?attributes=members", body: onePatch("replace", "displayName", `"third"`)}, 200},
		{ask{method: "GET", target: "/Groups/" + group}, 500},
		{ask{method: "GET", target: "/Users/" + user}, 500},
		{ask{method: "PATCH", target: "/Users/" + user, body: `{`}, 400},
		{ask{method: "DELETE", target: "/Users/nobody"}, 404},
	} {
		before := lines()
		w.logged()
		store.fails = true
		a := c.request.do(t, w)
		store.fails = false
		require.Equal(t, before+1, lines(), c.request)
		told := w.logged()
		require.Len(t, told, 1)
		require.Equal(t, a.Code, told[0].Status, "OnRequest is told what was answered")
		entries, err := store.Requests(t.Context(), ours.Key(), 1)
		require.NoError(t, err)
		require.Equal(t, c.logged, entries[0].Status, c.request)
		if c.logged == 200 {
			require.Equal(t, http.StatusInternalServerError, a.Code, c.request)
			require.NotEmpty(t, entries[0].Changed, "the line of the write")
			require.Equal(t, entries[0].Changed, told[0].Changed)
		}
	}
}
