package scim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/memstore"
)

// A slowClient takes an answer piece by piece, each when the test lets it.
type slowClient struct {
	*httptest.ResponseRecorder
	waits chan struct{} // the handler waits for the client
	takes chan struct{} // the client takes a piece; closed: all of them
	most  int           // bytes of a piece
}

func newSlowClient() *slowClient {
	return &slowClient{ResponseRecorder: httptest.NewRecorder(), waits: make(chan struct{}, 1000), takes: make(chan struct{})}
}

func (c *slowClient) Write(b []byte) (int, error) {
	c.most = max(c.most, len(b))
	c.waits <- struct{}{}
	<-c.takes
	return c.ResponseRecorder.Write(b)
}

// crowd makes a group of many members, and returns its id and one of theirs.
func (w *world) crowd(t testing.TB, many int) (group, member string) {
	t.Helper()
	ids := make([]string, many)
	for i := range ids {
		ids[i] = fmt.Sprint("member-", i)
		r, err := scim.CoreTypes().New(ours.Key(), "User").ID(ids[i]).Set("userName", ids[i]+"@example.com").Resource()
		require.NoError(t, err)
		_, err = w.store.Create(t.Context(), r)
		require.NoError(t, err)
	}
	return w.addGroup(t, ours, "crowd", "", ids...), ids[many/2]
}

// A client that reads a large group slowly, or stops reading, holds a piece of
// it and nothing else: every other request goes on, writes to the same group
// and its end included. What it then reads is whole.
func TestASlowClientHoldsNothing(t *testing.T) {
	const many, piece = 5000, 64 << 10
	for _, target := range []string{"/Groups/%s", "/Groups", "/Groups?attributes=members"} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			store := newManaged(scim.CoreTypes(), nil)
			w := newWorld(t, store, nil)
			group, member := w.crowd(t, many)
			if target == "/Groups/%s" {
				target = fmt.Sprintf(target, group)
			}
			slow := newSlowClient()
			request := ask{method: "GET", target: target}.request(t, nil)
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				w.ServeHTTP(slow, request)
			}()
			<-slow.waits

			others := make(chan struct{})
			go func() {
				defer close(others)
				path := "/Groups/" + group
				newcomer := w.addUser(t, ours, "new@example.com", "")
				w.get(t, path).must(t, http.StatusOK)
				ask{method: "PATCH", target: path, body: onePatch("add", "members", `[{"value":"`+newcomer+`"}]`)}.do(t, w).must(t, http.StatusNoContent)
				ask{method: "PATCH", target: path, body: onePatch("remove", `members[value eq "`+member+`"]`, "")}.do(t, w).must(t, http.StatusNoContent)
				ask{method: "DELETE", target: "/Users/" + member}.do(t, w).must(t, http.StatusNoContent)
				ask{method: "PUT", target: path, body: `{"displayName":"few","members":[{"value":"` + newcomer + `"}]}`}.do(t, w).must(t, http.StatusOK)
				ask{method: "DELETE", target: path}.do(t, w).must(t, http.StatusNoContent)
			}()
			select {
			case <-others:
			case <-time.After(time.Minute):
				t.Fatal("somebody waits for the slow client")
			}
			select {
			case <-answered:
				t.Fatal("the answer was not sent piece by piece")
			default:
			}
			close(slow.takes)
			<-answered
			require.Equal(t, http.StatusOK, slow.Code)
			require.LessOrEqual(t, slow.most, piece, "what waits is bounded")
			var doc struct {
				Members   []any
				Resources []struct{ Members []any }
			}
			require.NoError(t, json.Unmarshal(slow.Body.Bytes(), &doc))
			for _, r := range doc.Resources {
				doc.Members = r.Members
			}
			require.NotEmpty(t, doc.Members, "what was read before the group was gone")
			if _, ok := store.(*memstore.Store); ok { // a database is read part by part
				require.GreaterOrEqual(t, len(doc.Members), many-1, "the group as it was when reading began; who is deleted need not be shown")
			}
		})
	}
}

// A long list is sent piece by piece too, however it is asked for.
func TestALongListIsSentInPieces(t *testing.T) {
	search := `{"schemas":["` + searchURN + `"],"count":300}`
	onWorlds(t, func(t *testing.T, w *world) {
		for i := range 300 {
			w.addUser(t, ours, fmt.Sprintf("u%d@example.com", i), "")
		}
		for _, list := range []ask{
			{method: "GET", target: "/Users?count=300"},
			{method: "GET", target: "/?count=300"},
			{method: "GET", target: "/?count=300&sortBy=userName"},
			{method: "POST", target: "/Users/.search", body: search},
			{method: "POST", target: "/.search", body: search},
		} {
			slow := newSlowClient()
			close(slow.takes)
			w.ServeHTTP(slow, list.request(t, nil))
			require.LessOrEqual(t, slow.most, 64<<10, list.target)
			require.Greater(t, slow.Body.Len(), slow.most, list.target)
			var doc struct{ Resources []any }
			require.NoError(t, json.Unmarshal(slow.Body.Bytes(), &doc))
			require.Len(t, doc.Resources, 300)
		}
	})
}

// A goneClient takes one piece of an answer.
type goneClient struct {
	*httptest.ResponseRecorder
	writes int
}

func (c *goneClient) Write(b []byte) (int, error) {
	if c.writes++; c.writes > 1 {
		return 0, errors.New("broken pipe")
	}
	return c.ResponseRecorder.Write(b)
}

// A countingStore counts the members that are read.
type countingStore struct {
	scim.Ledger
	read int
}

func (s *countingStore) Members(ctx context.Context, group scim.Ref) iter.Seq2[scim.Member, error] {
	return func(yield func(scim.Member, error) bool) {
		for m, err := range s.Ledger.Members(ctx, group) {
			s.read++
			if !yield(m, err) {
				return
			}
		}
	}
}

// Where a client is gone nothing more is read for it. It is not the service's
// failure, and one line in the log.
func TestAClientThatIsGoneIsNotReadFor(t *testing.T) {
	const many = 5000
	store := &countingStore{Ledger: newManaged(scim.CoreTypes(), nil)}
	var errs bytes.Buffer
	w := newWorld(t, store, func(cfg *scim.Config) { cfg.Logger = slog.New(slog.NewTextHandler(&errs, nil)) })
	group, _ := w.crowd(t, many)
	store.read = 0
	w.logged()
	gone := &goneClient{ResponseRecorder: httptest.NewRecorder()}
	require.PanicsWithValue(t, http.ErrAbortHandler, func() { w.ServeHTTP(gone, ask{method: "GET", target: "/Groups/" + group}.request(t, nil)) },
		"the connection must not look as if the answer were whole")
	require.Equal(t, 2, gone.writes)
	require.Less(t, store.read, many/2)
	require.Empty(t, errs.String())
	log := w.logged()
	require.Len(t, log, 1)
	require.Equal(t, http.StatusOK, log[0].Status)
	entries, err := store.Requests(t.Context(), ours.Key(), 1)
	require.NoError(t, err)
	require.Equal(t, log[0].ID, entries[0].ID)
}

// Where an answer breaks off in the middle, because the store fails, the
// connection ends, and log and OnRequest have one line about it.
func TestAnAnswerThatBreaksOffIsLogged(t *testing.T) {
	const many = 2000
	store := &brittleStore{Ledger: newManaged(scim.CoreTypes(), nil)}
	var errs bytes.Buffer
	w := newWorld(t, store, func(cfg *scim.Config) { cfg.Logger = slog.New(slog.NewTextHandler(&errs, nil)) })
	group, _ := w.crowd(t, many)
	w.logged()
	for _, target := range []string{"/Groups/" + group, "/Groups"} {
		store.breaksAfter = many / 2
		require.PanicsWithValue(t, http.ErrAbortHandler, func() {
			w.ServeHTTP(httptest.NewRecorder(), ask{method: "GET", target: target}.request(t, nil))
		})
		log := w.logged()
		require.Len(t, log, 1)
		require.Equal(t, http.StatusInternalServerError, log[0].Status)
		entries, err := store.Requests(t.Context(), ours.Key(), 2)
		require.NoError(t, err)
		require.Equal(t, log[0].ID, entries[0].ID)
		require.NotEqual(t, log[0].ID, entries[1].ID)
		require.Contains(t, errs.String(), "the disk is gone")
		errs.Reset()
	}
}
