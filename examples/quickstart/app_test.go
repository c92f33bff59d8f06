package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
)

func account(id string) *scim.Account {
	return &scim.Account{
		Tenant: "acme", ID: id, ExternalID: "ext-1", Email: "ada@example.com", Active: true,
		Profile: scim.Profile{Name: "Ada"}, Roles: []scim.Grant{{Role: "viewer", Source: scim.FromDefault}}, Change: scim.Created,
	}
}

// newApp returns an application without people, in a database of its own.
func newApp(t *testing.T, log io.Writer) *App {
	t.Helper()
	db, err := openDatabase(t.Context(), inMemory, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	app := NewApp(db.DB, 0, newLogger(log))
	app.Gate(openGate{})
	return app
}

// An openGate lets everybody in about whom it is asked.
type openGate struct{}

func (openGate) LoginGate(context.Context, string, directory.Person) (directory.Verdict, error) {
	return directory.Verdict{Allow: true}, nil
}

func provision(t *testing.T, app *App, a *scim.Account) string {
	t.Helper()
	id, err := app.Provision(t.Context(), a)
	require.NoError(t, err)
	a.HostID = id
	return id
}

func TestProvisionMayBeRepeated(t *testing.T) {
	var log buffer
	app := newApp(t, &log)
	a := account("u1")
	id := provision(t, app, a)
	require.Equal(t, id, provision(t, app, a))
	var rows int
	require.NoError(t, app.db.QueryRowContext(t.Context(), `SELECT count(*) FROM quickstart_people`).Scan(&rows))
	require.Equal(t, 1, rows)
	require.Empty(t, log.String(), "nothing is said before it is final")

	b := account("u2")
	b.Tenant = "globex"
	require.NotEqual(t, id, provision(t, app, b), "the same externalId in another organization is somebody else")
}

// The row of a request that was rolled back is taken up by the next attempt: it
// must not stay behind with access.
func TestProvisionAfterARollback(t *testing.T) {
	app := newApp(t, new(buffer))
	provision(t, app, account("u1"))
	a := account("u2") // the next attempt to create the same person
	provision(t, app, a)
	a.Active, a.Change = false, scim.Deactivated
	provision(t, app, a)
	_, err := app.SignIn(t.Context(), "acme", "ada@example.com")
	require.Error(t, err)
}

// Rule B6: access ends now, everywhere, and only for that person.
func TestCommittedEndsSessions(t *testing.T) {
	var log buffer
	app := newApp(t, &log)
	a, other := account("u1"), account("u2")
	other.ExternalID, other.Email = "ext-2", "grace@example.com"
	provision(t, app, a)
	provision(t, app, other)
	first, err := app.SignIn(t.Context(), "acme", "ADA@example.com")
	require.NoError(t, err)
	second, err := app.SignIn(t.Context(), "acme", "ada@example.com")
	require.NoError(t, err)
	others, err := app.SignIn(t.Context(), "acme", "grace@example.com")
	require.NoError(t, err)
	_, err = app.SignIn(t.Context(), "globex", "ada@example.com")
	require.Error(t, err, "who belongs to one organization cannot sign in to another")

	a.Roles, a.Change = []scim.Grant{{Role: "admin"}}, scim.Updated
	provision(t, app, a)
	require.NoError(t, app.Committed(t.Context(), a))
	p, ok, err := app.SignedIn(t.Context(), first)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, []string{"admin"}, p.Roles, "roles of today")

	a.Active, a.Change = false, scim.Deleted
	provision(t, app, a)
	require.NoError(t, app.Committed(t.Context(), a))
	require.NoError(t, app.Committed(t.Context(), a), "it may be repeated")
	for _, session := range []string{first, second} {
		_, ok, err = app.SignedIn(t.Context(), session)
		require.NoError(t, err)
		require.False(t, ok)
	}
	_, ok, err = app.SignedIn(t.Context(), others)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "acme: Ada <ada@example.com> was updated: access as admin\n"+
		"acme: Ada <ada@example.com> was deleted: no access; 2 sessions ended\n"+
		"acme: Ada <ada@example.com> was deleted: no access\n", log.String())
}

// A gateOf answers what the test says.
type gateOf struct {
	directory.Verdict
	err   error
	asked []directory.Person
}

func (g *gateOf) LoginGate(_ context.Context, _ string, who directory.Person) (directory.Verdict, error) {
	g.asked = append(g.asked, who)
	return g.Verdict, g.err
}

// Rule B6: whoever the application knows, the gate decides, and whoever the gate
// knows, the application.
func TestSignInAsksTheGate(t *testing.T) {
	app := newApp(t, new(buffer))
	id := provision(t, app, account("u1"))
	for _, c := range []struct {
		name, email string
		gate        gateOf
		says        string // "": signed in
	}{
		{"both know her", "ADA@example.com", gateOf{Verdict: directory.Verdict{Allow: true}}, ""},
		{"the gate denies", "ada@example.com", gateOf{Verdict: directory.Verdict{Text: "she has left"}}, "no access: she has left"},
		{"the gate cannot tell", "ada@example.com", gateOf{Verdict: directory.Verdict{Allow: true}, err: errors.New("the database is down")}, "the database is down"},
		{"no account", "eve@example.com", gateOf{Verdict: directory.Verdict{Allow: true}}, "no access: there is no account"},
	} {
		t.Run(c.name, func(t *testing.T) {
			app.Gate(&c.gate)
			session, err := app.SignIn(t.Context(), "acme", c.email)
			require.Len(t, c.gate.asked, 1)
			require.Equal(t, c.email, c.gate.asked[0].Email)
			if c.says != "" {
				require.EqualError(t, err, c.says)
				require.Empty(t, session)
				return
			}
			require.NoError(t, err)
			require.Equal(t, id, c.gate.asked[0].HostID)
			_, ok, err := app.SignedIn(t.Context(), session)
			require.NoError(t, err)
			require.True(t, ok)
		})
	}
}

func TestTell(t *testing.T) {
	a := account("u1")
	a.Profile.Name, a.Roles = "", nil
	require.Equal(t, "acme: ada@example.com was created: access without a role", tell(a, 0))
	a.Profile.Name, a.Active, a.Held = "A\u202eda", false, "somebody has to look"
	require.Equal(t, "acme: A\uFFFDda <ada@example.com> was created: no access yet, somebody has to look", tell(a, 0))
}
