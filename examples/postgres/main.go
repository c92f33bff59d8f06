// Postgres is the least that an application with a PostgreSQL database needs to
// be provisioned: the library's tables stand beside its own, and both are written
// in one transaction.
//
//	psql "$DATABASE_URL" -f examples/postgres/people.sql
//	go run -C examples ./postgres
//
// DATABASE_URL is the database, postgres://…. The first start connects the
// organization acme and prints the token that its identity provider sends to
// http://127.0.0.1:8080/scim/v2, this once: the database has its digest alone. The
// library's tables, whose names begin with scim_, are made at the start; an
// application that migrates with a tool of its own gives it [sqlstore.Migrations]
// instead.
//
// Everything here is to be copied. The quickstart has what is left out: several
// organizations, sessions that end with the access, who may sign in, cursors, the
// limits of the HTTP server.
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
	"github.com/muster-id/scim/directory"
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
	store, service, err := provisioning(ctx, db)
	if err != nil {
		log.Fatal(err)
	}
	if token, err := connect(ctx, store, service, "acme", "example.com"); err != nil {
		log.Fatal(err)
	} else if token != "" {
		log.Printf("acme is connected; its token, shown this once: %s", token)
	}
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: scim.Mount("/scim/v2", service.Handler(), nil), ReadTimeout: time.Minute}
	go func() { log.Print(server.ListenAndServe()); stop() }()
	err = service.Run(ctx) // in the background what is to be done there, until the program is to end
	if err := errors.Join(err, server.Shutdown(context.Background()), store.Close(), db.Close()); err != nil {
		log.Fatal(err)
	}
}

// provisioning wires the library: a store in the application's database, the roles
// that the application has, and the function that is told.
func provisioning(ctx context.Context, db *sql.DB) (*sqlstore.Store, *directory.Service, error) {
	err1 := sqlstore.Migrate(ctx, db, sqlstore.PostgreSQL, nil)
	store, err2 := sqlstore.New(ctx, db, sqlstore.PostgreSQL, scim.CoreTypes(), nil)
	if err := errors.Join(err1, err2); err != nil {
		return nil, nil, err
	}
	service, err := directory.New(store, &scim.Config{
		Provisioner: scim.ProvisionerFunc(provision),
		Catalog:     scim.RoleCatalog{Roles: []string{"admin", "viewer"}, Administrators: []string{"admin"}},
		Logger:      slog.Default(),
	}, nil)
	return store, service, err
}

// connect is what a page of settings does for a customer who wants to be
// provisioned: a directory in the store, what its groups may do, whose email is the
// customer's, and a token for the identity provider, "" if all that is there
// already. It is one transaction, all of it or nothing.
func connect(ctx context.Context, store *sqlstore.Store, service *directory.Service, org, domain string) (token string, err error) {
	key := scim.Key{Tenant: org, Directory: "default"}
	err = store.Do(ctx, org, func(ctx context.Context, _ scim.Tx) error {
		if _, err := service.Get(ctx, key); !errors.Is(err, scim.ErrNotFound) {
			return err
		}
		_, err1 := service.AssertDomain(ctx, org, domain) // by your word; AddDomain and VerifyDomain ask DNS
		_, err2 := service.Create(ctx, directory.Directory{Tenant: org, ID: key.Directory})
		_, err3 := service.SetMapping(ctx, key, roles.Mapping{Rules: []roles.Rule{{GroupName: "Admins", Role: "admin"}}, Default: "viewer"}, 0)
		secret, _, err4 := service.IssueToken(ctx, key, directory.TokenOptions{})
		token = secret
		return errors.Join(err1, err2, err3, err4)
	})
	return token, err
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
