//go:build unix

package durability_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/sqlstore"
	"github.com/muster-id/scim/sqltest"
)

// kills is how often the process or the database is killed in each test that
// does. The variable of the environment is for runs of all modules, whose other
// tests do not know the flag.
var kills = flag.Int("kills", defaultKills(), "how often each database's service is killed; also MUSTER_KILLS")

func defaultKills() int {
	if n, err := strconv.Atoi(os.Getenv("MUSTER_KILLS")); err == nil {
		return n
	}
	return 10
}

// Variables of the environment that make the test binary another program.
const (
	serveVariable = "MUSTER_TEST_SERVICE" // a service, see config
	lockVariable  = "MUSTER_TEST_LOCK"    // a writer that stays, see holdLock
)

func TestMain(m *testing.M) {
	if text := os.Getenv(serveVariable); text != "" {
		var c config
		err := json.Unmarshal([]byte(text), &c)
		if err == nil {
			err = serve(&c)
		}
		fmt.Fprintln(os.Stderr, err) // it serves until it is killed
		os.Exit(1)
	}
	if dsn := os.Getenv(lockVariable); dsn != "" {
		if err := holdLock(dsn); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	status := m.Run()
	if shared.cluster != nil {
		shared.cluster.Stop()
	}
	os.Exit(status)
}

// lasting are the settings of a server that is crashed.
var lasting = []string{"fsync=on", "full_page_writes=on"}

// shared is the server of all tests that do not end it.
var shared struct {
	once    sync.Once
	cluster *sqltest.Cluster
	err     error
}

func sharedCluster(t *testing.T) *sqltest.Cluster {
	t.Helper()
	shared.once.Do(func() { shared.cluster, shared.err = sqltest.StartCluster(context.Background(), lasting...) })
	need(t, shared.err)
	return shared.cluster
}

// ownCluster is for tests that end it.
func ownCluster(t *testing.T) *sqltest.Cluster {
	t.Helper()
	c, err := sqltest.StartCluster(t.Context(), lasting...)
	need(t, err)
	t.Cleanup(c.Stop)
	return c
}

// need skips the test where a program is not installed, unless everything must
// be: in CI.
func need(t *testing.T, err error) {
	t.Helper()
	if missing := errors.Is(err, sqltest.ErrNoPostgreSQL) || errors.Is(err, exec.ErrNotFound); missing && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	require.NoError(t, err)
}

// databases are those that each test of the whole is run on.
var databases = map[string]func(t *testing.T) *config{"SQLite": sqliteDatabase, "PostgreSQL": postgresDatabase}

func sqliteDatabase(t *testing.T) *config {
	dir := t.TempDir()
	return &config{
		Dialect: sqlstore.SQLite, Driver: "sqlite", Journal: filepath.Join(dir, "journal"),
		DSN: sqliteDSN(filepath.Join(dir, "scim.db"), 5000),
	}
}

// sqliteDSN names a file, with how many milliseconds to wait for another process.
func sqliteDSN(path string, busy int) string {
	return strings.Replace(sqltest.SQLiteDSN(path), "busy_timeout(5000)", "busy_timeout("+strconv.Itoa(busy)+")", 1)
}

func postgresDatabase(t *testing.T) *config { return databaseOf(t, sharedCluster(t)) }

// databaseOf makes a database.
func databaseOf(t *testing.T, c *sqltest.Cluster) *config {
	t.Helper()
	name := "test" + strconv.FormatInt(made.Add(1), 10)
	db, err := sql.Open("pgx", c.DSN("postgres"))
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	_, err = db.ExecContext(t.Context(), "CREATE DATABASE "+name)
	require.NoError(t, err)
	return &config{Dialect: sqlstore.PostgreSQL, Driver: "pgx", DSN: c.DSN(name), Journal: filepath.Join(t.TempDir(), "journal")}
}

var made atomic.Int64 // databases
