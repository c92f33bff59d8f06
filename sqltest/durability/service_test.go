//go:build unix

package durability_test

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/roles"
	"github.com/muster-id/scim/sqlstore"
)

const (
	tenant = "acme"
	token  = "a-token-that-is-for-tests-only"
	domain = "acme.example"
)

// directory is the tenant's only one.
var directory = &scim.Directory{Tenant: tenant, ID: "default", Domains: []string{domain}}

// A config says what a service works with.
type config struct {
	Dialect     sqlstore.Dialect
	Driver, DSN string
	Journal     string // the file to which Committed appends
	Connections int    // at most; 0: 8

	// Die ends the process, as kill -9 does, when it comes by this place for
	// the After'th time.
	Die   place
	After int64

	Timeout  time.Duration                                                                  // of hooks; 0: the default
	Instead  func(ctx context.Context, db *sql.DB, tx *sql.Tx, account *scim.Account) error `json:"-"` // what Provision does first
	ErrorLog io.Writer                                                                      `json:"-"` // nil: standard error
}

// A place is where a process can die.
type place string

const (
	inTransaction place = "in the transaction, between two writes of the application"
	beforeJournal place = "after the commit, before the journal"
	afterJournal  place = "after the journal, before the store knows"
)

// A service is the handler with an application behind it.
type service struct {
	db      *sql.DB
	store   *sqlstore.Store
	handler *scim.Handler
	app     *application
}

// newService opens the database and makes the tables where they are missing.
func newService(ctx context.Context, c *config) (*service, error) {
	db, err := sql.Open(c.Driver, c.DSN)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	db.SetMaxOpenConns(cmp.Or(c.Connections, 8))
	s, err := wire(ctx, c, db)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

func wire(ctx context.Context, c *config, db *sql.DB) (*service, error) {
	if err := sqlstore.Migrate(ctx, db, c.Dialect, nil); err != nil {
		return nil, err
	}
	app, err := newApplication(ctx, c, db)
	if err != nil {
		return nil, err
	}
	var out io.Writer = os.Stderr
	if c.ErrorLog != nil {
		out = c.ErrorLog
	}
	logger := slog.New(slog.NewTextHandler(out, nil))
	store, err := sqlstore.New(ctx, db, c.Dialect, scim.CoreTypes(), &sqlstore.Options{Logger: logger})
	if err != nil {
		return nil, err
	}
	mapping, err := roles.New(roles.Mapping{
		Rules:   []roles.Rule{{GroupName: groupNames[0], Role: "admin"}, {GroupName: groupNames[1], Role: "member"}},
		Default: "viewer",
	})
	if err != nil {
		return nil, err
	}
	auth, err := scim.StaticTokens(scim.Token{Secret: token, Directory: directory})
	if err != nil {
		return nil, err
	}
	handler, err := scim.NewHandler(store, mapping, auth, &scim.Config{Provisioner: app, Logger: logger, ProvisionTimeout: c.Timeout})
	if err != nil {
		return nil, err
	}
	return &service{db: db, store: store, handler: handler, app: app}, nil
}

func (s *service) close() error {
	return errors.Join(s.store.Close(), s.db.Close(), s.app.journal.Close())
}

// deliver calls Committed where it is owed.
func (s *service) deliver(ctx context.Context) error {
	_, err := s.handler.Engine().DeliverPending(ctx, tenant, func(scim.Key) *scim.Directory { return directory })
	return err
}

// serve is the program that is killed. It tells its address on standard output.
func serve(c *config) error {
	ctx := context.Background()
	s, err := newService(ctx, c)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://" + listener.Addr().String())
	go func() {
		for range time.Tick(50 * time.Millisecond) {
			if err := s.deliver(ctx); err != nil && !errors.Is(err, scim.ErrUnavailable) {
				fmt.Fprintln(os.Stderr, "service: deliver:", err)
			}
		}
	}()
	if err := s.deliver(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "service: deliver at start:", err)
	}
	server := &http.Server{Handler: s.handler, ReadHeaderTimeout: 10 * time.Second}
	return server.Serve(listener)
}

// An application has people and what they may do, each in a table of its own,
// and a journal of what it did that no rollback takes back.
type application struct {
	config  *config
	db      *sql.DB
	journal *os.File
	passes  atomic.Int64
}

// Two tables, so that there is something that can be done by half.
const applicationTables = `
CREATE TABLE IF NOT EXISTS people (
	host_id TEXT NOT NULL PRIMARY KEY, tenant TEXT NOT NULL, user_id TEXT NOT NULL, external_id TEXT NOT NULL UNIQUE,
	email TEXT NOT NULL, name TEXT NOT NULL, active BOOLEAN NOT NULL, groups TEXT NOT NULL, gone BOOLEAN NOT NULL);
CREATE TABLE IF NOT EXISTS access (host_id TEXT NOT NULL, role TEXT NOT NULL, PRIMARY KEY (host_id, role))`

func newApplication(ctx context.Context, c *config, db *sql.DB) (*application, error) {
	a := &application{config: c, db: db}
	for statement := range strings.SplitSeq(applicationTables, ";") {
		if err := a.create(ctx, statement); err != nil {
			return nil, fmt.Errorf("the application's tables: %w", err)
		}
	}
	var err error
	a.journal, err = os.OpenFile(c.Journal, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return a, err
}

// create repeats what fails because another process does the same.
func (a *application) create(ctx context.Context, statement string) error {
	var err error
	for range 5 {
		if _, err = a.db.ExecContext(ctx, statement); err == nil {
			break
		}
	}
	return err
}

// sql returns a statement as the driver wants its parameters.
func (a *application) sql(statement string) string {
	if a.config.Dialect == sqlstore.SQLite {
		return strings.ReplaceAll(statement, "$", "?")
	}
	return statement
}

// pass ends the process if this is the place and the time.
func (a *application) pass(p place) {
	if a.config.Die == p && a.passes.Add(1) == a.config.After {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// Provision writes down the account in the request's transaction.
func (a *application) Provision(ctx context.Context, account *scim.Account) (string, error) {
	tx, ok := sqlstore.Tx(ctx)
	if !ok {
		return "", errors.New("Provision is called without a transaction")
	}
	if instead := a.config.Instead; instead != nil {
		if err := instead(ctx, a.db, tx, account); err != nil {
			return "", err
		}
	}
	row := personOf(account)
	if row.HostID == "" {
		err := tx.QueryRowContext(ctx, a.sql(`SELECT host_id FROM people WHERE external_id = $1`), row.ExternalID).Scan(&row.HostID)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			row.HostID = uuid.NewString()
		case err != nil:
			return "", err
		}
	}
	_, err := tx.ExecContext(ctx, a.sql(`INSERT INTO people (host_id, tenant, user_id, external_id, email, name, active, groups, gone)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (host_id) DO UPDATE SET user_id = excluded.user_id,
			external_id = excluded.external_id, email = excluded.email, name = excluded.name, active = excluded.active,
			groups = excluded.groups, gone = excluded.gone`),
		row.HostID, account.Tenant, row.UserID, row.ExternalID, row.Email, row.Name, row.Active, row.Groups, row.Gone)
	if err != nil {
		return "", err
	}
	a.pass(inTransaction)
	if _, err := tx.ExecContext(ctx, a.sql(`DELETE FROM access WHERE host_id = $1`), row.HostID); err != nil {
		return "", err
	}
	if !account.Active {
		return row.HostID, nil
	}
	for _, role := range account.RoleNames() {
		if _, err := tx.ExecContext(ctx, a.sql(`INSERT INTO access (host_id, role) VALUES ($1, $2)`), row.HostID, role); err != nil {
			return "", err
		}
	}
	return row.HostID, nil
}

// Committed appends a line to the journal, with one write that no kill tears.
func (a *application) Committed(_ context.Context, account *scim.Account) error {
	a.pass(beforeJournal)
	line, err := json.Marshal(entry{account.Seq, personOf(account)})
	if err == nil {
		_, err = a.journal.Write(append(line, '\n'))
	}
	a.pass(afterJournal)
	return err
}

// An entry is a line of the journal. Whoever reads it goes by the greatest Seq
// of each person.
type entry struct {
	Seq uint64
	row
}

// A row is a person as the application has it.
type row struct {
	HostID, UserID, ExternalID, Email, Name string
	Active                                  bool
	Roles, Groups                           string // names in order, with commas; no roles of who has no access
	Gone                                    bool
}

func personOf(a *scim.Account) row {
	r := row{
		HostID: a.HostID, UserID: a.ID, ExternalID: a.ExternalID, Email: a.Email, Name: a.Profile.Name,
		Active: a.Active, Gone: a.User == nil,
	}
	if a.Active {
		r.Roles = strings.Join(a.RoleNames(), ",")
	}
	var groups []string
	for _, g := range a.Groups {
		groups = append(groups, g.DisplayName)
	}
	slices.Sort(groups)
	r.Groups = strings.Join(groups, ",")
	return r
}
