//go:build unix

package durability_test

import (
	"database/sql"
	"math/rand/v2"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/sqlstore"
)

// The process is killed again and again while a provider works: wherever it
// happens to be, and in each of the places that a crash could show.
func TestB6CrashOfTheProcess(t *testing.T) {
	for name, database := range databases {
		t.Run(name, func(t *testing.T) {
			c := database(t)
			var address atomic.Value
			service := startProcess(t, c)
			address.Store(service.URL)
			p := newProvider(t, func() string { return address.Load().(string) }, 4)
			p.start(t.Context())
			for i := range *kills {
				if i%4 == 0 {
					p.progress(t, 1+rand.Int64N(20))
					service.kill(t)
				} else {
					service.wait(t) // it ends itself
				}
				alone(t, c)
				whole(t, c)
				next := *c
				if places := []place{inTransaction, beforeJournal, afterJournal}; i%4 < len(places) {
					next.Die, next.After = places[i%4], 1+rand.Int64N(10)
				}
				service = startProcess(t, &next)
				address.Store(service.URL)
			}
			service.kill(t)
			service = startProcess(t, c)
			address.Store(service.URL)
			p.finish(t)
			delivered(t, c)
			service.kill(t)
			agree(t, c, p)
		})
	}
}

// alone waits until the database has noticed that the service is gone: what it
// was in the middle of is then undone or done.
func alone(t *testing.T, c *config) {
	t.Helper()
	if c.Dialect == sqlstore.SQLite {
		return // it notices when the file is opened
	}
	db, err := sql.Open(c.Driver, c.DSN)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	db.SetMaxOpenConns(1)
	eventually(t, "connections of a process that is gone", func() bool {
		var others int
		err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`).Scan(&others)
		return err == nil && others == 0
	})
}

// The database is killed, all of it or one of its processes, which it answers
// by ending all others. The service stays and goes on by itself.
func TestCrashOfPostgreSQL(t *testing.T) {
	cluster := ownCluster(t)
	c := databaseOf(t, cluster)
	service := startProcess(t, c)
	p := newProvider(t, func() string { return service.URL }, 4)
	p.start(t.Context())
	for i := range *kills {
		p.progress(t, 1+rand.Int64N(20))
		if i%2 == 0 {
			cluster.Crash()
			require.NoError(t, cluster.Restart(t.Context()))
		} else {
			killBackend(t, c)
		}
	}
	p.progress(t, 1)
	p.finish(t)
	delivered(t, c)
	select {
	case <-service.exited:
		t.Fatalf("the service has ended: %s", service.stderr.String())
	default:
	}
	service.kill(t)
	agree(t, c, p)
}

// killBackend kills a process of the database that the service is connected
// with, in the middle of a transaction if one is.
func killBackend(t *testing.T, c *config) {
	t.Helper()
	db, err := sql.Open(c.Driver, c.DSN)
	require.NoError(t, err)
	defer func() { _ = db.Close() }() // it is cut
	var pid int
	eventually(t, "the service is not connected", func() bool {
		return db.QueryRowContext(t.Context(), `SELECT pid FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
			ORDER BY state = 'idle', random() LIMIT 1`).Scan(&pid) == nil
	})
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
}
