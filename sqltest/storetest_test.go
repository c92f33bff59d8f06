package sqltest_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/sqlstore"
	"github.com/muster-id/scim/sqltest"
	"github.com/muster-id/scim/storetest"
)

// The store keeps the contract of the library. Every case opens the same tables
// again, as a program does that is started again.
func TestStoretest(t *testing.T) {
	t.Parallel()
	kit := &sqlstore.Options{Prefix: "kit_"}
	run := func(t *testing.T, dialect sqlstore.Dialect, open func(*testing.T) *sql.DB) {
		t.Helper()
		require.NoError(t, sqlstore.Migrate(t.Context(), open(t), dialect, kit))
		started := func(t *testing.T, types *scim.Types) *sqlstore.Store {
			t.Helper()
			store, err := sqlstore.New(t.Context(), open(t), dialect, types, kit)
			require.NoError(t, err)
			return store
		}
		var registry *scim.Types
		storetest.Run(t, func(t *testing.T, types *scim.Types) scim.Store {
			registry = types
			return started(t, types)
		}, &storetest.Options{
			Parallel: dialect != sqlstore.SQLite, // which has one writer
			Reopen: func(t *testing.T, store scim.Store) scim.Store {
				require.NoError(t, store.(*sqlstore.Store).Close())
				return started(t, registry)
			},
		})
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "scim.db")
		run(t, sqlstore.SQLite, func(t *testing.T) *sql.DB {
			db, err := sqltest.OpenSQLite(file)
			require.NoError(t, err)
			t.Cleanup(func() { _ = db.Close() })
			return db
		})
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		run(t, sqlstore.PostgreSQL, func(t *testing.T) *sql.DB {
			db, err := sqltest.PostgreSQL()
			if errors.Is(err, sqltest.ErrNoPostgreSQL) && os.Getenv("CI") != "true" {
				t.Skip(err)
			}
			require.NoError(t, err)
			return db
		})
	})
}
