//go:build unix

package durability_test

import (
	"context"
	"database/sql"
	"net/http"
	"net/http/httptest"
	"strings"
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
	hooks := map[string]func(ctx context.Context) context.Context{
		"that heeds its context": func(ctx context.Context) context.Context { return ctx },
		"that does not":          context.WithoutCancel,
	}
	for name, database := range databases {
		for kind, contextOf := range hooks {
			t.Run(name+"/a hook "+kind, func(t *testing.T) {
				c := database(t)
				log := new(lockedBuffer)
				c.ErrorLog, c.Timeout = log, limit
				wrong, over := false, make(chan struct{})
				c.Instead = func(ctx context.Context, db *sql.DB, tx *sql.Tx, a *scim.Account) error {
					if !wrong {
						return nil
					}
					defer close(over)
					const statement = `UPDATE people SET name = 'by the hook'`
					if _, err := tx.ExecContext(ctx, statement); err != nil {
						return err
					}
					_, err := db.ExecContext(contextOf(ctx), strings.Replace(statement, "hook", "other connection", 1))
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

				wrong = true
				begun := time.Now()
				a, err := p.once(t.Context(), http.MethodPatch, "/Users/"+w.people[0].id,
					[]byte(`{"Operations":[{"op":"replace","path":"displayName","value":"Undone"},{"op":"replace","path":"active","value":false}]}`))
				took := time.Since(begun)
				require.NoError(t, err)
				require.Equal(t, http.StatusServiceUnavailable, a.status, "%s", a.body)
				assert.NoError(t, checkUnavailable(a))
				assert.Greater(t, took, limit*9/10)
				assert.Less(t, took, limit+3*time.Second, "the deadline and the grace of a second")
				assert.Contains(t, log.String(), "another connection", "the log names the cause")
				<-over
				wrong = false
				t.Log(log.String())

				if kind == "that heeds its context" { // the other has written after the rollback
					for _, u := range w.people {
						require.NoError(t, w.verify(t.Context(), u))
					}
				}
				require.NoError(t, w.update(t.Context(), w.people[0], false), "the tenant can be written to again")
				for _, u := range w.people[1:] {
					require.NoError(t, w.update(t.Context(), u, true))
				}
				assert.Zero(t, s.db.Stats().InUse)
				require.NoError(t, s.deliver(t.Context()))
				require.NoError(t, s.close())
				agree(t, c, p)
			})
		}
	}
}
