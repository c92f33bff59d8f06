//go:build unix

package durability_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// holdLock is a program that writes to a SQLite database and does not end its
// transaction until its standard input ends.
func holdLock(dsn string) error {
	ctx := context.Background()
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "CREATE TABLE other (id INTEGER)"); err != nil {
		return err
	}
	fmt.Println("locked")
	_, err = io.Copy(io.Discard, os.Stdin)
	return errors.Join(err, tx.Rollback(), db.Close())
}

// Another process writes to the file for longer than busy_timeout.
func TestBusySQLiteIs503(t *testing.T) {
	c := sqliteDatabase(t)
	path := filepath.Join(t.TempDir(), "scim.db")
	c.DSN = sqliteDSN(path, 200)
	s, err := newService(t.Context(), c)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.close()) }()
	server := httptest.NewServer(s.handler)
	defer server.Close()
	p := newProvider(t, func() string { return server.URL }, 1)
	w := p.workers[0]
	for _, u := range w.people[1:] {
		require.NoError(t, w.createUser(t.Context(), u))
	}

	program, err := os.Executable()
	require.NoError(t, err)
	other := exec.CommandContext(t.Context(), program)
	other.Env = append(os.Environ(), lockVariable+"="+c.DSN)
	other.Stderr = os.Stderr
	in, err := other.StdinPipe()
	require.NoError(t, err)
	out, err := other.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, other.Start())
	said, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "locked\n", said)

	there := w.people[1]
	writes := []struct{ method, path, body string }{
		{http.MethodPost, "/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"new@acme.example","externalId":"new","emails":[{"value":"new@acme.example"}]}`},
		{http.MethodPatch, "/Users/" + there.id, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"active","value":false}]}`},
		{http.MethodPatch, "/Groups/" + p.groups["Staff"], `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"add","path":"members","value":[{"value":"` + there.id + `"}]}]}`},
		{http.MethodDelete, "/Users/" + there.id, ""},
	}
	for _, r := range writes {
		begun := time.Now()
		a, err := p.once(t.Context(), r.method, r.path, []byte(r.body))
		require.NoError(t, err)
		require.Equal(t, http.StatusServiceUnavailable, a.status, "%s %s: %s", r.method, r.path, a.body)
		assert.NoError(t, checkUnavailable(a))
		assert.Less(t, time.Since(begun), patience/2, "a writer waits for busy_timeout, not much longer")
	}

	// A read is answered while a write still waits for the lock.
	waiting := make(chan error, 1)
	go func() {
		_, err := p.once(t.Context(), http.MethodDelete, "/Users/"+there.id, nil)
		waiting <- err
	}()
	for _, u := range w.people {
		require.NoError(t, w.verify(t.Context(), u), "a reader while another process writes")
	}
	require.NoError(t, <-waiting)

	require.NoError(t, in.Close())
	require.NoError(t, other.Wait())
	require.NoError(t, w.createUser(t.Context(), w.people[0]))
	require.NoError(t, w.update(t.Context(), there, false))
	require.NoError(t, w.move(t.Context(), "Admins", w.people...))
	require.NoError(t, s.deliver(t.Context()))
	agree(t, c, p)
}
