package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/sqltest"
)

// A newStore names an empty store that is for the test alone.
type newStore func(t *testing.T) string

// durable are the stores that outlive the process.
var durable = map[string]newStore{
	"sqlite":   func(t *testing.T) string { return filepath.Join(t.TempDir(), "app.db") },
	"postgres": newPostgreSQL,
}

// newPostgreSQL returns the URL of an empty database of a server that is the
// tests' own. Where PostgreSQL is not installed the test is skipped, but not in
// CI, where everything must be.
func newPostgreSQL(t *testing.T) string {
	t.Helper()
	server, err := sqltest.PostgreSQL()
	if errors.Is(err, sqltest.ErrNoPostgreSQL) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	require.NoError(t, err)
	var name, folder string
	row := server.QueryRowContext(t.Context(), `SELECT 'quickstart' || (SELECT count(*) FROM pg_database), current_setting('unix_socket_directories')`)
	require.NoError(t, row.Scan(&name, &folder))
	_, err = server.ExecContext(t.Context(), "CREATE DATABASE "+name)
	require.NoError(t, err)
	t.Chdir(t.TempDir()) // where the tokens go
	return "postgres:///" + name + "?user=test&host=" + folder
}

func onEveryStore(t *testing.T, f func(t *testing.T, store newStore)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) { f(t, func(*testing.T) string { return string(inMemory) }) })
	onDurableStores(t, f)
}

func onDurableStores(t *testing.T, f func(t *testing.T, store newStore)) {
	t.Helper()
	for name, store := range durable {
		t.Run(name, func(t *testing.T) { f(t, store) })
	}
}

// open opens a store beside the program, or after it.
func open(t *testing.T, store string) *database {
	t.Helper()
	db, err := openDatabase(t.Context(), storage(store), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// Everything is there after a restart: what the provider said, the application's
// own table, and the tokens.
func TestRestart(t *testing.T) {
	onDurableStores(t, func(t *testing.T, store newStore) {
		same := store(t)
		p := start(t, same, "-json")
		first := p.reached()
		status, user := first.send(t, http.MethodPost, "/Users", ada)
		require.Equal(t, http.StatusCreated, status)
		p.end()

		person, ok, err := NewApp(open(t, same).DB, 0, newLogger(io.Discard)).Person(t.Context(), "acme", "ADA@example.com")
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, Person{ID: user["id"].(string), Org: "acme", Name: "Ada", Email: "ada@example.com", Access: true, Roles: []string{"viewer"}}, person)

		p = start(t, same, "-json")
		again := p.reached()
		require.Equal(t, first.Token, again.Token)
		status, found := again.send(t, http.MethodGet, "/Users/"+user["id"].(string), "")
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, user["userName"], found["userName"])
		require.Equal(t, user["meta"].(map[string]any)["version"], found["meta"].(map[string]any)["version"])
		status, _ = again.send(t, http.MethodDelete, "/Users/"+user["id"].(string), "")
		require.Equal(t, http.StatusNoContent, status)
		p.end()
		require.Contains(t, p.errs.String(), "was deleted: no access")
		person, _, err = NewApp(open(t, same).DB, 0, newLogger(io.Discard)).Person(t.Context(), "acme", "ada@example.com")
		require.NoError(t, err)
		require.False(t, person.Access)
	})
}

// serveAcme serves an organization of an application until the test ends.
func serveAcme(t *testing.T, db *database, app scim.Provisioner) reached {
	t.Helper()
	service, err := newService(db.store, app, newLogger(io.Discard), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	o := &options{orgs: []organization{{name: "acme", domains: []string{"example.com"}}}}
	_, err = setUpAll(t.Context(), o, db.store, service, map[string]string{})
	require.NoError(t, err)
	server := httptest.NewServer(scim.Mount(mountPath, service.Handler(), nil))
	t.Cleanup(server.Close)
	return reached{BaseURL: server.URL + mountPath, Token: o.orgs[0].token}
}

// A stumbler writes its table and then fails, while it is told to.
type stumbler struct {
	*App
	stumbles bool
}

func (s *stumbler) Provision(ctx context.Context, a *scim.Account) (string, error) {
	id, err := s.App.Provision(ctx, a)
	if err == nil && s.stumbles {
		err = errors.New("the disk of the application is full")
	}
	return id, err
}

// The application's table and the library's commit together: an error of the
// Provisioner leaves neither changed.
func TestProvisionerErrorLeavesNothing(t *testing.T) {
	onDurableStores(t, func(t *testing.T, store newStore) {
		db := open(t, store(t))
		var log buffer
		app := &stumbler{NewApp(db.DB, 0, newLogger(&log)), false}
		acme := serveAcme(t, db, app)
		person := func() (Person, bool) {
			p, ok, err := app.Person(t.Context(), "acme", "ada@example.com")
			require.NoError(t, err)
			return p, ok
		}

		app.stumbles = true
		status, _ := acme.send(t, http.MethodPost, "/Users", ada)
		require.Equal(t, http.StatusInternalServerError, status)
		_, ok := person()
		require.False(t, ok, "the application does not know whom the provider does not know")
		_, page := acme.send(t, http.MethodGet, "/Users", "")
		require.EqualValues(t, 0, page["totalResults"])

		app.stumbles = false
		status, user := acme.send(t, http.MethodPost, "/Users", ada)
		require.Equal(t, http.StatusCreated, status)
		before, ok := person()
		require.True(t, ok)
		events, err := db.store.Events(t.Context(), "acme", 0, 100)
		require.NoError(t, err)

		app.stumbles = true
		leaves := `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"active","value":false}]}`
		status, _ = acme.send(t, http.MethodPatch, "/Users/"+user["id"].(string), leaves)
		require.Equal(t, http.StatusInternalServerError, status)
		after, _ := person()
		require.Equal(t, before, after)
		_, found := acme.send(t, http.MethodGet, "/Users/"+user["id"].(string), "")
		require.Equal(t, user, found)
		now, err := db.store.Events(t.Context(), "acme", 0, 100)
		require.NoError(t, err)
		require.Len(t, now, len(events))

		app.stumbles = false
		status, _ = acme.send(t, http.MethodPatch, "/Users/"+user["id"].(string), leaves)
		require.Equal(t, http.StatusOK, status)
		after, _ = person()
		require.False(t, after.Access)
	})
}

// A forgetful application ends before what it owes is done.
type forgetful struct{ *App }

func (forgetful) Committed(context.Context, *scim.Account) error { return errors.New("a crash") }

// What a crash left undone after the commit is done at the next start.
func TestCommittedIsRepeatedAtTheStart(t *testing.T) {
	onDurableStores(t, func(t *testing.T, store newStore) {
		same := store(t)
		db := open(t, same)
		status, _ := serveAcme(t, db, forgetful{NewApp(db.DB, 0, newLogger(io.Discard))}).send(t, http.MethodPost, "/Users", ada)
		require.Equal(t, http.StatusCreated, status)
		owed := func() int {
			all, err := db.store.Undelivered(t.Context(), "acme", time.Now(), 10)
			require.NoError(t, err)
			return len(all)
		}
		require.Equal(t, 1, owed())
		_, err := db.ExecContext(t.Context(), `UPDATE scim_outbox SET since = since - 3600000000000`) // an hour
		require.NoError(t, err)

		p := start(t, same, "-json")
		p.reached()
		require.Eventually(t, func() bool { return owed() == 0 }, 10*time.Second, 10*time.Millisecond)
		p.end()
		require.Equal(t, 1, strings.Count(p.errs.String(), "acme: Ada <ada@example.com> was"), p.errs.String())
	})
}

// RFC 9865: cursors are offered, and lead through every page.
func TestCursors(t *testing.T) {
	onEveryStore(t, func(t *testing.T, store newStore) {
		p := start(t, store(t), "-json")
		acme := p.reached()
		for _, name := range []string{"ada", "alan", "grace"} {
			status, _ := acme.send(t, http.MethodPost, "/Users", strings.ReplaceAll(ada, "ada@", name+"@"))
			require.Equal(t, http.StatusCreated, status)
		}
		_, config := acme.send(t, http.MethodGet, "/ServiceProviderConfig", "")
		require.Equal(t, true, config["pagination"].(map[string]any)["cursor"])
		seen := map[any]bool{}
		for cursor := ""; ; {
			status, page := acme.send(t, http.MethodGet, "/Users?count=2&cursor="+cursor, "")
			require.Equal(t, http.StatusOK, status)
			for _, r := range page["Resources"].([]any) {
				seen[r.(map[string]any)["userName"]] = true
			}
			next, more := page["nextCursor"].(string)
			if !more {
				break
			}
			cursor = next
		}
		require.Len(t, seen, 3)
		p.end()
	})
}

// entries returns the names and modes of what is in a folder.
func entries(t *testing.T, folder string) map[string]os.FileMode {
	t.Helper()
	all := map[string]os.FileMode{}
	found, err := os.ReadDir(folder)
	require.NoError(t, err)
	for _, e := range found {
		info, err := e.Info()
		require.NoError(t, err)
		all[e.Name()] = info.Mode().Perm()
	}
	return all
}

// The default keeps everything in two files in the working directory, for their
// owner alone, and closes the database properly.
func TestDefaultStore(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	ctx, stop := context.WithCancel(t.Context())
	r, w := io.Pipe()
	var errs buffer
	status := make(chan int, 1)
	go func() {
		status <- run(ctx, []string{"-addr", "127.0.0.1:0"}, w, &errs)
		_ = w.Close()
	}()
	var text strings.Builder
	chunk := make([]byte, 4096)
	for !strings.Contains(text.String(), "What the application is told follows.") {
		n, err := r.Read(chunk)
		require.NoError(t, err, errs.String())
		text.Write(chunk[:n])
	}
	require.Contains(t, text.String(), "kept in muster-quickstart.db and the tokens in muster-quickstart.tokens.json")
	if runtime.GOOS != "windows" { // whose permissions are no modes
		require.NotEmpty(t, entries(t, folder))
		for name, mode := range entries(t, folder) {
			require.Equal(t, os.FileMode(0o600), mode, name)
		}
	}
	stop()
	_, err := io.Copy(io.Discard, r)
	require.NoError(t, err)
	require.Zero(t, <-status, errs.String())
	left := entries(t, folder)
	require.Len(t, left, 2, "%v", left)
	require.Contains(t, left, "muster-quickstart.db")
	require.Contains(t, left, "muster-quickstart.tokens.json")
}

func TestDemoLeavesNothingBehind(t *testing.T) {
	folder, temporary := t.TempDir(), t.TempDir()
	t.Chdir(folder)
	t.Setenv("TMPDIR", temporary)
	status, stdout, stderr := runToEnd(t, "-demo")
	require.Zero(t, status, stderr)
	require.Contains(t, stdout, "As expected")
	require.Empty(t, entries(t, folder))
	require.Empty(t, entries(t, temporary))
}

// A second demo would find the people of the first, and says what to do.
func TestDemoNeedsAnEmptyStore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app.db")
	status, _, stderr := runToEnd(t, "-demo", "-store", file)
	require.Zero(t, status, stderr)
	status, _, stderr = runToEnd(t, "-demo", "-store", file)
	require.Equal(t, 1, status)
	require.Contains(t, stderr, "is there already; -demo needs a store in which nothing is")
}

func TestStoresThatAreWrong(t *testing.T) {
	folder := t.TempDir()
	other := filepath.Join(folder, "other.db")
	require.NoError(t, os.WriteFile(other, []byte(strings.Repeat("not a database ", 100)), 0o600))
	readable := filepath.Join(folder, "readable.db")
	require.NoError(t, os.WriteFile(readable, nil, 0o600))
	require.NoError(t, os.Chmod(readable, 0o644))
	for store, says := range map[string]string{
		folder:                                   "-store: ",
		filepath.Join(folder, "missing", "a.db"): "a directory that exists",
		other:                                    "-store " + other + ": ",
		readable:                                 "chmod 600 it",
		"postgres://me:secret@127.0.0.1:1/app?connect_timeout=2": "-store postgres://127.0.0.1:1/app: ",
	} {
		status, stdout, stderr := runToEnd(t, "-json", "-addr", "127.0.0.1:0", "-store", store, "-token-file", filepath.Join(folder, "tokens.json"))
		require.Equal(t, 1, status, store)
		require.Empty(t, stdout, store)
		require.Contains(t, stderr, says)
		require.NotContains(t, stderr, "secret")
	}
}

// A file is a file, whatever it is called: neither memory nor a query.
func TestFilesWithNamesThatMeanSomething(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, file := range []string{":memory:", "a b?mode=memory#x.db", "100%.db"} {
		p := start(t, file, "-json")
		status, _ := p.reached().send(t, http.MethodPost, "/Users", ada)
		require.Equal(t, http.StatusCreated, status)
		p.end()
		info, err := os.Stat(file)
		require.NoError(t, err)
		require.NotZero(t, info.Size(), file)
	}
}
