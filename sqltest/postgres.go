package sqltest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// A Cluster is a PostgreSQL server of the test process's own, reached by a
// socket in a temporary folder.
type Cluster struct {
	Folder string // of the data and the socket
	server *exec.Cmd
	log    *os.File
	ended  chan struct{}
}

// ErrNoPostgreSQL says that PostgreSQL is not installed.
var ErrNoPostgreSQL = errors.New("sqltest: PostgreSQL is not installed (looked for initdb in /usr/lib/postgresql/*/bin and in PATH)")

// program returns the path of a program of PostgreSQL, the latest version.
func program(name string) (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err != nil || len(found) == 0 {
		path, err := exec.LookPath(name)
		if err != nil {
			return "", ErrNoPostgreSQL
		}
		return path, nil
	}
	return slices.MaxFunc(found, func(a, b string) int { return versionOf(a) - versionOf(b) }), nil
}

func versionOf(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) // 0 for what is no number
	return n
}

// unprivileged returns who runs the server: PostgreSQL refuses to be run by
// root.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
	}
	return nil, errors.New("sqltest: PostgreSQL cannot be run by root, and there is neither a user postgres nor nobody")
}

// StartCluster starts a server. What it has written is not safe from a crash of
// the machine, which makes it fast; settings are further parameters such as
// "fsync=on".
func StartCluster(ctx context.Context, settings ...string) (*Cluster, error) {
	initdb, err := program("initdb")
	if err != nil {
		return nil, err
	}
	postgres, err := program("postgres")
	if err != nil {
		return nil, err
	}
	who, err := unprivileged()
	if err != nil {
		return nil, err
	}
	folder, err := tempFolder()
	if err != nil {
		return nil, err
	}
	c := &Cluster{Folder: folder}
	if who != nil {
		err = os.Chown(folder, int(who.Uid), int(who.Gid))
	}
	if err == nil {
		err = c.start(ctx, who, initdb, postgres, settings)
	}
	if err != nil {
		c.Stop()
		return nil, err
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context, who *syscall.Credential, initdb, postgres string, settings []string) (err error) {
	data := filepath.Join(c.Folder, "data")
	initialize := exec.CommandContext(ctx, initdb, "--pgdata="+data, "--username=test", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions")
	initialize.Dir = c.Folder
	initialize.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	if out, err := initialize.CombinedOutput(); err != nil {
		return fmt.Errorf("sqltest: initdb: %w: %s", err, out)
	}
	if c.log, err = os.Create(filepath.Join(c.Folder, "log")); err != nil {
		return err
	}
	args := []string{"-D", data, "-k", c.Folder, "-c", "listen_addresses=", "-c", "max_connections=200", "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "timezone=UTC"}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	c.server = exec.CommandContext(context.WithoutCancel(ctx), postgres, args...) // it ends by Stop
	c.server.Dir = c.Folder
	c.server.Stdout, c.server.Stderr = c.log, c.log
	c.server.SysProcAttr = dieWithParent(who)
	started := make(chan error)
	c.ended = make(chan struct{})
	go func() {
		// What ends the server with its parent is that this thread ends.
		runtime.LockOSThread()
		err := c.server.Start()
		started <- err
		if err == nil {
			_ = c.server.Wait()
		}
		close(c.ended)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("sqltest: postgres: %w", err)
	}
	db, err := sql.Open("pgx", c.DSN("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if err = db.PingContext(ctx); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			said, _ := os.ReadFile(c.log.Name()) // empty if there is nothing to say
			return fmt.Errorf("sqltest: postgres does not answer: %w\n%s", err, said)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Socket returns the path of the server's socket.
func (c *Cluster) Socket() string { return filepath.Join(c.Folder, ".s.PGSQL.5432") }

// DSN names a database of the cluster.
func (c *Cluster) DSN(database string) string {
	return "host=" + c.Folder + " user=test database=" + database
}

// Stop ends the server and removes what it has written.
func (c *Cluster) Stop() {
	if c.server != nil && c.server.Process != nil {
		_ = c.server.Process.Signal(syscall.SIGQUIT) // an immediate shutdown; it may have ended
		<-c.ended
	}
	if c.log != nil {
		_ = c.log.Close()
	}
	_ = os.RemoveAll(c.Folder)
}

// tempFolder makes a folder in memory where there is such a place: a test is
// not about the disk. The name is short: sockets have a limit.
func tempFolder() (string, error) {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		if folder, err := os.MkdirTemp("/dev/shm", "scim"); err == nil {
			return folder, nil
		}
	}
	return os.MkdirTemp("", "scim")
}

var shared struct {
	sync.Mutex

	cluster *Cluster
	err     error
	db      *sql.DB
	schemas int
	folders []string
}

// PostgreSQL returns a database of the cluster that the test process shares,
// which is started by the first call and ended by Close.
func PostgreSQL() (*sql.DB, error) {
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster == nil && shared.err == nil {
		shared.cluster, shared.err = StartCluster(context.Background())
		if shared.err == nil {
			shared.db, shared.err = sql.Open("pgx", shared.cluster.DSN("postgres"))
		}
		if shared.err == nil {
			const connections = 150
			shared.db.SetMaxOpenConns(connections)
			shared.db.SetMaxIdleConns(2 * ready)
		}
	}
	if shared.err == nil {
		shared.err = connect(shared.db, ready)
	}
	return shared.db, shared.err
}

// ready is how many connections there are when a test begins: one whose clock
// is not the real one (testing/synctest) must not make any that others use.
const ready = 4

func connect(db *sql.DB, n int) error {
	if db.Stats().Idle >= n {
		return nil
	}
	for range n {
		conn, err := db.Conn(context.Background())
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }() // gives it back
	}
	return nil
}

// ClusterDSN names the database that PostgreSQL returns.
func ClusterDSN() string {
	shared.Lock()
	defer shared.Unlock()
	return shared.cluster.DSN("postgres")
}

// Close ends what the test process shares.
func Close() {
	shared.Lock()
	defer shared.Unlock()
	if shared.db != nil {
		_ = shared.db.Close()
	}
	if shared.cluster != nil {
		shared.cluster.Stop()
	}
	for _, folder := range shared.folders {
		_ = os.RemoveAll(folder)
	}
	shared.cluster, shared.db, shared.folders = nil, nil, nil
}
