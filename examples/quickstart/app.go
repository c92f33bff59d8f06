package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"strings"
	"sync"
	"unicode"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
	"github.com/muster-id/scim/sqlstore"
)

// An App stands for your application. It has people, who belong to an
// organization and have roles in it, and the sessions of those who have signed
// in. It is safe for concurrent use.
type App struct {
	log   *log.Logger // who was told what, in plain words
	db    *sql.DB     // has the table of people
	seats int         // that an organization has paid for; 0: there is no limit
	gate  loginGate

	mu       sync.Mutex
	sessions map[string]string // whose they are, by session; they end with the process
}

// peopleTable is the application's own table of users. Its SQL, like all below,
// is understood by SQLite and PostgreSQL.
const peopleTable = `
CREATE TABLE IF NOT EXISTS quickstart_people (
	id          TEXT PRIMARY KEY,
	org         TEXT NOT NULL,
	external_id TEXT NOT NULL, -- the identity provider's name for the person
	name        TEXT NOT NULL,
	email       TEXT NOT NULL,
	email_key   TEXT NOT NULL, -- in small letters
	access      BOOLEAN NOT NULL, -- may sign in
	roles       TEXT NOT NULL -- a list in JSON
);
CREATE INDEX IF NOT EXISTS quickstart_people_email ON quickstart_people (org, email_key);
CREATE INDEX IF NOT EXISTS quickstart_people_external_id ON quickstart_people (org, external_id);`

// A Person is a row of the application's own table of users.
type Person struct {
	ID, Org     string
	ExternalID  string // the identity provider's name for the person
	Name, Email string
	Access      bool // may sign in
	Roles       []string
}

var (
	_ scim.Provisioner   = (*App)(nil)
	_ scim.Committer     = (*App)(nil)
	_ scim.UsageReporter = (*App)(nil)
)

// A loginGate says whether a person may sign in: *directory.Service is one.
type loginGate interface {
	LoginGate(ctx context.Context, tenant string, who directory.Person) (directory.Verdict, error)
}

// NewApp returns the application whose people are in the database, with so many
// seats for each organization, or 0 for no limit. Nobody can sign in before
// [App.Gate].
func NewApp(db *sql.DB, seats int, logger *log.Logger) *App {
	return &App{log: logger, db: db, seats: seats, sessions: map[string]string{}}
}

// Gate sets who is asked at each sign-in. It is called once, before anybody signs
// in: the service needs the application to be made, and the other way round.
func (app *App) Gate(gate loginGate) { app.gate = gate }

// A querier is a database, or a transaction of it.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Provision writes down what a person may do from now on ([scim.Provisioner]).
//
// The account is the whole desired state, so there is nothing to compare and no
// case to tell apart: a person who is new, changed, deactivated or deleted is
// the same write, and writing it twice does no harm. Nobody's row is ever
// removed: who comes back finds what they left.
//
// With a store in the application's own database this is part of the request's
// transaction: the row and what the provider said commit together or not at all.
// What is not undone by a rollback does not belong here.
func (app *App) Provision(ctx context.Context, a *scim.Account) (hostID string, err error) {
	var db querier = app.db
	if tx, ok := sqlstore.Tx(ctx); ok {
		db = tx
	}
	id, err := idOf(ctx, db, a)
	if err != nil {
		return "", err
	}
	roles, err := json.Marshal(a.RoleNames())
	if err != nil {
		return "", err
	}
	_, err = db.ExecContext(ctx, `INSERT INTO quickstart_people (id, org, external_id, name, email, email_key, access, roles)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO UPDATE SET external_id = excluded.external_id, name = excluded.name,
		email = excluded.email, email_key = excluded.email_key, access = excluded.access, roles = excluded.roles`,
		id, a.Tenant, a.ExternalID, a.Profile.Name, a.Email, strings.ToLower(a.Email), a.Active, string(roles))
	return id, err
}

// idOf returns whose row an account is: HostID's, which is what Provision
// returned for it before. The first time there is none, unless the request that
// wrote it was rolled back where it could not take the row with it (-store
// memory): when the provider tries again, the user has another ID, but the same
// ExternalID.
func idOf(ctx context.Context, db querier, a *scim.Account) (id string, err error) {
	switch {
	case a.HostID != "":
		return a.HostID, nil
	case a.ExternalID == "":
		return a.ID, nil // an application with ids of its own draws one here
	}
	err = db.QueryRowContext(ctx, `SELECT id FROM quickstart_people WHERE org = $1 AND external_id = $2 ORDER BY id LIMIT 1`, a.Tenant, a.ExternalID).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return a.ID, nil
	}
	return id, err
}

// Committed does what could not be taken back, now that the change is final
// ([scim.Committer]): who has no access any more is signed out before the
// provider has its answer.
//
// It never fails here. Where it does, or the process ends before it is done,
// [directory.Service.Run] repeats it.
func (app *App) Committed(_ context.Context, a *scim.Account) error {
	ended := 0
	if !a.Active {
		ended = app.endSessions(a.HostID)
	}
	app.log.Print(tell(a, ended))
	return nil
}

// Usage says what an organization has outside of its directory, and may have in
// all ([scim.UsageReporter]). Here everybody comes from the directory; an
// application that has people of its own counts the administrators and the seats
// among them. Because it answers at all, the last administrator is protected.
func (app *App) Usage(context.Context, string) (scim.Usage, error) {
	return scim.Usage{SeatLimit: app.seats}, nil
}

// endSessions signs a person out everywhere and returns from how many sessions.
func (app *App) endSessions(id string) (ended int) {
	app.mu.Lock()
	defer app.mu.Unlock()
	for session, whose := range app.sessions {
		if whose == id {
			delete(app.sessions, session)
			ended++
		}
	}
	return ended
}

// SignIn opens a session. It stands for what single sign-on does once it has
// proved whose email it is: provisioning says who may come in, not who somebody
// is.
//
// The gate is asked first, whoever the application knows: an application that
// makes an account at the first sign-in would bring back who has left, under
// another spelling of the email or after the row is gone.
func (app *App) SignIn(ctx context.Context, org, email string) (session string, err error) {
	app.mu.Lock()
	defer app.mu.Unlock() // so that access does not end between the look and the session
	p, ok, err := app.Person(ctx, org, email)
	if err != nil {
		return "", err
	}
	verdict, err := app.gate.LoginGate(ctx, org, directory.Person{HostID: p.ID, Email: email})
	switch {
	case err != nil:
		return "", err // who cannot be asked about does not come in
	case !verdict.Allow:
		return "", fmt.Errorf("no access: %s", verdict.Text)
	case !ok || !p.Access: // here an application could make the account
		return "", errors.New("no access: there is no account")
	}
	session = rand.Text()
	app.sessions[session] = p.ID
	return session, nil
}

// SignedIn returns whose session it is, with the roles that the person has now,
// not those at the time of signing in. ok is false once the session has ended.
func (app *App) SignedIn(ctx context.Context, session string) (p Person, ok bool, err error) {
	app.mu.Lock()
	id, ok := app.sessions[session]
	app.mu.Unlock()
	if !ok {
		return Person{}, false, nil
	}
	return app.find(ctx, `id = $1`, id)
}

// Person returns what the application knows about somebody. Who was deleted and
// came back as somebody new has two rows: the one with access counts.
func (app *App) Person(ctx context.Context, org, email string) (p Person, ok bool, err error) {
	return app.find(ctx, `org = $1 AND email_key = $2`, org, strings.ToLower(email))
}

func (app *App) find(ctx context.Context, condition string, args ...any) (p Person, ok bool, err error) {
	var roles []byte
	err = app.db.QueryRowContext(ctx, `SELECT id, org, external_id, name, email, access, roles FROM quickstart_people WHERE `+condition+
		` ORDER BY access DESC, id LIMIT 1`, args...).Scan(&p.ID, &p.Org, &p.ExternalID, &p.Name, &p.Email, &p.Access, &roles)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Person{}, false, nil
	case err != nil:
		return Person{}, false, err
	}
	return p, true, json.Unmarshal(roles, &p.Roles)
}

// tell puts an account into words, for the log.
func tell(a *scim.Account, endedSessions int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", a.Tenant)
	if a.Profile.Name != "" {
		fmt.Fprintf(&b, "%s <%s>", printable(a.Profile.Name), printable(a.Email))
	} else {
		b.WriteString(printable(a.Email))
	}
	fmt.Fprintf(&b, " was %s: ", a.Change)
	switch names := a.RoleNames(); {
	case a.Held != "":
		fmt.Fprintf(&b, "no access yet, %s", a.Held)
	case !a.Active:
		b.WriteString("no access")
	case len(names) == 0:
		b.WriteString("access without a role")
	default:
		fmt.Fprintf(&b, "access as %s", strings.Join(names, ", "))
	}
	switch {
	case endedSessions == 1:
		b.WriteString("; 1 session ended")
	case endedSessions > 1:
		fmt.Fprintf(&b, "; %d sessions ended", endedSessions)
	}
	return b.String()
}

// printable returns text of a client for a line of a log: what could move the
// cursor or begin a line of its own is replaced.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
