package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"strings"
	"sync"
	"unicode"

	"github.com/muster-id/scim"
)

// An App stands for your application. It has people, who belong to an
// organization and have roles in it, and the sessions of those who have signed
// in. It is safe for concurrent use.
type App struct {
	log *log.Logger // who was told what, in plain words

	mu       sync.Mutex
	people   map[string]Person // by id: the table of users
	sessions map[string]string // whose they are, by session
}

// A Person is a row of the application's own table of users.
type Person struct {
	ID, Org     string
	ExternalID  string // the identity provider's name for the person
	Name, Email string
	Access      bool // may sign in
	Roles       []string
}

var (
	_ scim.Provisioner = (*App)(nil)
	_ scim.Committer   = (*App)(nil)
)

// NewApp returns an application without people.
func NewApp(logger *log.Logger) *App {
	return &App{log: logger, people: map[string]Person{}, sessions: map[string]string{}}
}

// Provision writes down what a person may do from now on ([scim.Provisioner]).
//
// The account is the whole desired state, so there is nothing to compare and no
// case to tell apart: a person who is new, changed, deactivated or deleted is
// the same write, and writing it twice does no harm. Nobody's row is ever
// removed: who comes back finds what they left.
//
// The request could still be rolled back and be sent again, so this writes to
// the application's tables and does nothing else.
func (app *App) Provision(_ context.Context, a *scim.Account) (hostID string, err error) {
	app.mu.Lock()
	defer app.mu.Unlock()
	id := app.idOf(a)
	app.people[id] = Person{
		ID: id, Org: a.Tenant, ExternalID: a.ExternalID,
		Name: a.Profile.Name, Email: a.Email,
		Access: a.Active, Roles: a.RoleNames(),
	}
	return id, nil
}

// idOf returns whose row an account is: HostID's, which is what Provision
// returned for it before. The first time there is none, unless the request that
// wrote it was rolled back: when the provider tries again, the user has another
// ID, but the same ExternalID.
func (app *App) idOf(a *scim.Account) string {
	if a.HostID != "" {
		return a.HostID
	}
	for id, p := range app.people {
		if p.Org == a.Tenant && p.ExternalID == a.ExternalID && a.ExternalID != "" {
			return id
		}
	}
	return a.ID // an application with ids of its own draws one here
}

// Committed does what could not be taken back, now that the change is final
// ([scim.Committer]): who has no access any more is signed out before the
// provider has its answer.
//
// It never fails here. An application whose Committed can fail also calls
// [scim.Engine.DeliverPending] from time to time, which repeats it.
func (app *App) Committed(_ context.Context, a *scim.Account) error {
	ended := 0
	if !a.Active {
		ended = app.endSessions(a.HostID)
	}
	app.log.Print(tell(a, ended))
	return nil
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
func (app *App) SignIn(org, email string) (session string, err error) {
	app.mu.Lock()
	defer app.mu.Unlock()
	p, ok := app.find(org, email)
	if !ok || !p.Access {
		return "", errors.New("no access")
	}
	session = rand.Text()
	app.sessions[session] = p.ID
	return session, nil
}

// SignedIn returns whose session it is, with the roles that the person has now,
// not those at the time of signing in. ok is false once the session has ended.
func (app *App) SignedIn(session string) (p Person, ok bool) {
	app.mu.Lock()
	defer app.mu.Unlock()
	id, ok := app.sessions[session]
	return app.people[id], ok
}

// Person returns what the application knows about somebody.
func (app *App) Person(org, email string) (p Person, ok bool) {
	app.mu.Lock()
	defer app.mu.Unlock()
	return app.find(org, email)
}

// find prefers a person with access: who was deleted and came back as somebody
// new has two rows.
func (app *App) find(org, email string) (found Person, ok bool) {
	for _, p := range app.people {
		if p.Org == org && strings.EqualFold(p.Email, email) && (!ok || p.Access) {
			found, ok = p, true
		}
	}
	return found, ok
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
