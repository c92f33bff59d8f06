//go:build unix

package durability_test

import (
	"context"
	"database/sql"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
)

// A hook writes a row in its request's transaction and then the same row over a
// connection of its own: it waits for itself. It is stopped, its request is
// undone as a whole, and the log says what to look for.
func TestHookOnAnotherConnectionIsStopped(t *testing.T) {
	const limit = 300 * time.Millisecond
	heeding := func(ctx context.Context) context.Context { return ctx }
	cases := map[string]struct {
		database func(t *testing.T) *config
		context  func(ctx context.Context) context.Context // of what the hook does on the other connection
		limit    time.Duration
		status   int
		why      string // in the log
	}{
		"PostgreSQL, and heeds its deadline": {postgresDatabase, heeding, limit, http.StatusServiceUnavailable, "another connection"},
		"PostgreSQL, and heeds nothing":      {postgresDatabase, context.WithoutCancel, limit, http.StatusServiceUnavailable, "another connection"},
		"SQLite, and heeds its deadline":     {sqliteDatabase, heeding, limit, http.StatusServiceUnavailable, "another connection"},
		"SQLite, and heeds nothing":          {sqliteDatabase, context.WithoutCancel, limit, http.StatusServiceUnavailable, "another connection"},

		// The driver gives up before the deadline.
		"SQLite, which waits for less": {func(t *testing.T) *config {
			c := sqliteDatabase(t)
			c.DSN = sqliteDSN(filepath.Join(t.TempDir(), "scim.db"), int(limit.Milliseconds()))
			return c
		}, heeding, patience, http.StatusInternalServerError, "database is locked"},
	}
	for name, k := range cases {
		t.Run(name, func(t *testing.T) {
			c := k.database(t)
			log := new(lockedBuffer)
			c.ErrorLog, c.Timeout = log, k.limit
			var wrong atomic.Bool
			over := make(chan struct{})
			c.Instead = func(ctx context.Context, db *sql.DB, tx *sql.Tx, _ *scim.Account) error {
				if !wrong.CompareAndSwap(true, false) {
					return nil
				}
				defer close(over)
				if _, err := tx.ExecContext(ctx, `UPDATE people SET name = 'by the hook'`); err != nil {
					return err
				}
				_, err := db.ExecContext(k.context(ctx), `UPDATE people SET name = name`)
				return err
			}
			s, err := newService(t.Context(), c)
			require.NoError(t, err)
			server := httptest.NewServer(s.handler)
			defer server.Close()
			p := newProvider(t, func() string { return server.URL }, 1)
			w := p.workers[0]
			for _, u := range w.people {
				require.NoError(t, w.createUser(t.Context(), u))
			}

			wrong.Store(true)
			begun := time.Now()
			a, err := p.once(t.Context(), http.MethodPatch, "/Users/"+w.people[0].id,
				[]byte(`{"Operations":[{"op":"replace","path":"displayName","value":"Undone"},{"op":"replace","path":"active","value":false}]}`))
			took := time.Since(begun)
			require.NoError(t, err)
			require.Equal(t, k.status, a.status, "%s", a.body)
			if k.status == http.StatusServiceUnavailable {
				assert.NoError(t, checkUnavailable(a))
			}
			assert.NoError(t, checkDiscreet(a))
			assert.Greater(t, took, limit*9/10)
			assert.Less(t, took, limit+3*time.Second, "the deadline and the grace of a second")
			assert.Contains(t, log.String(), k.why, "the log names the cause")
			<-over

			for _, u := range w.people {
				require.NoError(t, w.verify(t.Context(), u))
				require.NoError(t, w.update(t.Context(), u, false), "the tenant can be written to again")
			}
			assert.Zero(t, s.db.Stats().InUse)
			require.NoError(t, s.deliver(t.Context()))
			require.NoError(t, s.close())
			agree(t, c, p)
		})
	}
}
