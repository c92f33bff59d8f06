//go:build unix

package main

import (
	"fmt"
	"os"
	"os/exec"
	account "os/user"
	"strconv"
	"syscall"
)

// runUnprivileged has the command run as somebody else than root, for whom PostgreSQL
// does not start, and gives that user the directory. An interrupt of the terminal
// reaches this process alone, which then ends the command.
func runUnprivileged(command *exec.Cmd, dir string) error {
	command.Dir = dir
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() != 0 {
		return nil
	}
	who, err := account.Lookup("postgres")
	if err != nil {
		if who, err = account.Lookup("nobody"); err != nil {
			return fmt.Errorf("PostgreSQL does not run as root, and there is nobody else: %w", err)
		}
	}
	uid, err := strconv.ParseUint(who.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(who.Gid, 10, 32)
	if err != nil {
		return err
	}
	command.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), NoSetGroups: true}
	return os.Chown(dir, int(uid), int(gid))
}
