// Ownstore is an application that had users and teams before it knew SCIM, and
// serves it from these tables: nothing of the directory is kept anywhere else.
//
//	SCIM_TOKEN=$(openssl rand -hex 32) go run -C examples ./ownstore -org acme:acme.example
//
// An identity provider is given http://127.0.0.1:8080/scim/v2 and the token, and
// http://127.0.0.1:8080/ shows what the application made of it. The database is
// ownstore.db in the working directory, here examples, unless -db names another
// file. To begin again, remove it.
//
// What to copy into an application of your own:
//
//   - store.go, the five methods of [scim.Store]. Change the statements and the
//     paths beside Set to your columns. Nothing in it knows PATCH or how a filter
//     is evaluated.
//   - scim.sql, the columns and indexes that your tables need besides.
//   - Provision in app.go, which is told what each person may do, and newHandler
//     below, which wires it all.
//   - store_test.go, which runs package storetest over the store. It is what
//     tells whether a change of yours still keeps the contract.
//
// A store of your own has no transaction around your rows and the library's
// events, so it has no events, no request log, no restore of who comes back, and
// Committed is not repeated. An application that can let the library have tables
// beside its own is better off with package sqlstore: see the quickstart and the
// example postgres.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/roles"
)

// newHandler wires the library: the store, what each group may do, who may call,
// and the application that is told.
func newHandler(store scim.Store, app scim.Provisioner, tokens []scim.Token, logger *slog.Logger) (*scim.Handler, error) {
	mapping, err := roles.New(roles.Mapping{Rules: []roles.Rule{{GroupName: "Admins", Role: "admin"}}, Default: "member"})
	if err != nil {
		return nil, err
	}
	auth, err := scim.StaticTokens(tokens...)
	if err != nil {
		return nil, err
	}
	return scim.NewHandler(store, mapping, auth, &scim.Config{Types: scim.CoreTypes(), Provisioner: app, Logger: logger})
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := run(ctx, os.Args[1:], os.Getenv("SCIM_TOKEN"), os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "ownstore:", err)
		os.Exit(1)
	}
}

// run serves until the context ends. Requests under way are then answered before
// the database is closed.
func run(ctx context.Context, args []string, token string, stdout, stderr io.Writer) (err error) {
	flags := flag.NewFlagSet("ownstore", flag.ContinueOnError)
	flags.SetOutput(stderr)
	addr := flags.String("addr", "127.0.0.1:8080", "`host:port` to listen on")
	file := flags.String("db", "ownstore.db", "the application's database, an SQLite `file`; made if it is not there")
	org := flags.String("org", "acme:example.com", "the organization and its email domains, `name:domain,domain`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	name, domains, _ := strings.Cut(*org, ":")
	if name == "" || domains == "" {
		return fmt.Errorf("-org %q: it is a name and the domains of its people's emails, such as acme:acme.example", *org)
	}
	db, err := openDatabase(ctx, *file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	app := &App{db}
	handler, err := newHandler(&Store{db, scim.CoreTypes()}, app, []scim.Token{{Secret: token, Directory: &scim.Directory{
		Tenant: name, ID: "default", Domains: strings.Split(domains, ","),
	}}}, slog.New(slog.NewTextHandler(stderr, nil)))
	if err != nil {
		return fmt.Errorf("%w (SCIM_TOKEN in the environment is the token that the provider sends)", err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", *addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "SCIM is at http://%s/scim/v2, with the token in SCIM_TOKEN; people are at http://%[1]s/\n", listener.Addr())
	server := &http.Server{Handler: scim.Mount("/scim/v2", handler, app), ReadTimeout: time.Minute, WriteTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 2 << 20}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case <-ctx.Done():
	case err := <-served:
		return err
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	return server.Shutdown(ending)
}
