package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// buildServer compiles the quickstart example and returns the program's path.
func buildServer(ctx context.Context, cache string) (string, error) {
	binary := filepath.Join(cache, "interop", "quickstart")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./quickstart")
	build.Dir = filepath.Join("..", "examples")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the quickstart: %w\n%s", err, out)
	}
	return binary, nil
}

// A server is a running quickstart with one empty directory.
type server struct {
	BaseURL string `json:"base_url"`
	Token   string `json:"token"`

	process *exec.Cmd
	log     bytes.Buffer // what it wrote for people
}

// startServer starts a quickstart on a free port of this machine. Tools make up
// addresses as they like and change them, so every domain may come in and an
// email may change; both are the host's policy, not the protocol.
func startServer(ctx context.Context, binary, dialect string) (*server, error) {
	s := &server{process: exec.CommandContext(ctx, binary,
		"-addr", "127.0.0.1:0", "-store", "memory", "-org", "acme", "-domains-policy", "any", "-email", "allow", "-dialect", dialect, "-json")}
	s.process.Stderr = &s.log
	s.process.Cancel = func() error { return s.process.Process.Signal(syscall.SIGTERM) }
	s.process.WaitDelay = 20 * time.Second
	stdout, err := s.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.process.Start(); err != nil {
		return nil, fmt.Errorf("starting the quickstart: %w", err)
	}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, s)
	}
	if err != nil {
		_ = s.process.Process.Kill()
		_ = s.process.Wait()
		return nil, fmt.Errorf("the quickstart said no address: %w\n%s", err, s.log.String())
	}
	return s, nil
}

// stop ends the server and writes down what it said if it did not end well.
func (s *server) stop(stderr io.Writer) {
	_ = s.process.Process.Signal(os.Interrupt)
	var exit *exec.ExitError
	if err := s.process.Wait(); errors.As(err, &exit) {
		fmt.Fprintf(stderr, "the quickstart ended with %v\n%s", err, s.log.String())
	}
}
