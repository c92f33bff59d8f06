package sqltest

import (
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// SQLiteDSN names a file as package sqlstore wants it opened.
func SQLiteDSN(file string) string {
	return "file:" + (&url.URL{Path: file}).EscapedPath() + "?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)&_txlock=immediate"
}

// SQLite returns a new database in a file that Close removes, and its name.
func SQLite() (db *sql.DB, dsn string, err error) {
	shared.Lock()
	defer shared.Unlock()
	folder, err := tempFolder()
	if err != nil {
		return nil, "", fmt.Errorf("sqltest: %w", err)
	}
	shared.folders = append(shared.folders, folder)
	file := filepath.Join(folder, "scim.db")
	db, err = OpenSQLite(file)
	return db, SQLiteDSN(file), err
}

// OpenSQLite opens a file.
func OpenSQLite(file string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", SQLiteDSN(file))
	if err != nil {
		return nil, fmt.Errorf("sqltest: %w", err)
	}
	db.SetMaxOpenConns(16)
	db.SetMaxIdleConns(4)
	return db, nil
}
