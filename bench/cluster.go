package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// A cluster is a private PostgreSQL: a directory that is removed with it, reached
// through a socket in that directory alone.
type cluster struct {
	dsn     string
	dir     string
	command *exec.Cmd
}

var errNoPostgreSQL = errors.New("no PostgreSQL is installed")

// postgresBinary finds a program of PostgreSQL in the path or where Debian has it, of
// the latest version.
func postgresBinary(name string) (string, error) {
	if found, err := exec.LookPath(name); err == nil {
		return found, nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err != nil || len(found) == 0 {
		return "", errNoPostgreSQL
	}
	return slices.Max(found), nil // versions have two digits
}

// startCluster makes a cluster and starts it with these settings besides the defaults,
// which write every commit to the disk before it is confirmed.
func startCluster(ctx context.Context, settings ...string) (c *cluster, err error) {
	initdb, err := postgresBinary("initdb")
	if err != nil {
		return nil, err
	}
	postgres, err := postgresBinary("postgres")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "bench-postgresql-")
	if err != nil {
		return nil, err
	}
	c = &cluster{dir: dir, dsn: "host=" + dir + " user=bench dbname=postgres sslmode=disable"}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.stop())
		}
	}()
	data := filepath.Join(dir, "data")
	initialise := exec.CommandContext(ctx, initdb, "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync") //nolint:gosec // an installed program
	if err := runUnprivileged(initialise, dir); err != nil {
		return nil, err
	}
	if output, err := initialise.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %.1000s", err, output)
	}

	arguments := []string{"-D", data, "-k", dir, "-c", "listen_addresses="}
	for _, setting := range settings {
		arguments = append(arguments, "-c", setting)
	}
	log, err := os.Create(filepath.Join(dir, "log")) //nolint:gosec // a directory of its own
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()               // the server has its own handle
	c.command = exec.Command(postgres, arguments...) //nolint:gosec,noctx // stop ends it
	c.command.Stdout, c.command.Stderr = log, log
	if err := runUnprivileged(c.command, dir); err != nil {
		return nil, err
	}
	if err := c.command.Start(); err != nil {
		c.command = nil
		return nil, err
	}
	return c, c.ready(ctx)
}

// ready waits until the server answers.
func (c *cluster) ready(ctx context.Context) error {
	db, err := sql.Open("pgx", c.dsn)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(c.dir, "log"))
			return fmt.Errorf("PostgreSQL does not answer: %w: %.1000s", err, log)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the server and removes what it has stored.
func (c *cluster) stop() error {
	var err error
	if c.command != nil {
		err = errors.Join(c.command.Process.Signal(os.Interrupt), c.command.Wait()) // an interrupt ends it without waiting for clients
	}
	return errors.Join(err, os.RemoveAll(c.dir))
}
