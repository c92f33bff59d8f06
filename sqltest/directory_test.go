package sqltest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
	"github.com/muster-id/scim/sqlstore"
	"github.com/muster-id/scim/sqltest"
)

func record(tenant string, kind directory.Kind, id string) *directory.Record {
	return &directory.Record{RecordKey: directory.RecordKey{Tenant: tenant, Kind: kind, ID: id}, Data: []byte(`{"name":"x"}`)}
}

// state returns the account of a user, as the host was told of it.
func state(t testing.TB, id, hostID, email string) *scim.AccountState {
	t.Helper()
	return &scim.AccountState{User: user(t, id).Ref(), HostID: hostID, Email: email}
}

func put(t testing.TB, store *sqlstore.Store, all ...*scim.AccountState) {
	t.Helper()
	require.NoError(t, store.Do(t.Context(), acme.Tenant, func(ctx context.Context, tx scim.Tx) error {
		for _, a := range all {
			if err := tx.PutAccount(ctx, a); err != nil {
				return err
			}
		}
		return nil
	}))
}

func ids(all []*scim.AccountState, err error) (string, error) {
	texts := make([]string, len(all))
	for i, a := range all {
		texts[i] = a.User.ID
	}
	return strings.Join(texts, " "), err
}

// people returns the ids of the accounts that are found.
func people(t testing.TB, store scim.AccountReader, hostID, email string) string {
	t.Helper()
	found, err := ids(store.People(t.Context(), acme.Tenant, hostID, email))
	require.NoError(t, err)
	return found
}

// directoryRequests are what package directory asks of the store.
var directoryRequests = []struct {
	name string
	do   func(context.Context, *sqlstore.Store) error
}{
	{"Tally", func(ctx context.Context, s *sqlstore.Store) error { _, err := s.Tally(ctx, acme.Tenant); return err }},
	{"PutTally", func(ctx context.Context, s *sqlstore.Store) error {
		return s.Do(ctx, acme.Tenant, func(ctx context.Context, tx scim.Tx) error {
			t, err := tx.Tally(ctx)
			if err != nil {
				return err
			}
			next := *t
			next.Revision++
			return tx.PutTally(ctx, &next)
		})
	}},
	{"People by email", func(ctx context.Context, s *sqlstore.Store) error {
		_, err := s.People(ctx, acme.Tenant, "", "user7@acme.example")
		return err
	}},
	{"People by both", func(ctx context.Context, s *sqlstore.Store) error {
		_, err := s.People(ctx, acme.Tenant, "h-u7", "user8@acme.example")
		return err
	}},
	{"Waiting", func(ctx context.Context, s *sqlstore.Store) error {
		_, err := s.Waiting(ctx, acme, "", 100)
		return err
	}},
	{"Waiting, a next page", func(ctx context.Context, s *sqlstore.Store) error {
		_, err := s.Waiting(ctx, acme, "u3", 2)
		return err
	}},
	{"Accounts", func(ctx context.Context, s *sqlstore.Store) error {
		_, err := s.Accounts(ctx, acme, "u3", 10)
		return err
	}},
	{"Record", func(ctx context.Context, s *sqlstore.Store) error {
		_, err := s.Record(ctx, record(acme.Tenant, directory.KindToken, "r7").RecordKey)
		return err
	}},
	{"Records", func(ctx context.Context, s *sqlstore.Store) error {
		_, err := s.Records(ctx, acme.Tenant, directory.KindToken, "r3", 2)
		return err
	}},
	{"PutRecord", func(ctx context.Context, s *sqlstore.Store) error {
		_, err := s.PutRecord(ctx, record(acme.Tenant, directory.KindToken, "new"))
		return err
	}},
	{"PutRecord again", func(ctx context.Context, s *sqlstore.Store) error {
		r := record(acme.Tenant, directory.KindToken, "new")
		r.Version = 1
		_, err := s.PutRecord(ctx, r)
		return err
	}},
	{"PutRecord, too late", func(ctx context.Context, s *sqlstore.Store) error {
		_, err := s.PutRecord(ctx, record(acme.Tenant, directory.KindToken, "new"))
		if errors.Is(err, scim.ErrVersion) {
			return nil
		}
		return fmt.Errorf("PutRecord: %w", err)
	}},
	{"DeleteRecord", func(ctx context.Context, s *sqlstore.Store) error {
		return s.DeleteRecord(ctx, record(acme.Tenant, directory.KindToken, "new").RecordKey)
	}},
	{"Claim", func(ctx context.Context, s *sqlstore.Store) error {
		_, err := s.Claim(ctx, "acme.example", acme.Tenant)
		return err
	}},
	{"Unclaim", func(ctx context.Context, s *sqlstore.Store) error { return s.Unclaim(ctx, "acme.example", acme.Tenant) }},
	{"Tenants", func(ctx context.Context, s *sqlstore.Store) error { _, err := s.Tenants(ctx, "tenant1", 5); return err }},
	{"Prune", func(ctx context.Context, s *sqlstore.Store) error {
		n, err := s.Prune(ctx, acme.Tenant, directory.Prune{Events: 1000, Requests: time.Now(), Limit: 10})
		if err == nil && n != 20 {
			err = fmt.Errorf("Prune removed %d", n)
		}
		return err
	}},
	{"Reindex", func(ctx context.Context, s *sqlstore.Store) error {
		return s.Reindex(ctx, scim.Key{Tenant: acme.Tenant, Directory: "fill"})
	}},
}

// usedIndexes are those that a request must use: others have its order too, but are
// as long as the directory.
var usedIndexes = map[string][]string{
	"People by email":      {"scim_accounts_email"},
	"People by both":       {"scim_accounts_email", "scim_accounts_host"},
	"Waiting":              {"scim_accounts_waiting"},
	"Waiting, a next page": {"scim_accounts_waiting"},
}

// table returns how a table is called in SQL of one's own.
func (s *service) table(name, table string) string {
	if name == "postgres" {
		return schemaOf(s) + "." + table
	}
	return table
}

// scanOfDirectories is scan for what package directory asks.
var scanOfDirectories = regexp.MustCompile(scan.String() + `|Seq Scan on (scim_records|scim_claims|scim_tenants)`)

// fillDirectories writes what directoryRequests ask for.
func (s *service) fillDirectories(name string) {
	s.t.Helper()
	require.NoError(s.t, s.store.Do(s.t.Context(), acme.Tenant, func(ctx context.Context, tx scim.Tx) error {
		for i := range 100 {
			r := record(acme.Tenant, directory.KindToken, fmt.Sprintf("r%d", i))
			if _, err := s.store.PutRecord(ctx, r); err != nil {
				return err
			}
			if _, err := s.store.Claim(ctx, fmt.Sprintf("d%d.example", i), acme.Tenant); err != nil {
				return err
			}
			if err := errors.Join(tx.Append(ctx, &scim.Event{Type: scim.TokenCreated, Directory: acme, Name: r.ID}),
				tx.Log(ctx, &scim.LogEntry{Directory: acme, Time: time.Now()})); err != nil {
				return err
			}
		}
		// Accounts as an earlier version has left them.
		own, _ := sqlstore.Tx(ctx)
		if err := tx.PutAccount(ctx, &scim.AccountState{User: scim.Ref{Directory: scim.Key{Tenant: acme.Tenant, Directory: "fill"}, Type: "User", ID: "u1"}, HostID: "h", Email: "old@acme.example"}); err != nil {
			return err
		}
		if _, err := tx.People(ctx, acme.Tenant, "x", ""); err != nil { // writes it
			return err
		}
		_, err := own.ExecContext(ctx, "UPDATE "+s.table(name, "scim_accounts")+" SET email_key = NULL, host_key = NULL WHERE directory = 'fill'")
		return err
	}))
}

// What package directory asks reads no whole table, also where there is much of
// everybody else's.
func TestNoStatementOfDirectoriesScansATable(t *testing.T) {
	t.Parallel()
	for _, name := range sqltest.Stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, name, 1000)
			ctx := t.Context()
			s.fillDirectories(name)
			s.multiply(name, 50)
			everywhere := func(statement string) {
				_, err := s.db.ExecContext(ctx, strings.ReplaceAll(statement, "scim_", s.table(name, "scim_")))
				require.NoError(t, err)
			}
			everywhere(`INSERT INTO scim_claims (name, tenant) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT 'c' || i, 'other' FROM n`)
			everywhere(`INSERT INTO scim_tenants (tenant, seq, delivery, change) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT 't' || i, 0, 0, 0 FROM n`)
			_, err := s.db.ExecContext(ctx, "ANALYZE")
			require.NoError(t, err)
			for _, q := range directoryRequests {
				s.Take()
				require.NoError(t, q.do(ctx, s.store), q.name)
				statements := s.Take()
				require.NotEmpty(t, statements)
				var plans strings.Builder
				for _, statement := range statements {
					plan := s.plan(name, statement)
					plans.WriteString(plan)

					require.NotRegexp(t, scanOfDirectories, plan, "%s: %s\n%v\n%s", q.name, statement.SQL, statement.Args, plan)
				}
				for _, index := range usedIndexes[q.name] {
					require.Contains(t, plans.String(), index, q.name)
				}
			}
			// The test notices.
			require.Regexp(t, scanOfDirectories, s.plan(name, sqltest.Statement{SQL: "SELECT data FROM " + s.table(name, "scim_records") + " WHERE data LIKE '%x'"}))
		})
	}
}

// A tally comes with the lock and goes with the counters, and what is read outside
// of a transaction is one statement without one.
func TestStatementsOfDirectories(t *testing.T) {
	t.Parallel()
	recordedOn(t, nil, func(t *testing.T, _ string, store *sqlstore.Store, _ *sql.DB, r *sqltest.Recorder) {
		ctx := t.Context()
		put(t, store, state(t, "1", "h", "a@acme.example"))
		_, err := store.PutRecord(ctx, record(acme.Tenant, directory.KindToken, "1"))
		require.NoError(t, err)
		work := func(tally bool) []sqltest.Statement {
			r.Take()
			require.NoError(t, store.Do(ctx, acme.Tenant, func(ctx context.Context, tx scim.Tx) error {
				if err := tx.Append(ctx, &scim.Event{Type: scim.TokenCreated, Directory: acme}); err != nil || !tally {
					return err
				}
				was, err := tx.Tally(ctx)
				if err != nil {
					return err
				}
				return tx.PutTally(ctx, &scim.Tally{Revision: was.Revision + 1})
			}))
			return r.Take()
		}
		require.Len(t, work(true), len(work(false)))
		work(true)
		for what, read := range map[string]func() error{
			"Tally": func() error {
				tally, err := store.Tally(ctx, acme.Tenant)
				require.Equal(t, &scim.Tally{Revision: 2}, tally)
				return err
			},
			"People": func() error { _, err := store.People(ctx, acme.Tenant, "h", "a@acme.example"); return err },
			"Record": func() error {
				_, err := store.Record(ctx, record(acme.Tenant, directory.KindToken, "1").RecordKey)
				return err
			},
			"Records": func() error { _, err := store.Records(ctx, acme.Tenant, directory.KindToken, "", 10); return err },
		} {
			r.Take()
			require.NoError(t, read())
			statements := r.Take()
			require.Len(t, statements, 1, what)
			require.NotContains(t, statements[0].SQL, "FOR UPDATE")
		}
		// What is not asked for is not written either.
		for _, statement := range work(false) {
			require.NotContains(t, statement.SQL, "tally =")
		}
		tally, err := store.Tally(ctx, acme.Tenant)
		require.NoError(t, err)
		require.EqualValues(t, 2, tally.Revision)
	})
}

// Of transactions that race for a name one gets it, in whatever processes they run,
// and the others learn who.
func TestClaimIsRacedFor(t *testing.T) {
	t.Parallel()
	recordedOn(t, nil, func(t *testing.T, name string, store *sqlstore.Store, db *sql.DB, r *sqltest.Recorder) {
		create(t, store, user(t, "1"))
		_, err := store.Get(t.Context(), user(t, "1").Ref(), scim.GetOptions{})
		require.NoError(t, err)
		stores := []*sqlstore.Store{store, reopened(t, name, db, r, scim.CoreTypes())}
		refused := errors.New("refused")
		for round := range 20 {
			claimed := fmt.Sprintf("%d.example", round)
			type outcome struct {
				tenant, holder string
				err            error
			}
			all := make(chan outcome)
			const tenants = 6
			for i := range tenants {
				go func() {
					o := outcome{tenant: fmt.Sprintf("t%d", i)}
					o.err = stores[i%2].Do(context.Background(), o.tenant, func(ctx context.Context, _ scim.Tx) (err error) {
						o.holder, err = stores[i%2].Claim(ctx, claimed, o.tenant)
						if err == nil && i == round%tenants { // who does not get it after all
							err = refused
						}
						return err
					})
					all <- o
				}()
			}
			holders := map[string]int{}
			won := 0
			for range tenants {
				o := <-all
				if errors.Is(o.err, refused) {
					continue
				}
				require.NoError(t, o.err)
				holders[o.holder]++
				if o.holder == o.tenant {
					won++
				}
			}
			require.Equal(t, 1, won)
			require.Len(t, holders, 1, "two tenants believe that they have the name")
			for holder := range holders {
				is, err := store.Claim(t.Context(), claimed, holder)
				require.NoError(t, err)
				require.Equal(t, holder, is)
				require.NoError(t, store.Unclaim(t.Context(), claimed, "somebody else"))
				is, err = store.Claim(t.Context(), claimed, "late")
				require.NoError(t, err)
				require.Equal(t, holder, is)
				require.NoError(t, store.Unclaim(t.Context(), claimed, holder))
				is, err = store.Claim(t.Context(), claimed, "late")
				require.NoError(t, err)
				require.Equal(t, "late", is)
			}
		}
	})
}

// Who waits for a name longer than for the lock is told to come back.
func TestClaimDoesNotWaitForever(t *testing.T) {
	t.Parallel()
	onEach(t, scim.CoreTypes(), &sqlstore.Options{LockTimeout: 100 * time.Millisecond}, func(t *testing.T, store *sqlstore.Store) {
		require.NoError(t, store.Do(t.Context(), acme.Tenant, func(ctx context.Context, _ scim.Tx) error {
			_, err := store.Claim(ctx, "acme.example", acme.Tenant)
			require.NoError(t, err)
			_, err = store.Claim(t.Context(), "acme.example", "globex")
			require.ErrorIs(t, err, scim.ErrUnavailable)
			require.ErrorContains(t, err, "was not over after 100ms")
			return nil
		}))
		holder, err := store.Claim(t.Context(), "acme.example", "globex")
		require.NoError(t, err)
		require.Equal(t, acme.Tenant, holder)
	})
}

// Texts that are longer than what an index holds, and those that no database has.
func TestPeopleOfLongAndImpossibleTexts(t *testing.T) {
	t.Parallel()
	onEach(t, scim.CoreTypes(), nil, func(t *testing.T, store *sqlstore.Store) {
		long := strings.Repeat("é", 4000)
		put(t, store, state(t, "1", long+"1", strings.ToUpper(long)+"1@acme.example"), state(t, "2", long+"2", long+"2@acme.example"), state(t, "3", "", ""))
		require.Equal(t, "1", people(t, store, long+"1", ""))
		require.Equal(t, "2", people(t, store, "", scim.FoldEmail(long+"2@acme.example")))
		require.Equal(t, "1 2", people(t, store, long+"2", scim.FoldEmail(long+"1@acme.example")))
		require.Empty(t, people(t, store, long, scim.FoldEmail(long+"@acme.example")))
		require.Empty(t, people(t, store, "", ""))
		for _, impossible := range []string{"\x00", "\xff"} {
			require.Empty(t, people(t, store, impossible, impossible))
			_, err := store.Record(t.Context(), record(acme.Tenant, directory.KindToken, impossible).RecordKey)
			require.ErrorIs(t, err, scim.ErrNotFound)
			_, err = store.PutRecord(t.Context(), record(acme.Tenant, directory.KindToken, impossible))
			require.ErrorContains(t, err, "UTF-8")
			_, err = store.Claim(t.Context(), impossible, acme.Tenant)
			require.ErrorContains(t, err, "UTF-8")
			for _, read := range []func() (string, error){
				func() (string, error) { return ids(store.Accounts(t.Context(), acme, impossible, 10)) },
				func() (string, error) { return ids(store.Waiting(t.Context(), acme, impossible, 10)) },
				func() (string, error) {
					all, err := store.Records(t.Context(), acme.Tenant, directory.KindToken, impossible, 10)
					return strings.Repeat("x", len(all)), err
				},
			} {
				found, err := read()
				require.NoError(t, err)
				require.Empty(t, found)
			}
			require.NoError(t, errors.Join(store.Unclaim(t.Context(), impossible, acme.Tenant),
				store.DeleteRecord(t.Context(), record(acme.Tenant, directory.KindToken, impossible).RecordKey)))
		}
	})
}

// PostgreSQL changes no index where an account changes in what no index has.
func TestAccountsAreUpdatedInPlace(t *testing.T) {
	t.Parallel()
	store := sqltest.Open(t, "postgres", scim.CoreTypes(), nil)
	a := state(t, "1", "h", "a@acme.example")
	put(t, store, a)
	require.NoError(t, store.Do(t.Context(), acme.Tenant, func(ctx context.Context, tx scim.Tx) error {
		own, _ := sqlstore.Tx(ctx)
		for active, want := range []int{0, 1, 2} {
			next := *a
			next.Active = active > 1
			if active > 0 {
				require.NoError(t, tx.PutAccount(ctx, &next))
			}
			require.Equal(t, "1", func() string { found, _ := ids(tx.People(ctx, acme.Tenant, "h", "")); return found }())
			var inPlace int
			require.NoError(t, own.QueryRowContext(ctx, "SELECT coalesce(sum(n_tup_hot_upd), 0) FROM pg_stat_xact_user_tables WHERE relname = 'scim_accounts'").Scan(&inPlace))
			require.Equal(t, want, inPlace)
		}
		return nil
	}))
}

// What is pruned is bounded, of each directory's log the oldest goes first, and
// what is left can still be read in order.
func TestPruneIsBounded(t *testing.T) {
	t.Parallel()
	onEach(t, scim.CoreTypes(), nil, func(t *testing.T, store *sqlstore.Store) {
		ctx := t.Context()
		const each = 5
		directories := []scim.Key{{Tenant: acme.Tenant}, acme, {Tenant: acme.Tenant, Directory: "other"}, {Tenant: "globex", Directory: acme.Directory}}
		write := func(key scim.Key) {
			for i := range each {
				require.NoError(t, store.Do(ctx, key.Tenant, func(ctx context.Context, tx scim.Tx) error {
					return errors.Join(tx.Append(ctx, &scim.Event{Type: scim.TokenCreated, Directory: key, Name: fmt.Sprint(i)}),
						tx.Log(ctx, &scim.LogEntry{Directory: key, Status: i, Time: time.Now()}))
				}))
			}
			require.NoError(t, store.Log(ctx, &scim.LogEntry{Directory: key, Status: each, Time: time.Now()}))
		}
		for _, key := range directories {
			write(key)
		}
		left := func() (all []int) {
			for _, key := range directories {
				lines, err := store.Requests(ctx, key, 100)
				require.NoError(t, err)
				all = append(all, len(lines))
			}
			return all
		}
		prune := func(p directory.Prune) int {
			n, err := store.Prune(ctx, acme.Tenant, p)
			require.NoError(t, err)
			return n
		}
		cut := time.Now().Add(time.Second)
		require.Zero(t, prune(directory.Prune{Limit: 100}))
		require.Zero(t, prune(directory.Prune{Events: 100, Requests: cut}))
		require.Zero(t, prune(directory.Prune{Requests: time.Unix(0, 0).AddDate(-100, 0, 0), Limit: 100}))
		require.Equal(t, []int{6, 6, 6, 6}, left())
		require.Equal(t, 8, prune(directory.Prune{Requests: cut, Limit: 8}), "lines that wait to be written count too")
		require.Equal(t, []int{0, 4, 6, 6}, left())
		lines, err := store.Requests(ctx, acme, 100)
		require.NoError(t, err)
		require.Equal(t, 2, lines[len(lines)-1].Status)
		require.Equal(t, 10, prune(directory.Prune{Requests: cut.AddDate(1000, 0, 0), Limit: 1000}))
		require.Equal(t, []int{0, 0, 0, 6}, left())

		first := func() uint64 {
			events, err := store.Events(ctx, acme.Tenant, 0, 1)
			require.NoError(t, err)
			return events[0].Seq
		}
		require.Equal(t, 3, prune(directory.Prune{Events: 7, Limit: 3}))
		require.EqualValues(t, 4, first())
		require.Equal(t, 4, prune(directory.Prune{Events: 7, Limit: 100}))
		require.Zero(t, prune(directory.Prune{Events: 7, Limit: 100}))
		require.EqualValues(t, 8, first())
		require.NoError(t, store.Do(ctx, acme.Tenant, func(ctx context.Context, tx scim.Tx) error {
			e := &scim.Event{Type: scim.TokenCreated, Directory: acme}
			require.NoError(t, tx.Append(ctx, e))
			require.EqualValues(t, 16, e.Seq)
			n, err := store.Prune(ctx, acme.Tenant, directory.Prune{Events: 1<<64 - 1, Limit: 100})
			require.Equal(t, 9, n, "with what the transaction has written itself")
			return err
		}))
		require.NoError(t, store.Do(ctx, acme.Tenant, func(ctx context.Context, tx scim.Tx) error {
			e := &scim.Event{Type: scim.TokenCreated, Directory: acme}
			require.NoError(t, tx.Append(ctx, e))
			require.EqualValues(t, 17, e.Seq, "numbers go on")
			return nil
		}))
	})
}
