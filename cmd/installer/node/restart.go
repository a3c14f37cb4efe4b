// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// RestartBy returns a function for Options.Restart: it runs a command in the
// mount namespace of the node's first process, if that is to be entered.
func RestartBy(command []string, enter bool) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, serveLimit)
		defer cancel()
		return run(ctx, command, enter)
	}
}

// nodePath is where the node's programs are looked for, whatever PATH this
// process was given for its own image: root's on Debian (ENV_SUPATH of login.defs).
const nodePath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// run runs a command, in the mount namespace of process 1 if enter says so.
func run(ctx context.Context, command []string, enter bool) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if enter {
			if err := enterMounts("/proc/1/ns/mnt"); err != nil {
				done <- err
				return
			}
			command = append([]string{"/usr/bin/env", "PATH=" + nodePath}, command...)
		}
		out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("run %q: %w: %s", command, err, out)
		}
		done <- err
	}()
	return <-done
}

// enterMounts moves this thread into a mount namespace.
func enterMounts(path string) error {
	ns, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("enter the node's mount namespace (hostPID is needed): %w", err)
	}
	defer ns.Close()
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("enter the node's mount namespace: %w", err)
	}
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("enter the node's mount namespace: %w", err)
	}
	return nil
}
