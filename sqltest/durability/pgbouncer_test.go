//go:build unix

package durability_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/sqltest"
)

// bouncerSettings: two connections to the server for all clients, so that the
// transactions of one client are on different ones.
const bouncerSettings = `[databases]
* = host=%[1]s port=5432 user=test
[pgbouncer]
listen_addr =
listen_port = 5432
unix_socket_dir = %[2]s
auth_type = any
pool_mode = transaction
default_pool_size = 2
server_reset_query =
ignore_startup_parameters = extra_float_digits
`

// startBouncer puts a PgBouncer before a server and returns the folder of its
// socket.
func startBouncer(t *testing.T, c *sqltest.Cluster) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		if _, missing := os.Stat("/usr/sbin/pgbouncer"); missing == nil {
			program, err = "/usr/sbin/pgbouncer", nil // Debian's, not in everybody's PATH
		}
	}
	need(t, err)
	folder, err := os.MkdirTemp("", "scim") // with a short name: sockets have a limit
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	settings := filepath.Join(folder, "pgbouncer.ini")
	require.NoError(t, os.WriteFile(settings, fmt.Appendf(nil, bouncerSettings, c.Folder, folder), 0o644))
	bouncer := exec.CommandContext(context.WithoutCancel(t.Context()), program, "-q", settings)
	said := new(lockedBuffer)
	bouncer.Stdout, bouncer.Stderr = said, said
	bouncer.SysProcAttr, err = sqltest.Unprivileged()
	require.NoError(t, err)
	if who := bouncer.SysProcAttr.Credential; who != nil {
		require.NoError(t, os.Chown(folder, int(who.Uid), int(who.Gid)))
	}
	require.NoError(t, bouncer.Start())
	exited := make(chan struct{})
	go func() {
		_ = bouncer.Wait() // it is killed
		close(exited)
	}()
	t.Cleanup(func() {
		_ = bouncer.Process.Kill()
		<-exited
	})
	deadline := time.After(patience)
	for {
		if _, err := os.Stat(filepath.Join(folder, ".s.PGSQL.5432")); err == nil {
			return folder
		}
		select {
		case <-exited:
			t.Fatalf("PgBouncer has ended: %s", said.String())
		case <-deadline:
			t.Fatalf("PgBouncer does not start: %s", said.String())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Behind PgBouncer, which gives each transaction whatever connection is free,
// everything is as without it. Two ways of pgx to ask leave nothing behind.
func TestPgBouncerPoolsTransactions(t *testing.T) {
	cluster := sharedCluster(t)
	folder := startBouncer(t, cluster)
	for _, mode := range []string{"exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			c := databaseOf(t, cluster)
			c.DSN = strings.Replace(c.DSN, "host="+cluster.Folder, "host="+folder, 1) + " default_query_exec_mode=" + mode
			c.Connections = 16
			s, err := newService(t.Context(), c)
			require.NoError(t, err)
			server := httptest.NewServer(s.handler)
			defer server.Close()
			p := newProvider(t, func() string { return server.URL }, 8)
			p.start(t.Context())
			p.progress(t, int64(20**kills))
			p.finish(t)
			assert.Zero(t, p.unavailable.Load(), "times 503")
			assert.Zero(t, p.unanswered.Load())
			assert.LessOrEqual(t, backends(t, c), 2, "connections to the server")
			require.NoError(t, s.deliver(t.Context()))
			require.NoError(t, s.close())
			agree(t, c, p)
		})
	}
}

// backends counts the connections to the database's server.
func backends(t *testing.T, c *config) (n int) {
	t.Helper()
	db, err := sql.Open(c.Driver, c.DSN)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	require.NoError(t, db.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()`).Scan(&n))
	return n
}
