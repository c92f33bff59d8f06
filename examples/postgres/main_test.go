package main

import (
	"cmp"
	"database/sql"
	_ "embed"
	"errors"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
	"github.com/muster-id/scim/sqlstore"
	"github.com/muster-id/scim/sqltest"
)

func TestMain(m *testing.M) {
	status := m.Run()
	sqltest.Close()
	os.Exit(status)
}

//go:embed people.sql
var peopleTable string

// A host is the application in an empty database of a server that is the tests'
// own.
type host struct {
	t     *testing.T
	db    *sql.DB
	store *sqlstore.Store
	url   string
	token string // what the first start printed

	service *directory.Service
}

// newHost skips the test where PostgreSQL is not installed, but not in CI, where
// everything must be.
func newHost(t *testing.T) *host {
	t.Helper()
	server, err := sqltest.PostgreSQL()
	if errors.Is(err, sqltest.ErrNoPostgreSQL) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	require.NoError(t, err)
	var name, folder string
	row := server.QueryRowContext(t.Context(), `SELECT 'host' || (SELECT count(*) FROM pg_database), current_setting('unix_socket_directories')`)
	require.NoError(t, row.Scan(&name, &folder))
	_, err = server.ExecContext(t.Context(), "CREATE DATABASE "+name)
	require.NoError(t, err)
	h := &host{t: t}
	h.db, err = sql.Open("pgx", "postgres:///"+name+"?user=test&host="+folder)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.db.Close()) })
	_, err = h.db.ExecContext(t.Context(), peopleTable)
	require.NoError(t, err)
	h.start()
	return h
}

// start starts the application, or starts it again.
func (h *host) start() {
	h.t.Helper()
	store, service, err := provisioning(h.t.Context(), h.db)
	require.NoError(h.t, err)
	token, err := connect(h.t.Context(), store, service, "acme", "example.com")
	require.NoError(h.t, err)
	require.Equal(h.t, h.token == "", token != "", "a token is issued at the first start, and only then")
	h.token = cmp.Or(h.token, token)
	server := httptest.NewServer(scim.Mount("/scim/v2", service.Handler(), nil))
	h.store, h.service, h.url = store, service, server.URL+"/scim/v2"
	h.t.Cleanup(server.Close)
}

func (h *host) send(method, path, body string) (status int, answer string) {
	h.t.Helper()
	q, err := http.NewRequestWithContext(h.t.Context(), method, h.url+path, strings.NewReader(body))
	require.NoError(h.t, err)
	q.Header.Set("Authorization", "Bearer "+h.token)
	q.Header.Set("Content-Type", "application/scim+json")
	w, err := http.DefaultClient.Do(q)
	require.NoError(h.t, err)
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	require.NoError(h.t, err)
	return w.StatusCode, string(text)
}

// do sends a request that must succeed, and returns the id in the answer.
func (h *host) do(method, path, body string) (id string) {
	h.t.Helper()
	status, answer := h.send(method, path, body)
	require.Less(h.t, status, 300, answer)
	_, rest, _ := strings.Cut(answer, `"id":"`)
	id, _, _ = strings.Cut(rest, `"`)
	return id
}

type person struct {
	ID, Org, Email, Name, Roles string
	Access                      bool
}

func (h *host) people() (all []person) {
	h.t.Helper()
	rows, err := h.db.QueryContext(h.t.Context(), `SELECT id, org, email, name, roles, access FROM people ORDER BY id`)
	require.NoError(h.t, err)
	defer func() { require.NoError(h.t, errors.Join(rows.Err(), rows.Close())) }()
	for rows.Next() {
		var p person
		require.NoError(h.t, rows.Scan(&p.ID, &p.Org, &p.Email, &p.Name, &p.Roles, &p.Access))
		all = append(all, p)
	}
	return all
}

const (
	ada    = `{"userName":"ada@example.com","externalId":"e1","displayName":"Ada"}`
	leaves = `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"active","value":false}]}`
)

// The whole way of a person, over a restart: one row, the same one when she comes
// back (rule B4).
func TestApplicationIsProvisioned(t *testing.T) {
	h := newHost(t)
	id := h.do(http.MethodPost, "/Users", ada)
	row := person{id, "acme", "ada@example.com", "Ada", "viewer", true}
	require.Equal(t, []person{row}, h.people())
	h.do(http.MethodPost, "/Groups", `{"displayName":"Admins","members":[{"value":"`+id+`"}]}`)
	row.Roles = "admin"
	require.Equal(t, []person{row}, h.people())

	require.NoError(t, h.store.Close())
	h.start()
	status, answer := h.send(http.MethodGet, "/Users/"+id, "")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, answer, `"display":"Admins"`)

	h.do(http.MethodDelete, "/Users/"+id, "")
	row.Access = false
	left := h.people()
	require.Len(t, left, 1)
	require.False(t, left[0].Access)
	require.NotEqual(t, id, h.do(http.MethodPost, "/Users", ada), "another user of the directory")
	row.Access, row.Roles = true, "viewer"
	require.Equal(t, []person{row}, h.people())
}

// A domain is one organization's, and nothing is left of an attempt that failed.
func TestConnectIsAllOrNothing(t *testing.T) {
	h := newHost(t)
	before, err := h.store.Tenants(t.Context(), "", 10)
	require.NoError(t, err)
	token, err := connect(t.Context(), h.store, h.service, "globex", "example.com")
	require.ErrorIs(t, err, directory.ErrDomainTaken)
	_, err = h.service.Get(t.Context(), scim.Key{Tenant: "globex", Directory: "default"})
	require.ErrorIs(t, err, scim.ErrNotFound)
	after, err := h.store.Tenants(t.Context(), "", 10)
	require.NoError(t, err)
	require.Equal(t, before, after)

	h.token = token
	status, _ := h.send(http.MethodGet, "/Users", "")
	require.Equal(t, http.StatusUnauthorized, status)
}

// The application's rows and the library's commit together: what one of them
// refuses has not happened in the other either.
func TestOneTransaction(t *testing.T) {
	h := newHost(t)
	id := h.do(http.MethodPost, "/Users", ada)
	before, events := h.people(), h.events()

	_, err := h.db.ExecContext(t.Context(), `ALTER TABLE people ADD CONSTRAINT trouble CHECK (access AND name <> 'Eve')`)
	require.NoError(t, err)
	status, _ := h.send(http.MethodPatch, "/Users/"+id, leaves)
	require.Equal(t, http.StatusInternalServerError, status)
	status, _ = h.send(http.MethodPost, "/Users", `{"userName":"eve@example.com","displayName":"Eve"}`)
	require.Equal(t, http.StatusInternalServerError, status)
	require.Equal(t, before, h.people())
	require.Len(t, h.events(), len(events))
	_, answer := h.send(http.MethodGet, "/Users", "")
	require.Contains(t, answer, `"totalResults":1,`)
	require.NotContains(t, answer, `"active":false`)

	_, err = h.db.ExecContext(t.Context(), `ALTER TABLE people DROP CONSTRAINT trouble`)
	require.NoError(t, err)

	// The other way round: the row of the application is written, and then the
	// library cannot write its own.
	_, err = h.db.ExecContext(t.Context(), `ALTER TABLE scim_events ADD CONSTRAINT trouble CHECK (FALSE) NOT VALID`)
	require.NoError(t, err)
	status, _ = h.send(http.MethodPatch, "/Users/"+id, leaves)
	require.GreaterOrEqual(t, status, 500)
	require.Equal(t, before, h.people())
	_, err = h.db.ExecContext(t.Context(), `ALTER TABLE scim_events DROP CONSTRAINT trouble`)
	require.NoError(t, err)
	h.do(http.MethodPatch, "/Users/"+id, leaves)
	require.False(t, h.people()[0].Access)
}

func (h *host) events() []*scim.Event {
	h.t.Helper()
	all, err := h.store.Events(h.t.Context(), "acme", 0, 100)
	require.NoError(h.t, err)
	return all
}

// The promise of the design: the managed way takes fewer than 40 lines of the
// host. What counts is every line of main.go on which there is something else
// than a comment, the package clause, the imports and main apart: a program
// has that without the library too.
func TestHostCodeIsShort(t *testing.T) {
	source, err := os.ReadFile("main.go")
	require.NoError(t, err)
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, "main.go", source, 0)
	require.NoError(t, err)
	host := map[int]bool{} // the lines that may count
	var names []string
	for _, d := range parsed.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name != "main" {
			names = append(names, f.Name.Name)
			for line := files.Position(f.Pos()).Line; line <= files.Position(f.End()).Line; line++ {
				host[line] = true
			}
		}
	}
	require.Equal(t, []string{"provisioning", "connect", "provision"}, names)

	var s scanner.Scanner
	file := token.NewFileSet().AddFile("main.go", -1, len(source))
	s.Init(file, source, nil, 0)
	lines := map[int]bool{}
	for {
		at, tok, text := s.Scan()
		if tok == token.EOF {
			break
		}
		first := file.Line(at)
		for line := first; line <= first+strings.Count(text, "\n") && text != "\n"; line++ {
			if host[line] {
				lines[line] = true
			}
		}
	}
	require.Greater(t, len(lines), 20, "something was counted")
	require.Less(t, len(lines), 40)
	t.Logf("%d lines", len(lines))
}
