package sqltest

import (
	"context"
	"os/exec"
	"syscall"
)

// Crash ends the server as a loss of power would, as far as a program can be
// asked to: at once and without a checkpoint, whatever its transactions are
// doing. It returns when nothing of it runs.
func (c *Cluster) Crash() {
	_ = c.server.Process.Signal(syscall.SIGQUIT) // an immediate shutdown; it may have ended
	<-c.ended
}

// Restart starts a server again that has ended, and returns when it answers.
func (c *Cluster) Restart(ctx context.Context) error {
	was := c.server
	c.server = exec.CommandContext(context.WithoutCancel(ctx), was.Path, was.Args[1:]...)
	c.server.Dir, c.server.Stdout, c.server.Stderr, c.server.SysProcAttr = was.Dir, was.Stdout, was.Stderr, was.SysProcAttr
	return c.run(ctx)
}

// Unprivileged returns how to start another program that refuses to be run by
// root.
func Unprivileged() (*syscall.SysProcAttr, error) {
	who, err := unprivileged()
	return &syscall.SysProcAttr{Credential: who}, err
}
