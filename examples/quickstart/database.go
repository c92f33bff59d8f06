package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
	"github.com/muster-id/scim/memstore"
	"github.com/muster-id/scim/sqlstore"
)

// A storage is what -store says.
type storage string

// inMemory is the storage that ends with the process.
const inMemory storage = "memory"

// Set implements [flag.Value].
func (s *storage) Set(value string) error {
	scheme, _, isURL := strings.Cut(value, "://")
	switch {
	case value == "":
		return errors.New("it is memory, a file, or a postgres:// URL; leave the flag out for " + defaultStore)
	case isURL && !storage(value).isPostgreSQL():
		return fmt.Errorf("there is no store for %s://; it is memory, a file, or a postgres:// URL", scheme)
	}
	*s = storage(value)
	return nil
}

// String returns the storage for people, without a password.
func (s *storage) String() string {
	if !s.isPostgreSQL() {
		return string(*s)
	}
	u, err := url.Parse(string(*s))
	if err != nil {
		return "PostgreSQL"
	}
	return u.Scheme + "://" + u.Host + u.Path // a query may have a password too
}

func (s storage) isPostgreSQL() bool {
	return strings.HasPrefix(string(s), "postgres://") || strings.HasPrefix(string(s), "postgresql://")
}

// tokenFile returns where the tokens are kept unless -token-file says it: beside
// what they open, if that outlives the process.
func (s storage) tokenFile() string {
	switch {
	case s == inMemory || s == "":
		return ""
	case s.isPostgreSQL():
		s = defaultStore
	}
	return strings.TrimSuffix(string(s), ".db") + ".tokens.json"
}

// A database is the application's database, which has the library's tables
// beside its own.
type database struct {
	*sql.DB
	store directory.Storage
}

// openDatabase opens the storage and makes the tables that are missing.
func openDatabase(ctx context.Context, s storage, logger *slog.Logger) (*database, error) {
	driver, dsn, dialect := "sqlite", ":memory:", sqlstore.SQLite
	switch {
	case s == inMemory:
	case s.isPostgreSQL():
		driver, dsn, dialect = "pgx", string(s), sqlstore.PostgreSQL
	default:
		if err := claim(string(s)); err != nil {
			return nil, fmt.Errorf("-store: %w", err)
		}
		path, err := filepath.Abs(string(s))
		if err != nil {
			return nil, fmt.Errorf("-store: %w", err)
		}
		dsn = "file:" + (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath() +
			"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)&_txlock=immediate"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, fmt.Errorf("-store %s: it cannot be opened: %w", &s, err)
	}
	const connections = 20
	db.SetMaxOpenConns(connections)
	d := &database{DB: db}
	if s == inMemory {
		// Here the library keeps what is its own in Go's memory, and the
		// application's tables live as long as the one connection.
		db.SetMaxOpenConns(1)
		d.store = memstore.New(scim.CoreTypes(), nil)
	} else {
		opts := &sqlstore.Options{Logger: logger}
		if err = sqlstore.Migrate(ctx, db, dialect, opts); err == nil {
			d.store, err = sqlstore.New(ctx, db, dialect, scim.CoreTypes(), opts)
		}
	}
	if err == nil {
		_, err = db.ExecContext(ctx, peopleTable)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("-store %s: %w", &s, err), db.Close())
	}
	return d, nil
}

// Close writes what the store has not written yet, and closes the database.
func (d *database) Close() error {
	var err error
	if store, ok := d.store.(*sqlstore.Store); ok {
		err = store.Close()
	}
	d.settle()
	return errors.Join(err, d.DB.Close())
}

// settle lets SQLite leave one file behind, without its log. A transaction whose
// context ends is rolled back by database/sql in the background, and its
// connection is given up; it is the last one that closes in good order that
// takes the log away.
func (d *database) settle() {
	const patience, look = 5 * time.Second, time.Millisecond
	for end := time.Now().Add(patience); d.Stats().InUse > 0 && time.Now().Before(end); {
		time.Sleep(look)
	}
	_ = d.PingContext(context.Background()) // a database that is gone has nothing to take away
}

// claim makes the file of a database, for its owner alone: it will hold the names
// and emails of people. SQLite gives the same mode to the files beside it.
func claim(file string) error {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w; name a file in a directory that exists", err)
	case err != nil:
		return err
	}
	info, err := f.Stat()
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a file; name one that is, or is not there yet", file)
	case info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows": // whose permissions are no modes
		return fmt.Errorf("%s is open to others (mode %04o), and it holds what is known about people; chmod 600 it", file, info.Mode().Perm())
	}
	return nil
}
