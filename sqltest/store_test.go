package sqltest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
	"github.com/muster-id/scim/sqlstore"
	"github.com/muster-id/scim/sqltest"
)

func user(t testing.TB, id string) *scim.Resource {
	t.Helper()
	return resource(t, scim.CoreTypes(), "User", id, map[string]any{"userName": id + "@acme.example", "externalId": "ext-" + id})
}

// recordedOn is onEach for tests that look at the database too.
func recordedOn(t *testing.T, opts *sqlstore.Options, test func(t *testing.T, name string, store *sqlstore.Store, db *sql.DB, r *sqltest.Recorder)) {
	t.Helper()
	for _, name := range sqltest.Stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, db, recorder, err := sqltest.NewRecorded(name, scim.CoreTypes(), opts, "")
			if errors.Is(err, sqltest.ErrNoPostgreSQL) && os.Getenv("CI") != "true" {
				t.Skip(err)
			}
			require.NoError(t, err)
			t.Cleanup(func() { _ = db.Close() })
			test(t, name, store, db, recorder)
		})
	}
}

// A host's own table is written in the transaction of the request: with it, or
// not at all.
func TestHostWritesInTheTransaction(t *testing.T) {
	t.Parallel()
	recordedOn(t, nil, func(t *testing.T, name string, store *sqlstore.Store, db *sql.DB, _ *sqltest.Recorder) {
		ctx := t.Context()
		table := fmt.Sprintf("host_%d", time.Now().UnixNano())
		_, err := db.ExecContext(ctx, "CREATE TABLE "+table+" (id TEXT)")
		require.NoError(t, err)
		refused := errors.New("refused")
		for _, c := range []struct {
			id   string
			err  error
			rows int
		}{{"1", refused, 0}, {"1", nil, 1}} {
			err := store.Do(ctx, "acme", func(ctx context.Context, tx scim.Tx) error {
				_, err := tx.Create(ctx, user(t, c.id))
				require.NoError(t, err)
				own, ok := sqlstore.Tx(ctx)
				require.True(t, ok)
				_, err = own.ExecContext(ctx, "INSERT INTO "+table+" VALUES ('x')")
				require.NoError(t, err)
				// What the context sees is the transaction, others see nothing.
				_, err = store.Get(ctx, user(t, c.id).Ref(), scim.GetOptions{})
				require.NoError(t, err)
				_, err = store.Get(t.Context(), user(t, c.id).Ref(), scim.GetOptions{})
				require.ErrorIs(t, err, scim.ErrNotFound)
				return c.err
			})
			require.ErrorIs(t, err, c.err)
			var rows int
			require.NoError(t, db.QueryRowContext(ctx, "SELECT count(*) FROM "+table).Scan(&rows))
			require.Equal(t, c.rows, rows)
		}
		_, ok := sqlstore.Tx(ctx)
		require.False(t, ok)
	})
}

// A transaction is joined by its own tenant, refused to another, and over when
// it is over.
func TestTransactionsAreOneTenants(t *testing.T) {
	t.Parallel()
	onEach(t, scim.CoreTypes(), nil, func(t *testing.T, store *sqlstore.Store) {
		var ended scim.Tx
		require.NoError(t, store.Do(t.Context(), "acme", func(ctx context.Context, tx scim.Tx) error {
			ended = tx
			require.NoError(t, store.Do(ctx, "acme", func(_ context.Context, inner scim.Tx) error {
				require.Same(t, tx, inner)
				return nil
			}))
			require.Error(t, store.Do(ctx, "globex", func(context.Context, scim.Tx) error { return nil }))
			_, err := store.Get(ctx, scim.Ref{Directory: scim.Key{Tenant: "globex", Directory: "okta"}, Type: "User", ID: "1"}, scim.GetOptions{})
			require.Error(t, err)
			require.NotErrorIs(t, err, scim.ErrNotFound)
			return nil
		}))
		_, err := ended.Create(t.Context(), user(t, "1"))
		require.Error(t, err)
		require.Panics(t, func() {
			_ = store.Do(t.Context(), "acme", func(ctx context.Context, tx scim.Tx) error {
				_, _ = tx.Create(ctx, user(t, "1"))
				panic("host")
			})
		})
		create(t, store, user(t, "1")) // the panic left neither a lock nor a row
	})
}

// A hook that writes around its transaction is told what it waits for, and other
// tenants do not notice (where the database has more than one writer).
func TestWaitingForOneselfEnds(t *testing.T) {
	t.Parallel()
	onEach(t, scim.CoreTypes(), &sqlstore.Options{LockTimeout: 100 * time.Millisecond}, func(t *testing.T, store *sqlstore.Store) {
		require.NoError(t, store.Do(t.Context(), "acme", func(context.Context, scim.Tx) error {
			_, err := store.Create(t.Context(), user(t, "1"))
			require.ErrorIs(t, err, scim.ErrUnavailable)
			require.ErrorContains(t, err, "waits for itself")
			return nil
		}))
		create(t, store, user(t, "1"))
	})
}

// The lock is the database's: a second process waits as a second goroutine does,
// and numbers of events have no gaps.
func TestReplicasTakeTurns(t *testing.T) {
	t.Parallel()
	recordedOn(t, nil, func(t *testing.T, name string, store *sqlstore.Store, db *sql.DB, r *sqltest.Recorder) {
		other := reopened(t, name, db, r, scim.CoreTypes())
		var wg sync.WaitGroup
		const each = 20
		for i, s := range []*sqlstore.Store{store, other} {
			for j := range 2 {
				wg.Go(func() {
					for k := range each {
						err := s.Do(context.Background(), "acme", func(ctx context.Context, tx scim.Tx) error {
							u, err := tx.Create(ctx, user(t, fmt.Sprintf("%d-%d-%d", i, j, k)))
							if err == nil {
								err = tx.Append(ctx, &scim.Event{Type: scim.UserCreated, Directory: acme, Data: u})
							}
							return err
						})
						if err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
		wg.Wait()
		events, err := other.Events(t.Context(), "acme", 0, 1000)
		require.NoError(t, err)
		require.Len(t, events, 4*each)
		for i, e := range events {
			require.Equal(t, uint64(i+1), e.Seq)
		}
		page, err := store.List(t.Context(), &scim.Query{Directory: acme, Type: scim.CoreTypes().Type("User"), StartIndex: 1, Count: 1})
		require.NoError(t, err)
		require.Equal(t, 4*each, page.Total)
	})
}

// A database that is away makes the service unavailable, and nothing of it shows
// in an answer.
func TestUnavailable(t *testing.T) {
	t.Parallel()
	t.Run("PostgreSQL loses a connection", func(t *testing.T) {
		t.Parallel()
		s := newService(t, "postgres", 10)
		s.db.SetMaxOpenConns(1)
		err := s.store.Do(t.Context(), "acme", func(ctx context.Context, tx scim.Tx) error {
			own, _ := sqlstore.Tx(ctx)
			_, _ = own.ExecContext(ctx, "SELECT pg_terminate_backend(pg_backend_pid())")
			_, err := tx.Create(ctx, user(t, "1"))
			return err
		})
		require.ErrorIs(t, err, scim.ErrUnavailable)
		s.do("GET", "/Users/u1", "") // and it is back
	})
	for _, name := range sqltest.Stores {
		t.Run(name+" is closed", func(t *testing.T) {
			t.Parallel()
			s := newService(t, name, 10)
			require.NoError(t, s.db.Close())
			_, err := s.store.Get(t.Context(), user(t, "u1").Ref(), scim.GetOptions{})
			require.ErrorIs(t, err, scim.ErrUnavailable)
			_, err = s.store.Create(t.Context(), user(t, "new"))
			require.ErrorIs(t, err, scim.ErrUnavailable)
		})
	}
	t.Run("another process writes to SQLite", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "scim.db")
		db, err := sql.Open("sqlite", strings.Replace(sqltest.SQLiteDSN(file), "busy_timeout(5000)", "busy_timeout(20)", 1))
		require.NoError(t, err)
		t.Cleanup(func() { _ = db.Close() })
		require.NoError(t, sqlstore.Migrate(t.Context(), db, sqlstore.SQLite, nil))
		store, err := sqlstore.New(t.Context(), db, sqlstore.SQLite, scim.CoreTypes(), nil)
		require.NoError(t, err)
		create(t, store, user(t, "1"))
		other, err := db.BeginTx(t.Context(), nil) // immediate: it locks
		require.NoError(t, err)
		_, err = store.Create(t.Context(), user(t, "2"))
		require.ErrorIs(t, err, scim.ErrUnavailable)
		_, err = store.Get(t.Context(), user(t, "1").Ref(), scim.GetOptions{})
		require.NoError(t, err, "readers do not wait")
		require.NoError(t, other.Rollback())
		create(t, store, user(t, "2"))
	})
}

// New changes nothing, and says what is missing.
func TestNewSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for parameter, want := range map[string]string{
		"_pragma=journal_mode(WAL)": "journal_mode(WAL)", "_pragma=synchronous(FULL)": "synchronous(FULL)", "_pragma=busy_timeout(5000)": "busy_timeout(5000)",
	} {
		file := filepath.Join(t.TempDir(), "scim.db")
		dsn := strings.Replace(sqltest.SQLiteDSN(file), parameter, map[string]string{
			"_pragma=journal_mode(WAL)": "_pragma=journal_mode(DELETE)", "_pragma=synchronous(FULL)": "_pragma=synchronous(NORMAL)", "_pragma=busy_timeout(5000)": "_pragma=busy_timeout(0)",
		}[parameter], 1)
		db, err := sql.Open("sqlite", dsn)
		require.NoError(t, err)
		t.Cleanup(func() { _ = db.Close() })
		_, err = sqlstore.New(ctx, db, sqlstore.SQLite, scim.CoreTypes(), nil)
		require.ErrorContains(t, err, "call Migrate")
		require.NoError(t, sqlstore.Migrate(ctx, db, sqlstore.SQLite, nil))
		_, err = sqlstore.New(ctx, db, sqlstore.SQLite, scim.CoreTypes(), nil)
		require.ErrorContains(t, err, want)
	}
	for _, opts := range []*sqlstore.Options{{Prefix: `x"; DROP TABLE y`}, {Prefix: "Upper"}, {Schema: "s"}} {
		_, err := sqlstore.New(ctx, new(sql.DB), sqlstore.SQLite, scim.CoreTypes(), opts)
		require.ErrorContains(t, err, "Options.")
	}
}

// Several processes that start at once migrate once, and once more changes
// nothing. Stores of different prefixes share nothing.
func TestMigrateAtOnce(t *testing.T) {
	t.Parallel()
	for _, name := range sqltest.Stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			open, dialect := func() (*sql.DB, error) { db, _, err := sqltest.SQLite(); return db, err }, sqlstore.SQLite
			if name == "postgres" {
				open, dialect = sqltest.PostgreSQL, sqlstore.PostgreSQL
			}
			db, err := open()
			if errors.Is(err, sqltest.ErrNoPostgreSQL) && os.Getenv("CI") != "true" {
				t.Skip(err)
			}
			require.NoError(t, err)
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					if err := sqlstore.Migrate(t.Context(), db, dialect, &sqlstore.Options{Prefix: "one_"}); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			require.NoError(t, sqlstore.Migrate(t.Context(), db, dialect, &sqlstore.Options{Prefix: "two_"}))
			one, err := sqlstore.New(t.Context(), db, dialect, scim.CoreTypes(), &sqlstore.Options{Prefix: "one_"})
			require.NoError(t, err)
			two, err := sqlstore.New(t.Context(), db, dialect, scim.CoreTypes(), &sqlstore.Options{Prefix: "two_"})
			require.NoError(t, err)
			create(t, one, user(t, "1"))
			_, err = two.Get(t.Context(), user(t, "1").Ref(), scim.GetOptions{})
			require.ErrorIs(t, err, scim.ErrNotFound)
		})
	}
}

// Behind PgBouncer in transaction mode nothing may be prepared: all requests
// work in the modes that pgx has for that.
func TestWithoutPreparedStatements(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"exec", "simple_protocol", "describe_exec"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			store, db, recorder, err := sqltest.NewRecorded("postgres", scim.CoreTypes(), nil, "default_query_exec_mode="+mode)
			if errors.Is(err, sqltest.ErrNoPostgreSQL) && os.Getenv("CI") != "true" {
				t.Skip(err)
			}
			require.NoError(t, err)
			t.Cleanup(func() { _ = db.Close() })
			s := serve(t, store, db, recorder, 200)
			for _, q := range requests {
				s.do(q.method, q.path, q.body)
			}
			events, err := store.Events(t.Context(), acme.Tenant, 0, 100)
			require.NoError(t, err)
			require.NotEmpty(t, events)
			entries, err := store.Requests(t.Context(), acme, 100)
			require.NoError(t, err)
			require.Len(t, entries, len(requests))
			s.fillDirectories("postgres")
			for _, q := range directoryRequests {
				require.NoError(t, q.do(t.Context(), store), q.name)
			}
		})
	}
}

// The request log is read as it was written, whichever of its lines are
// buffered, and nobody who reads it waits for a transaction.
func TestRequestsDoesNotWait(t *testing.T) {
	t.Parallel()
	onEach(t, scim.CoreTypes(), &sqlstore.Options{LockTimeout: 10 * time.Second}, func(t *testing.T, store *sqlstore.Store) {
		line := func(path string) *scim.LogEntry {
			return &scim.LogEntry{Directory: acme, Method: http.MethodGet, Path: path, Time: time.Now()}
		}
		paths := func(ctx context.Context, limit int) (all []string) {
			lines, err := store.Requests(ctx, acme, limit)
			require.NoError(t, err)
			for _, l := range lines {
				all = append(all, l.Path)
			}
			return all
		}
		outside := t.Context()
		require.NoError(t, store.Log(outside, line("first")))
		require.NoError(t, store.Flush(outside))
		require.NoError(t, store.Log(outside, line("second")))
		require.NoError(t, store.Log(outside, &scim.LogEntry{Directory: scim.Key{Tenant: acme.Tenant, Directory: "other"}, Path: "another directory's"}))
		require.NoError(t, store.Do(outside, acme.Tenant, func(ctx context.Context, tx scim.Tx) error {
			require.Equal(t, []string{"second", "first"}, paths(outside, 10))
			require.NoError(t, tx.Log(ctx, line("third")))
			require.Equal(t, []string{"third", "second", "first"}, paths(ctx, 10))
			require.NoError(t, store.Log(outside, line("fourth")))
			require.Equal(t, []string{"fourth", "second", "first"}, paths(outside, 10))
			return nil
		}))
		want := []string{"fourth", "third", "second", "first"}
		for limit := range 6 {
			require.Equal(t, want[:min(limit, 4)], append([]string{}, paths(outside, limit)...))
		}
		require.NoError(t, store.Flush(outside))
		require.Equal(t, want, paths(outside, 10))
	})
}

// A line is seen once and stays, while it moves from the buffer to the table.
func TestRequestsWhileLinesAreWritten(t *testing.T) {
	t.Parallel()
	onEach(t, scim.CoreTypes(), nil, func(t *testing.T, store *sqlstore.Store) {
		const all = 100
		var logged atomic.Int64
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range all {
				err := store.Log(t.Context(), &scim.LogEntry{Directory: acme, Status: i})
				logged.Add(1)
				if err = errors.Join(err, store.Flush(t.Context())); err != nil {
					t.Error(err)
				}
			}
		})
		defer wg.Wait()
		for n := 0; n < all; {
			n = int(logged.Load())
			lines, err := store.Requests(t.Context(), acme, 2*all)
			require.NoError(t, err)
			require.GreaterOrEqual(t, len(lines), n, "a line is not seen")
			for i, l := range lines {
				require.Equal(t, len(lines)-1-i, l.Status)
			}
		}
	})
}

// A user and a group with the same id are members of groups of their own.
func TestGroupsOfAnIDThatTwoHave(t *testing.T) {
	t.Parallel()
	onEach(t, scim.CoreTypes(), nil, func(t *testing.T, store *sqlstore.Store) {
		ctx, types := t.Context(), scim.CoreTypes()
		create(t, store, user(t, "x"))
		for _, id := range []string{"x", "of the user", "of the group"} {
			create(t, store, resource(t, types, "Group", id, map[string]any{"displayName": id}))
		}
		for id, typ := range map[string]string{"of the user": "User", "of the group": "Group"} {
			_, err := store.ChangeMembers(ctx, scim.Ref{Directory: acme, Type: "Group", ID: id}, scim.MemberChange{Add: []scim.Member{{Value: "x", Type: typ}}}, 0)
			require.NoError(t, err)
		}
		check := func(want string) {
			for _, ids := range [][]string{{"x"}, {"x", "nobody"}} {
				groups, err := store.GroupsOf(ctx, acme, ids)
				require.NoError(t, err)
				require.Len(t, groups[0], 1)
				require.Equal(t, want, groups[0][0].ID)
			}
		}
		check("of the user")
		create(t, store, user(t, "alone"))
		create(t, store, resource(t, types, "Group", "alone", map[string]any{"displayName": "alone"}))
		_, err := store.ChangeMembers(ctx, scim.Ref{Directory: acme, Type: "Group", ID: "of the group"}, scim.MemberChange{Add: []scim.Member{{Value: "alone", Type: "Group"}}}, 0)
		require.NoError(t, err)
		for _, ids := range [][]string{{"alone"}, {"alone", "nobody"}} {
			groups, err := store.GroupsOf(ctx, acme, ids)
			require.NoError(t, err)
			require.Empty(t, groups[0], "the membership is that of the group")
		}
		for _, ids := range [][]string{{"x"}, {"x", "nobody"}} {
			require.NoError(t, store.Do(ctx, acme.Tenant, func(ctx context.Context, tx scim.Tx) error {
				states, err := tx.UserStates(ctx, acme, ids)
				require.NoError(t, err)
				require.Len(t, states[0].Groups, 1)
				require.Equal(t, "of the user", states[0].Groups[0].ID)
				return nil
			}))
		}
		require.NoError(t, store.Delete(ctx, user(t, "x").Ref(), 0))
		check("of the group")
	})
}

// What is kept is bounded: events by tenant, lines of the log by directory.
func TestRetention(t *testing.T) {
	t.Parallel()
	onEach(t, scim.CoreTypes(), &sqlstore.Options{Events: 100, Requests: 50}, func(t *testing.T, store *sqlstore.Store) {
		ctx := t.Context()
		u := create(t, store, user(t, "1"))
		const all = 1000
		for range all {
			require.NoError(t, store.Do(ctx, "acme", func(ctx context.Context, tx scim.Tx) error {
				return errors.Join(tx.Append(ctx, &scim.Event{Type: scim.UserUpdated, Directory: acme, Data: u}),
					tx.Log(ctx, &scim.LogEntry{Directory: acme, Method: http.MethodGet, Time: time.Now()}))
			}))
		}
		events, err := store.Events(ctx, "acme", 0, 2*all)
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(events), 100)
		require.Less(t, len(events), 100+200)
		require.Equal(t, uint64(all), events[len(events)-1].Seq)
		lines, err := store.Requests(ctx, acme, 2*all)
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(lines), 50)
		require.Less(t, len(lines), all)
	})
}

// Long values are found and kept unique: what an index cannot hold is there as
// a digest.
func TestLongValues(t *testing.T) {
	t.Parallel()
	onEach(t, scim.CoreTypes(), nil, func(t *testing.T, store *sqlstore.Store) {
		types := scim.CoreTypes()
		long := strings.Repeat("É", 4000)
		create(t, store, resource(t, types, "User", "1", map[string]any{"userName": long + "x", "externalId": long + "x", "displayName": long, "emails": []map[string]any{{"value": long + "@example.com"}}}))
		create(t, store, resource(t, types, "User", "2", map[string]any{"userName": long + "y", "externalId": long + "y", "displayName": long, "emails": []map[string]any{{"value": long + "@example.org"}}}))
		_, err := store.Create(t.Context(), resource(t, types, "User", "3", map[string]any{"userName": strings.ToLower(long) + "X"}))
		var unique *scim.UniquenessError
		require.ErrorAs(t, err, &unique)
		require.Equal(t, "userName", unique.Attribute)
		for text, want := range map[string]int{
			`userName eq "` + long + `X"`: 1, `userName eq "` + long + `"`: 0, `externalId eq "` + long + `y"`: 1,
			`displayName eq "` + long + `"`: 2, `emails.value eq "` + long + `@example.com"`: 1, `userName sw "` + long + `"`: 2, `userName co "` + long + `y"`: 1,
		} {
			page, err := store.List(t.Context(), query(t, types.Type("User"), text))
			require.NoError(t, err)
			require.Equal(t, want, page.Total, text[:20])
		}
	})
}

// A change of a schema takes effect in what filters find once it is reindexed.
func TestReindex(t *testing.T) {
	t.Parallel()
	for _, name := range sqltest.Stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before, after := device(t, false), device(t, true)
			old, db, recorder, err := sqltest.NewRecorded(name, before, nil, "")
			if errors.Is(err, sqltest.ErrNoPostgreSQL) && os.Getenv("CI") != "true" {
				t.Skip(err)
			}
			require.NoError(t, err)
			t.Cleanup(func() { _ = db.Close() })
			for id, serial := range map[string]string{"1": "S-1", "2": "s-1"} {
				create(t, old, resource(t, before, "Device", id, map[string]any{"serial": serial}))
			}
			store := reopened(t, name, db, recorder, after)
			err = store.Reindex(t.Context(), acme)
			require.ErrorIs(t, err, scim.ErrUniqueness)
			require.NoError(t, old.Delete(t.Context(), scim.Ref{Directory: acme, Type: "Device", ID: "2"}, 0))
			require.NoError(t, store.Reindex(t.Context(), acme))
			page, err := store.List(t.Context(), query(t, after.Type("Device"), `serial eq "s-1"`))
			require.NoError(t, err)
			require.Equal(t, 1, page.Total)
			_, err = store.Create(t.Context(), resource(t, after, "Device", "3", map[string]any{"serial": "s-1"}))
			require.ErrorIs(t, err, scim.ErrUniqueness)
		})
	}
}

// device returns types with one of the host's, whose serial number is unique
// without case or neither.
func device(t *testing.T, unique bool) *scim.Types {
	t.Helper()
	characteristics := `"caseExact":true`
	if unique {
		characteristics = `"uniqueness":"server"`
	}
	types, err := attr.ParseTypes([]byte(`{"name":"Device","endpoint":"/Devices","schema":"urn:example:Device"}`),
		[]byte(`{"id":"urn:example:Device","name":"Device","attributes":[{"name":"serial","type":"string",`+characteristics+`}]}`))
	require.NoError(t, err)
	registry, err := scim.CoreTypes().With(types...)
	require.NoError(t, err)
	return registry
}

// reopened returns another store over the tables of a recorded one.
func reopened(t *testing.T, name string, db *sql.DB, r *sqltest.Recorder, types *scim.Types) *sqlstore.Store {
	t.Helper()
	opts, dialect := &sqlstore.Options{}, sqlstore.SQLite
	if name == "postgres" {
		dialect = sqlstore.PostgreSQL
		for _, s := range r.Take() {
			if _, rest, ok := strings.Cut(s.SQL, "FROM test"); ok {
				number, _, _ := strings.Cut(rest, ".")
				opts.Schema = "test" + number
			}
		}
	}
	store, err := sqlstore.New(t.Context(), db, dialect, types, opts)
	require.NoError(t, err)
	return store
}

func query(t testing.TB, typ *scim.ResourceType, text string) *scim.Query {
	t.Helper()
	e, _, err := filter.Parse(text, typ.Type, filter.Options{})
	require.NoError(t, err)
	return &scim.Query{Directory: acme, Type: typ, Filter: e, StartIndex: 1, Count: 10}
}
