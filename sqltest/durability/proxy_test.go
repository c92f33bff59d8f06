//go:build unix

package durability_test

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/sqltest"
)

// A proxy stands between the service and PostgreSQL, and can be cut.
type proxy struct {
	folder string // where its socket is, as PostgreSQL's would be
	target string

	listener net.Listener
	mu       sync.Mutex
	open     map[net.Conn]bool
	serving  sync.WaitGroup
}

// startProxy starts a proxy for a server.
func startProxy(t *testing.T, c *sqltest.Cluster) *proxy {
	t.Helper()
	folder, err := os.MkdirTemp("", "scim") // with a short name: sockets have a limit
	require.NoError(t, err)
	p := &proxy{folder: folder, target: c.Socket(), open: map[net.Conn]bool{}}
	t.Cleanup(func() {
		p.cut()
		_ = os.RemoveAll(folder)
	})
	p.mend(t)
	return p
}

// mend accepts connections again.
func (p *proxy) mend(t *testing.T) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", filepath.Join(p.folder, filepath.Base(p.target)))
	require.NoError(t, err)
	p.listener = listener
	p.serving.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.serving.Go(func() { p.serve(client) })
		}
	})
}

// cut ends all connections, wherever they are, and accepts none.
func (p *proxy) cut() {
	_ = p.listener.Close() // it may be cut
	p.mu.Lock()
	for conn := range p.open {
		_ = conn.Close()
	}
	p.mu.Unlock()
	p.serving.Wait()
}

// count returns how many connections there are.
func (p *proxy) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.open) / 2
}

func (p *proxy) serve(client net.Conn) {
	server, err := new(net.Dialer).DialContext(context.Background(), "unix", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	p.mu.Lock()
	p.open[client], p.open[server] = true, true
	p.mu.Unlock()
	var both sync.WaitGroup
	pipe := func(to, from net.Conn) {
		_, _ = io.Copy(to, from) // until either ends
		_, _ = to.Close(), from.Close()
	}
	both.Go(func() { pipe(server, client) })
	both.Go(func() { pipe(client, server) })
	both.Wait()
	p.mu.Lock()
	delete(p.open, client)
	delete(p.open, server)
	p.mu.Unlock()
}
