package sqltest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
	"github.com/muster-id/scim/sqlstore"
	"github.com/muster-id/scim/sqltest"
)

// tables are those of the first migration.
var tables = []string{"tenants", "resources", "indexed_values", "members", "counts", "accounts", "bindings", "events", "outbox", "requests"}

// earlier makes tables of a prefix as the first migration has left them, with what
// is in those of another prefix.
func earlier(t *testing.T, db *sql.DB, dialect sqlstore.Dialect, prefix, from string) {
	t.Helper()
	files, err := fs.ReadDir(sqlstore.Migrations(dialect), ".")
	require.NoError(t, err)
	require.Greater(t, len(files), 1)
	text, err := fs.ReadFile(sqlstore.Migrations(dialect), files[0].Name())
	require.NoError(t, err)
	statements := strings.Split(strings.NewReplacer("/*schema*/", "", "scim_", prefix).Replace(string(text)), ";\n")
	statements = append(statements, "CREATE TABLE "+prefix+"schema_version (version INTEGER NOT NULL PRIMARY KEY)", "INSERT INTO "+prefix+"schema_version VALUES (1)")
	for _, statement := range statements {
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	for _, table := range tables {
		names := columnsOf(t, db, prefix+table)
		_, err := db.ExecContext(t.Context(), "INSERT INTO "+prefix+table+" ("+names+") SELECT "+names+" FROM "+from+table)
		require.NoError(t, err)
	}
}

// columnsOf returns the names of a table's columns.
func columnsOf(t *testing.T, db *sql.DB, table string) string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT * FROM "+table)
	require.NoError(t, err)
	defer func() { _ = rows.Close() }() // its error is that of rows.Err
	columns, err := rows.Columns()
	require.NoError(t, errors.Join(err, rows.Err()))
	return strings.Join(columns, ", ")
}

// A database of the first version is brought up to date with what is in it, and all
// that is new works: at once, except that accounts are found by email and by the
// host's id once they are written again or reindexed.
func TestMigrateFromTheFirstVersion(t *testing.T) {
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
			ctx := t.Context()
			model, old := &sqlstore.Options{Prefix: "model_"}, &sqlstore.Options{Prefix: "first_"}
			require.NoError(t, sqlstore.Migrate(ctx, db, dialect, model))
			source, err := sqlstore.New(ctx, db, dialect, scim.CoreTypes(), model)
			require.NoError(t, err)
			const many = 450 // more than are reindexed at once
			accounts := make([]*scim.AccountState, many)
			for i := range accounts {
				accounts[i] = state(t, fmt.Sprintf("u%03d", i), fmt.Sprint("h", i), fmt.Sprintf("User%d@acme.example", i))
				accounts[i].Grants = []scim.Grant{{Role: "editor", Source: scim.FromGroup, Group: "g"}}
			}
			accounts[7].Held = scim.HeldForDomain
			accounts[8].Deleted, accounts[8].ExternalID = true, "gone"
			accounts[9].HostID, accounts[9].Email = "", ""
			require.NoError(t, source.Do(ctx, acme.Tenant, func(ctx context.Context, tx scim.Tx) error {
				u, err := tx.Create(ctx, user(t, "u001"))
				for _, a := range accounts {
					err = errors.Join(err, tx.PutAccount(ctx, a))
				}
				return errors.Join(err, tx.Append(ctx, &scim.Event{Type: scim.UserCreated, Directory: acme, Data: u, Time: time.Now()}),
					tx.Log(ctx, &scim.LogEntry{Directory: acme, Path: "/Users", Time: time.Now()}))
			}))
			earlier(t, db, dialect, "first_", "model_")

			_, err = sqlstore.New(ctx, db, dialect, scim.CoreTypes(), old)
			require.ErrorContains(t, err, "call Migrate")
			require.NoError(t, sqlstore.Migrate(ctx, db, dialect, old))
			require.NoError(t, sqlstore.Migrate(ctx, db, dialect, old))
			store, err := sqlstore.New(ctx, db, dialect, scim.CoreTypes(), old)
			require.NoError(t, err)

			_, err = store.Get(ctx, user(t, "u001").Ref(), scim.GetOptions{})
			require.NoError(t, err)
			all, err := store.Accounts(ctx, acme, "", 2*many)
			require.NoError(t, err)
			require.Equal(t, accounts, all)
			waiting, err := ids(store.Waiting(ctx, acme, "", 10))
			require.NoError(t, err)
			require.Equal(t, "u007", waiting, "who was held before waits")
			events, err := store.Events(ctx, acme.Tenant, 0, 10)
			require.NoError(t, err)
			require.Len(t, events, 1)
			require.Equal(t, "u001", events[0].Data.ID())
			tally, err := store.Tally(ctx, acme.Tenant)
			require.NoError(t, err)
			require.Equal(t, new(scim.Tally), tally)

			// Before it is reindexed.
			require.Empty(t, people(t, store, "h1", "user2@acme.example"))
			put(t, store, state(t, "u002", "h2", "user2@acme.example"))
			require.Equal(t, "u002", people(t, store, "h1", "user2@acme.example"))

			require.NoError(t, store.Reindex(ctx, acme))
			require.Equal(t, "u001 u002", people(t, store, "h1", "user2@acme.example"))
			require.Equal(t, "u449", people(t, store, "", "user449@acme.example"))
			require.Equal(t, "u008", people(t, store, "h8", ""), "of a deleted user too")
			require.NoError(t, store.Do(ctx, acme.Tenant, func(ctx context.Context, tx scim.Tx) error {
				gone, err := tx.Departed(ctx, acme, "gone", "")
				require.NoError(t, err)
				require.Equal(t, accounts[8], gone)
				require.NoError(t, tx.PutTally(ctx, &scim.Tally{Revision: 1}))
				_, err = store.PutRecord(ctx, record(acme.Tenant, directory.KindDirectory, "okta"))
				return errors.Join(err, tx.Append(ctx, &scim.Event{Type: scim.DirectoryCreated, Directory: acme, Name: "okta"}))
			}))
			events, err = store.Events(ctx, acme.Tenant, 1, 10)
			require.NoError(t, err)
			require.Len(t, events, 1)
			require.Nil(t, events[0].Data)
			require.Equal(t, "okta", events[0].Name)
			tenants, err := store.Tenants(ctx, "", 10)
			require.NoError(t, err)
			require.Equal(t, []string{acme.Tenant}, tenants)

			// An earlier version that runs on for a while leaves keys that are not
			// right any more.
			_, err = db.ExecContext(ctx, "UPDATE first_accounts SET email = 'Moved@acme.example', host_id = '', held = 'x' WHERE user_id = 'u003'")
			require.NoError(t, err)
			require.NoError(t, store.Reindex(ctx, acme))
			require.Equal(t, "u003", people(t, store, "h3", "moved@acme.example"))
			require.Empty(t, people(t, store, "h3", "user3@acme.example"))
			waiting, err = ids(store.Waiting(ctx, acme, "", 10))
			require.NoError(t, err)
			require.Equal(t, "u003 u007", waiting)
		})
	}
}
