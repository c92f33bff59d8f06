package main

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// How the application's database came to be, one step a version.
var (
	//go:embed schema.sql
	schemaSQL string
	//go:embed scim.sql
	scimSQL string
)

// openDatabase opens the application's database, a file for its owner alone, and
// brings it up to date. A transaction takes the one lock for writers when it begins,
// so that what it has read stays true until it writes.
func openDatabase(ctx context.Context, file string) (*sql.DB, error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	path, err := filepath.Abs(file)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+
		"?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_pragma=busy_timeout(10000)")
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, db); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", file, err), db.Close())
	}
	return db, nil
}

func migrate(ctx context.Context, db *sql.DB) error {
	return inTx(ctx, db, func(tx *sql.Tx) error {
		var version int
		if err := tx.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version); err != nil {
			return err
		}
		for i, step := range []string{schemaSQL, scimSQL} {
			if i < version {
				continue
			}
			if _, err := tx.ExecContext(ctx, step+fmt.Sprintf("\nPRAGMA user_version = %d;", i+1)); err != nil {
				return err
			}
		}
		return nil
	})
}

// inTx runs f in a transaction and commits if it returns nil.
func inTx(ctx context.Context, db *sql.DB, f func(tx *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// A queryer reads rows: the database, or a transaction of it.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}
