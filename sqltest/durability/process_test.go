//go:build unix

package durability_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience bounds what must happen at some time.
const patience = 30 * time.Second

// A process is a service in a process of its own.
type process struct {
	URL string

	cmd    *exec.Cmd
	exited chan struct{}
	stderr lockedBuffer
}

// startProcess starts a service and returns when it listens.
func startProcess(t *testing.T, c *config) *process {
	t.Helper()
	settings, err := json.Marshal(c)
	require.NoError(t, err)
	program, err := os.Executable()
	require.NoError(t, err)
	p := &process{cmd: exec.CommandContext(t.Context(), program), exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), serveVariable+"="+string(settings))
	p.cmd.Stderr = &p.stderr
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() {
		p.kill(t)
		if text := p.stderr.String(); t.Failed() && text != "" {
			t.Logf("a service said:\n%s", text[max(0, len(text)-4096):])
		}
	})
	address := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(stdout).ReadString('\n') // "" from one that dies before
		address <- strings.TrimSpace(line)
		_ = p.cmd.Wait() // it is killed
		close(p.exited)
	}()
	select {
	case p.URL = <-address:
	case <-time.After(patience):
		p.kill(t)
		t.Fatalf("the service does not start: %s", p.stderr.String())
	}
	return p
}

// kill ends the process with SIGKILL.
func (p *process) kill(t *testing.T) {
	t.Helper()
	_ = p.cmd.Process.Kill() // it may have ended by itself
	p.wait(t)
}

func (p *process) wait(t *testing.T) {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		t.Fatalf("the service does not end: %s", p.stderr.String())
	}
}

// A lockedBuffer is written by one goroutine and read by another.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

var _ io.Writer = (*lockedBuffer)(nil)

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
