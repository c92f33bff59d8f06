// Package sqltest opens databases for tests of package sqlstore: new SQLite
// files, and schemas of a PostgreSQL server of the test process's own. It is a
// module of its own, so that nobody who embeds the library gets the drivers.
//
// The tests in this module are about SQL. The handler's tests, those of the root
// package, run on these stores too (make test-sql): an overlay adds the file
// testdata/stores_sql_test.go to them, which puts a store of this package in
// the place of memstore.
package sqltest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/sqlstore"
)

// Stores are the databases that New knows.
var Stores = []string{"sqlite", "postgres"}

// New returns an empty store in one of Stores. opts may be nil; its Schema is
// chosen here.
func New(store string, types *scim.Types, opts *sqlstore.Options) (*sqlstore.Store, error) {
	db, dialect, _, own, err := open(store, opts)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := sqlstore.New(ctx, db, dialect, types, own)
	if err == nil && dialect == sqlstore.SQLite {
		// A test process opens very many files.
		runtime.AddCleanup(s, func(db *sql.DB) { _ = db.Close() }, db)
	}
	return s, err
}

// NewRecorded is New with a recorder of what the store sends. parameters are
// added to the data source name, as in "default_query_exec_mode=exec".
func NewRecorded(store string, types *scim.Types, opts *sqlstore.Options, parameters string) (*sqlstore.Store, *sql.DB, *Recorder, error) {
	db, dialect, dsn, own, err := open(store, opts)
	if err != nil {
		return nil, nil, nil, err
	}
	if parameters != "" {
		dsn += " " + parameters
	}
	recorded, recorder := Record(db, dsn)
	s, err := sqlstore.New(context.Background(), recorded, dialect, types, own)
	return s, recorded, recorder, err
}

// open makes an empty database with the tables.
func open(store string, opts *sqlstore.Options) (db *sql.DB, dialect sqlstore.Dialect, dsn string, own *sqlstore.Options, err error) {
	own = new(sqlstore.Options)
	if opts != nil {
		*own = *opts
	}
	switch store {
	case "sqlite":
		dialect = sqlstore.SQLite
		db, dsn, err = SQLite()
	case "postgres":
		dialect = sqlstore.PostgreSQL
		if db, err = PostgreSQL(); err == nil {
			dsn = ClusterDSN()
		}
	default:
		err = fmt.Errorf("sqltest: there is no store %q", store)
	}
	if err != nil {
		return nil, 0, "", nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if dialect == sqlstore.PostgreSQL {
		shared.Lock()
		shared.schemas++
		own.Schema = "test" + strconv.Itoa(shared.schemas)
		shared.Unlock()
		if _, err := db.ExecContext(ctx, "CREATE SCHEMA "+own.Schema); err != nil {
			return nil, 0, "", nil, fmt.Errorf("sqltest: %w", err)
		}
	}
	return db, dialect, dsn, own, sqlstore.Migrate(ctx, db, dialect, own)
}

// Open is New for a test, which it skips where PostgreSQL is not installed,
// unless that is where everything must be: CI.
func Open(t testing.TB, store string, types *scim.Types, opts *sqlstore.Options) *sqlstore.Store {
	t.Helper()
	s, err := New(store, types, opts)
	if errors.Is(err, ErrNoPostgreSQL) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}
