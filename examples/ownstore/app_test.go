package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
)

// A world is the application with a provider that talks to it.
type world struct {
	*client
	t   *testing.T
	app *App
}

func newWorld(t *testing.T) *world {
	t.Helper()
	store := newStore(t, scim.CoreTypes())
	app := &App{store.db}
	return &world{newClient(t, store, app, scim.Auto), t, app}
}

// do sends a request that must be answered with the status, and returns the id
// that is in the answer.
func (w *world) do(status int, method, path, body string) (id string) {
	w.t.Helper()
	got, answer := w.send(w.t, method, path, body)
	require.Equal(w.t, status, got, answer)
	var r struct{ ID string }
	if answer != "" {
		require.NoError(w.t, json.Unmarshal([]byte(answer), &r))
	}
	return r.ID
}

func (w *world) exec(statement string, args ...any) {
	w.t.Helper()
	_, err := w.app.db.ExecContext(w.t.Context(), statement, args...)
	require.NoError(w.t, err)
}

func (w *world) people() []Person {
	w.t.Helper()
	all, err := w.app.People(w.t.Context())
	require.NoError(w.t, err)
	return all
}

// sessions returns the tokens of the sessions that go on.
func (w *world) sessions() (tokens string) {
	w.t.Helper()
	require.NoError(w.t, w.app.db.QueryRowContext(w.t.Context(), `SELECT group_concat(token ORDER BY token) FROM sessions`).Scan(&tokens))
	return tokens
}

func patch(operation string) string {
	return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[` + operation + `]}`
}

const (
	ada    = `{"userName":"Ada@example.com","externalId":"e1","displayName":"Ada","emails":[{"value":"ada@example.com","type":"work","primary":true}],"title":"Countess"}`
	admins = `{"displayName":"Admins"}`
)

// The application's own columns follow what the provider says, step by step.
func TestApplicationIsTold(t *testing.T) {
	w := newWorld(t)
	w.exec(`INSERT INTO users (org, login, name, has_access) VALUES ('acme', 'root', 'of the old days', TRUE)`)
	root := Person{Org: "acme", Login: "root", Name: "of the old days", Access: true, Teams: []string{}}
	person := Person{Org: "acme", Login: "Ada@example.com", Email: "ada@example.com", Name: "Ada", Access: true, Teams: []string{}}

	id := w.do(http.StatusCreated, http.MethodPost, "/Users", ada)
	require.Equal(t, []Person{person, root}, w.people())
	group := w.do(http.StatusCreated, http.MethodPost, "/Groups", admins)
	w.do(http.StatusNoContent, http.MethodPatch, "/Groups/"+group, patch(`{"op":"add","path":"members","value":[{"value":"`+id+`"}]}`))
	person.Admin, person.Teams = true, []string{"Admins"}
	require.Equal(t, []Person{person, root}, w.people())

	w.exec(`INSERT INTO sessions (token, user_id) SELECT login, id FROM users`)
	w.do(http.StatusOK, http.MethodPatch, "/Users/"+id, patch(`{"op":"replace","path":"displayName","value":"Ada King"}`))
	person.Name = "Ada King"
	require.Equal(t, []Person{person, root}, w.people())
	require.Equal(t, "Ada@example.com,root", w.sessions())

	w.do(http.StatusOK, http.MethodPatch, "/Users/"+id, patch(`{"op":"replace","path":"active","value":false}`))
	person.Access, person.Admin = false, false
	require.Equal(t, []Person{person, root}, w.people())
	require.Equal(t, "root", w.sessions(), "access ends now, and only hers")
	w.do(http.StatusOK, http.MethodPatch, "/Users/"+id, patch(`{"op":"replace","path":"active","value":true}`))
	person.Access, person.Admin = true, true
	require.Equal(t, []Person{person, root}, w.people())

	w.do(http.StatusNoContent, http.MethodPatch, "/Groups/"+group, patch(`{"op":"remove","path":"members[value eq \"`+id+`\"]"}`))
	person.Admin, person.Teams = false, []string{}
	require.Equal(t, []Person{person, root}, w.people())

	w.do(http.StatusNoContent, http.MethodDelete, "/Users/"+id, "")
	person.Access = false
	require.Equal(t, []Person{person, root}, w.people(), "the row stays")
	w.do(http.StatusNotFound, http.MethodGet, "/Users/"+id, "")
	w.do(http.StatusCreated, http.MethodPost, "/Users", ada)
	w.do(http.StatusNoContent, http.MethodDelete, "/Groups/"+group, "")
	require.Len(t, w.people(), 3, "who comes back is somebody new here")
}

// A row that no provider manages any more has no access that nobody would end,
// whatever became of the call of Provision.
func TestDeletedRowsHaveNoAccess(t *testing.T) {
	store := newStore(t, scim.CoreTypes())
	key := scim.Key{Tenant: "acme", Directory: "default"}
	r, err := store.types.New(key, "User").ID("1").Set("userName", "ada").Resource()
	require.NoError(t, err)
	_, err = store.Create(t.Context(), r)
	require.NoError(t, err)
	_, err = store.db.ExecContext(t.Context(), `UPDATE users SET has_access = TRUE`)
	require.NoError(t, err)
	require.NoError(t, store.Delete(t.Context(), r.Ref(), 0))
	people, err := (&App{store.db}).People(t.Context())
	require.NoError(t, err)
	require.Equal(t, []Person{{Org: "acme", Login: "ada", Teams: []string{}}}, people)
}

// What the application changes in a column of its own is what the provider
// reads; rows that no provider manages it does not see.
func TestBothSidesSeeOneColumn(t *testing.T) {
	w := newWorld(t)
	w.exec(`INSERT INTO users (org, login) VALUES ('acme', 'root'), ('globex', 'other')`)
	id := w.do(http.StatusCreated, http.MethodPost, "/Users", ada)
	w.exec(`UPDATE users SET name = 'Ada King' WHERE login = 'Ada@example.com'`)
	_, answer := w.send(t, http.MethodGet, "/Users/"+id, "")
	require.Contains(t, answer, `"displayName":"Ada King"`)
	require.Contains(t, answer, `"title":"Countess"`, "what has no column is answered as it was sent")
	_, answer = w.send(t, http.MethodGet, "/Users", "")
	require.Contains(t, answer, `"totalResults":1,`)
}

// Rule D5, and the provider's way on: it finds the user by what was taken.
func TestTakenNamesAreRefusedWithTheAttribute(t *testing.T) {
	w := newWorld(t)
	w.do(http.StatusCreated, http.MethodPost, "/Users", ada)
	for attribute, body := range map[string]string{
		"userName":   `{"userName":"ADA@EXAMPLE.COM","externalId":"e2","emails":[{"value":"other@example.com"}]}`,
		"externalId": `{"userName":"other@example.com","externalId":"e1"}`,
	} {
		status, answer := w.send(t, http.MethodPost, "/Users", body)
		require.Equal(t, http.StatusConflict, status, answer)
		require.Contains(t, answer, "the same "+attribute+";")
	}
	_, answer := w.send(t, http.MethodGet, "/Users?filter=userName+eq+%22ADA@example.com%22", "")
	require.Contains(t, answer, `"totalResults":1,`)
}

// The index is used: a provider's lookup must not read every row.
func TestLookupsReadAnIndex(t *testing.T) {
	store := newStore(t, scim.CoreTypes())
	for path, index := range map[string]string{"id": "users_scim_id", "externalId": "users_external_id", "userName": "users_login"} {
		plan := queryPlan(t, store.db, read+indexed[path])
		require.Contains(t, plan, "SEARCH users USING INDEX "+index, path)
		require.NotContains(t, plan, "SCAN users", path)
	}
	require.Len(t, indexed, 3)
}

func queryPlan(t *testing.T, db *sql.DB, query string) (plan string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `EXPLAIN QUERY PLAN `+query, "User", "acme", "default", "x")
	require.NoError(t, err)
	defer func() { require.NoError(t, errors.Join(rows.Err(), rows.Close())) }()
	for rows.Next() {
		var id, parent, unused int
		var detail string
		require.NoError(t, rows.Scan(&id, &parent, &unused, &detail))
		plan += detail + "\n"
	}
	return plan
}

// Everything is there after a restart, and the migration runs once.
func TestRestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "100% ours?#.db")
	talk := func(path, method, body string, status int) string {
		ctx, stop := context.WithCancel(t.Context())
		out, in := io.Pipe()
		var stderr bytes.Buffer
		ended := make(chan error, 1)
		go func() {
			err := run(ctx, []string{"-addr", "127.0.0.1:0", "-db", file}, testToken, in, &stderr)
			_ = in.CloseWithError(errors.Join(err, io.EOF))
			ended <- err
		}()
		line := make([]byte, 1024)
		n, err := out.Read(line)
		require.NoError(t, err, stderr.String())
		_, rest, _ := strings.Cut(string(line[:n]), "SCIM is at ")
		base, _, _ := strings.Cut(rest, ",")
		q, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(body))
		require.NoError(t, err)
		q.Header.Set("Authorization", "Bearer "+testToken)
		w, err := http.DefaultClient.Do(q)
		require.NoError(t, err)
		defer w.Body.Close()
		answer, err := io.ReadAll(w.Body)
		require.NoError(t, err)
		require.Equal(t, status, w.StatusCode, string(answer))
		stop()
		require.NoError(t, <-ended)
		return string(answer)
	}
	talk("/Users", http.MethodPost, ada, http.StatusCreated)
	require.Contains(t, talk("/Users", http.MethodGet, "", http.StatusOK), `"userName":"Ada@example.com"`)
	info, err := os.Stat(file)
	require.NoError(t, err)
	if runtime.GOOS != "windows" { // whose permissions are no modes
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "it holds what is known about people")
	}
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app.db")
	require.ErrorContains(t, run(t.Context(), []string{"-db", file}, "", io.Discard, io.Discard), "SCIM_TOKEN")
	require.ErrorContains(t, run(t.Context(), []string{"-db", file, "-org", "acme"}, testToken, io.Discard, io.Discard), "acme:acme.example")
}
