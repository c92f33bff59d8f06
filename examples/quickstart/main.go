// Quickstart is an application with SCIM provisioning, complete: start it, point
// an identity provider or curl at it, and read what the application is told.
//
//	go run -C examples ./quickstart
//	go run -C examples ./quickstart -demo
//	go run -C examples ./quickstart -store memory
//	go run -C examples ./quickstart -store postgres://localhost/muster
//	go run -C examples ./quickstart -org acme:acme.example -org globex:globex.example,globex.test -json
//
// Everything is kept in muster-quickstart.db in the working directory, here
// examples, an SQLite file for its owner alone: people and groups, and for each
// organization its directory, its domains and the digest of its token. The tokens
// themselves are beside it in muster-quickstart.tokens.json, as an identity provider
// would keep them. All of it is there after a restart; to begin again, remove both
// files. The demo leaves nothing behind.
//
// What to copy into an application of your own: newService in this file, which
// wires the library; app.go, which is told about people and writes its own table in
// the same transaction, and asks who may sign in; organizations.go, which is what a
// page of settings does for a customer; and openDatabase in database.go. The rest
// are the flags (options.go), tokens that are printed again after a restart
// (tokens.go) and an identity provider that tries it all out (demo.go).
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
)

// mountPath is where SCIM lives beside the application's other paths.
const mountPath = "/scim/v2"

// newService wires the library: a store, the application that is told, and the
// roles that the application has. What differs from customer to customer is not
// here but in the store ([organization.setUp]).
func newService(store directory.Storage, app scim.Provisioner, logger *log.Logger, errorLog *slog.Logger) (*directory.Service, error) {
	// Cursors live for minutes, so a key that ends with the process will do for
	// one; several behind one address share it.
	cursorKey := make([]byte, 32)
	_, _ = rand.Read(cursorKey) // never fails
	return directory.New(store, &scim.Config{
		Provisioner: app,
		Catalog: scim.RoleCatalog{
			Roles:          []string{"admin", "member", "viewer"},
			Administrators: []string{"admin"},           // the last one is protected
			Billable:       []string{"admin", "member"}, // these need a seat
		},
		Logger:    errorLog,
		CursorKey: cursorKey,
		OnRequest: func(_ context.Context, r *scim.LogEntry) {
			if r.Status >= http.StatusBadRequest {
				logger.Printf("%s: %s %s was refused with %d: %s", r.Directory.Tenant,
					printable(r.Method), mountPath+"/"+printable(strings.TrimPrefix(r.Path, "/")), r.Status, printable(r.Detail))
			}
		},
	}, nil)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// Once stopping has begun, a second signal ends the process as if it were
	// not handled.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program apart from its process. It serves until the context ends
// and returns the exit status: 2 for flags that are wrong, 1 for what fails
// later.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (status int) {
	o, err := parseOptions(args, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "quickstart: %v\nquickstart -help lists the flags.\n", err)
		return 2
	}
	if err := serve(ctx, o, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "quickstart: %v\n", err)
		return 1
	}
	return 0
}

// The server's limits. Neither a slow nor a silent client keeps a connection.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = time.Minute
	writeTimeout      = 2 * time.Minute
	idleTimeout       = 2 * time.Minute
	shutdownTimeout   = 15 * time.Second

	// More than a filter may have, so that one that is too long is answered by
	// the handler, in SCIM, and not by net/http in plain text.
	maxHeaderBytes = 2 << 20
)

// serve opens the listener, says how to reach it, and answers requests until
// the context ends or the demo is over. Requests under way are then answered
// and the database is closed before it returns.
func serve(ctx context.Context, o *options, stdout, stderr io.Writer) (err error) {
	if o.temporary {
		folder, failed := os.MkdirTemp("", "muster-quickstart-*") // mode 0700
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
		o.store = storage(filepath.Join(folder, defaultStore))
	}
	tokens, err := readTokens(o)
	if err != nil {
		return err
	}
	people := stdout // what is written for people, not machines
	if o.json {
		people = stderr
	}
	logger := log.New(stderr, "", log.Ltime)
	if o.demo {
		logger = log.New(people, "", 0)
	}
	errorLog := slog.New(slog.NewTextHandler(stderr, nil))
	db, err := openDatabase(ctx, o.store, errorLog)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	app := NewApp(db.DB, o.seats, logger)
	service, err := newService(db.store, app, logger, errorLog)
	if err != nil {
		return err
	}
	app.Gate(service)
	notes, err := setUpAll(ctx, o, db.store, service, tokens)
	if err != nil {
		return err
	}
	// What is to be done in the background, such as to tell the application of
	// what a crash cut off. It ends after the last request and before the database.
	working, stop := context.WithCancel(ctx)
	var worker sync.WaitGroup
	worker.Go(func() { _ = service.Run(working) }) // what fails is logged and tried again
	defer func() { stop(); worker.Wait() }()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.addr)
	if err != nil {
		return fmt.Errorf("-addr: %w; choose another address; port 0 is one that is free", err)
	}
	server := &http.Server{
		Handler:           scim.Mount(mountPath, service.Handler(), nil),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.New(stderr, "", log.Ltime),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	base := baseURL(listener.Addr())
	err = announce(o, base, listener.Addr(), notes, stdout, people)
	switch {
	case err != nil:
	case o.demo:
		err = runDemo(ctx, o, base, service, app, logger)
	default:
		select {
		case <-ctx.Done():
			logger.Print("stopping")
		case err = <-served:
		}
	}
	return errors.Join(err, shutdown(ctx, server))
}

// shutdown lets requests under way be answered: what they change is committed,
// and the provider has to know.
func shutdown(ctx context.Context, server *http.Server) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("requests were still under way after %s and are cut off: %w", shutdownTimeout, err), server.Close())
	}
	return nil
}

// baseURL returns what providers are given, with the port that the listener
// really has.
func baseURL(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return "http://" + addr.String() + mountPath
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost" // every address of this machine, so also that
	}
	return "http://" + net.JoinHostPort(host, port) + mountPath
}

// announce says for each organization how it is reached: to machines a line of
// JSON, to people with a command to try, unless the server is about to be gone.
// It is called once the listener is open, so that whoever reads it can connect
// at once.
func announce(o *options, base string, addr net.Addr, notes []string, stdout, people io.Writer) error {
	for _, org := range o.orgs {
		var err error
		switch {
		case o.json:
			err = json.NewEncoder(stdout).Encode(struct {
				Org     string `json:"org"`
				BaseURL string `json:"base_url"`
				Token   string `json:"token"`
			}{org.name, base, org.token})
		case o.demo:
			_, err = fmt.Fprintf(stdout, "%s\n  base URL  %s\n  token     %s\n\n", org, base, org.token)
		default:
			_, err = fmt.Fprintf(stdout, "%s\n  base URL  %s\n  token     %s\n  try it:\n  curl -H \"Authorization: Bearer %s\" \"%s/Users\"\n\n",
				org, base, org.token, org.token, base)
		}
		if err != nil {
			return fmt.Errorf("standard output: %w", err)
		}
		if len(org.domains) == 0 && o.policy.Domain == scim.RejectDomain {
			fmt.Fprintf(people, "%s has no domain, so everybody is refused; give one with -org %[1]s:example.com, or -domains-policy any.\n", org.name)
		}
	}
	for _, note := range notes {
		fmt.Fprintln(people, note)
	}
	if tcp, ok := addr.(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		fmt.Fprintf(people, "Others can reach %s, and tokens are sent to it in the clear: put a proxy with TLS in front.\n", addr)
	}
	if !o.demo {
		fmt.Fprintf(people, "\nGroup Admins gives the role admin, Engineers member; everybody else is a viewer.\n"+
			"%s What the application is told follows.\n\n", whereItIs(o))
	}
	return nil
}

// whereItIs says what is left when the server stops.
func whereItIs(o *options) string {
	if o.store == inMemory {
		return "Everything is in memory and gone when this stops (Ctrl-C)."
	}
	return fmt.Sprintf("Everything is kept in %s and the tokens in %s, also when this stops (Ctrl-C).", &o.store, o.tokenFile)
}
