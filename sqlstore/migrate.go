package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

//go:embed migrations
var migrations embed.FS

// Migrations returns the files that make the tables, for hosts that run their
// migrations themselves: SQL, named by number, to be run once each and in order.
// They create tables of the prefix "scim_" wherever the database puts tables.
// Later versions of the library add files and change none. Who runs them notes
// it as [Migrate] does: by a row (version) in the table scim_schema_version.
func Migrations(d Dialect) fs.FS {
	folder, err := fs.Sub(migrations, "migrations/"+d.String())
	if err != nil {
		panic(err) // the name is valid
	}
	return folder
}

// migration is one file.
type migration struct {
	version    int
	name       string
	statements []string
}

func (n names) migrations() ([]migration, error) {
	folder := Migrations(n.Dialect)
	files, err := fs.ReadDir(folder, ".")
	if err != nil {
		return nil, fmt.Errorf("sqlstore: migrations: %w", err)
	}
	var all []migration
	for _, file := range files {
		number, _, _ := strings.Cut(file.Name(), "_")
		version, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("sqlstore: migration %s has no number", file.Name())
		}
		text, err := fs.ReadFile(folder, file.Name())
		if err != nil {
			return nil, fmt.Errorf("sqlstore: migrations: %w", err)
		}
		m := migration{version: version, name: file.Name()}
		replaced := strings.NewReplacer("/*schema*/", n.schema, "scim_", n.prefix).Replace(string(text))
		for statement := range strings.SplitSeq(replaced+"\n", ";\n") {
			if statement = strings.TrimSpace(statement); statement != "" {
				m.statements = append(m.statements, statement)
			}
		}
		all = append(all, m)
	}
	return all, nil
}

// Migrate makes the tables, or brings those of an earlier version up to date:
// it only adds to what is there. Several processes may call it at once. opts are
// those that [New] is given, nil for none. A schema must exist.
func Migrate(ctx context.Context, db *sql.DB, d Dialect, opts *Options) error {
	n, err := newNames(d, opts)
	if err != nil {
		return err
	}
	const attempts = 5 // two processes may create the same table
	for i := 1; ; i++ {
		err := n.migrate(ctx, db)
		if err == nil || i == attempts || ctx.Err() != nil || !errors.Is(failure(err), errConflict) && !isUnavailable(err) {
			return failure(err)
		}
	}
}

func (n names) migrate(ctx context.Context, db *sql.DB) (err error) {
	all, err := n.migrations()
	if err != nil {
		return err
	}
	if version, err := n.version(ctx, db); err == nil && version >= all[len(all)-1].version {
		return nil
	}
	if _, err := db.ExecContext(ctx, n.sql(`CREATE TABLE IF NOT EXISTS @schema_version (version INTEGER NOT NULL PRIMARY KEY)`)); err != nil {
		return fmt.Errorf("sqlstore: migrate: %w", err)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("sqlstore: migrate: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // without effect after the commit
	lock := `LOCK TABLE @schema_version IN EXCLUSIVE MODE`
	if n.Dialect == SQLite {
		lock = `DELETE FROM @schema_version WHERE version < 0` // a write locks
	}
	if _, err := tx.ExecContext(ctx, n.sql(lock)); err != nil {
		return fmt.Errorf("sqlstore: migrate: %w", err)
	}
	done, err := n.version(ctx, tx)
	if err != nil {
		return fmt.Errorf("sqlstore: migrate: %w", err)
	}
	for _, m := range all {
		if m.version <= done {
			continue
		}
		for _, statement := range append(m.statements, n.sql(`INSERT INTO @schema_version (version) VALUES (`+strconv.Itoa(m.version)+`)`)) {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("sqlstore: migration %s: %w", m.name, err)
			}
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("sqlstore: migrate: %w", err)
	}
	return nil
}

// version returns the number of the last migration.
func (n names) version(ctx context.Context, db querier) (version int, err error) {
	err = db.QueryRowContext(ctx, n.sql(`SELECT coalesce(max(version), 0) FROM @schema_version`)).Scan(&version)
	return version, err
}

// check returns an error unless the tables are there.
func (n names) check(ctx context.Context, db *sql.DB) error {
	if err := db.PingContext(ctx); err != nil {
		return fmt.Errorf("sqlstore: the database cannot be reached: %w", failure(err))
	}
	all, err := n.migrations()
	if err != nil {
		return err
	}
	version, err := n.version(ctx, db)
	if err != nil {
		if isUnavailable(err) || ctx.Err() != nil {
			return failure(err)
		}
		return fmt.Errorf("sqlstore: the tables with the prefix %s are not there; call Migrate first: %w", n.schema+n.prefix, err)
	}
	if want := all[len(all)-1].version; version < want {
		return fmt.Errorf("sqlstore: the tables are of version %d and this library needs %d; call Migrate", version, want)
	}
	if n.Dialect == SQLite {
		return checkPragmas(ctx, db)
	}
	return checkPostgreSQL(ctx, db)
}

func checkPostgreSQL(ctx context.Context, db *sql.DB) error {
	var encoding string
	if err := db.QueryRowContext(ctx, `SELECT current_setting('server_encoding')`).Scan(&encoding); err != nil {
		return fmt.Errorf("sqlstore: %w", failure(err))
	}
	if encoding != "UTF8" {
		return fmt.Errorf("sqlstore: the database has the encoding %s; create it with UTF8", encoding)
	}
	return nil
}

// misreads reports whether a version of SQLite is one of those that were found to
// answer queries of this package wrongly.
func misreads(version string) bool { return strings.HasPrefix(version, "3.51.") }

// checkPragmas returns an error that says which parameter of the data source
// name is missing, or that the library is one that cannot be used.
func checkPragmas(ctx context.Context, db *sql.DB) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("sqlstore: %w", failure(err))
	}
	defer func() { _ = conn.Close() }()
	read := func(pragma string) string {
		var value string
		if err == nil {
			err = conn.QueryRowContext(ctx, "PRAGMA "+pragma).Scan(&value)
		}
		return value
	}
	journal, synchronous, busy := read("journal_mode"), read("synchronous"), read("busy_timeout")
	var version string
	if err == nil {
		err = conn.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version)
	}
	switch {
	case err != nil:
		return fmt.Errorf("sqlstore: %w", failure(err))
	case misreads(version):
		return fmt.Errorf("sqlstore: SQLite %s answers filters wrongly, as all of 3.51 do (EXISTS over json_each finds a row several times); take a driver with another version, such as modernc.org/sqlite v1.54.0", version)
	case !strings.EqualFold(journal, "wal"):
		return fmt.Errorf("sqlstore: the SQLite database has the journal mode %s, in which readers and writers wait for each other; it must be a file opened with _pragma=journal_mode(WAL)", journal)
	case synchronous != "2" && synchronous != "3":
		return errors.New("sqlstore: the SQLite database may lose what it has confirmed; open it with _pragma=synchronous(FULL)")
	case busy == "0":
		return errors.New("sqlstore: the SQLite database gives up at once where another process writes; open it with _pragma=busy_timeout(5000)")
	}
	if most := db.Stats().MaxOpenConnections; most == 1 {
		return errors.New("sqlstore: MaxOpenConns is 1, so that readers would wait for the writer, and a hook that reads for itself; it must be 2 or more")
	}
	return nil
}
