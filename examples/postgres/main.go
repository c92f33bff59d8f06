// Postgres is the least that an application with a PostgreSQL database needs to
// be provisioned: the library's tables stand beside its own, and both are written
// in one transaction.
//
//	psql "$DATABASE_URL" -f examples/postgres/people.sql
//	SCIM_TOKEN=$(openssl rand -hex 32) go run -C examples ./postgres
//
// DATABASE_URL is the database, postgres://…; SCIM_TOKEN is what the identity
// provider sends to http://127.0.0.1:8080/scim/v2. The library's tables, whose names
// begin with scim_, are made at the start; an application that migrates with a
// tool of its own gives it [sqlstore.Migrations] instead.
//
// Everything here is to be copied. The quickstart has what is left out: several
// organizations, sessions that end with the access, cursors, the limits of the
// HTTP server.
package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/roles"
	"github.com/muster-id/scim/sqlstore"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	store, handler, err := provisioning(ctx, db, os.Getenv("SCIM_TOKEN"))
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: handler, ReadTimeout: time.Minute}
	go func() { log.Print(server.ListenAndServe()); stop() }()
	<-ctx.Done()
	if err := errors.Join(server.Shutdown(context.Background()), store.Close(), db.Close()); err != nil {
		log.Fatal(err)
	}
}

// provisioning wires the library: a store in the application's database, what each
// group may do, a token for each organization, and the function that is told.
func provisioning(ctx context.Context, db *sql.DB, token string) (*sqlstore.Store, http.Handler, error) {
	err1 := sqlstore.Migrate(ctx, db, sqlstore.PostgreSQL, nil)
	store, err2 := sqlstore.New(ctx, db, sqlstore.PostgreSQL, scim.CoreTypes(), nil)
	mapping, err3 := roles.New(roles.Mapping{Rules: []roles.Rule{{GroupName: "Admins", Role: "admin"}}, Default: "viewer"})
	auth, err4 := scim.StaticTokens(scim.Token{Secret: token, Directory: &scim.Directory{Tenant: "acme", ID: "default", Domains: []string{"example.com"}}})
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, nil, err
	}
	handler, err := scim.NewHandler(store, mapping, auth, &scim.Config{Provisioner: scim.ProvisionerFunc(provision), Logger: slog.Default()})
	return store, scim.Mount("/scim/v2", handler, nil), err
}

// provision writes down what a person may do from now on, in the transaction of the
// request. It returns whose row that is, by which the person is known from then on.
func provision(ctx context.Context, a *scim.Account) (hostID string, err error) {
	tx, _ := sqlstore.Tx(ctx) // there is one in every call of a Provisioner
	id := cmp.Or(a.HostID, a.ID)
	_, err = tx.ExecContext(ctx, `INSERT INTO people (id, org, email, name, roles, access) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (id) DO UPDATE SET (email, name, roles, access) = (excluded.email, excluded.name, excluded.roles, excluded.access)`,
		id, a.Tenant, a.Email, a.Profile.Name, strings.Join(a.RoleNames(), ","), a.Active)
	return id, err
}
