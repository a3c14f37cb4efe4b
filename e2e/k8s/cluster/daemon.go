// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/e2e/harness"
)

// A daemon is a program that runs until it is stopped.
type daemon struct {
	name  string
	log   string
	args  []string
	env   []string
	cmd   *exec.Cmd
	ended chan struct{}
}

func newDaemon(dir, name string, env []string, args ...string) *daemon {
	return &daemon{name: name, log: filepath.Join(dir, name+".log"), args: args, env: env}
}

func (d *daemon) start() error {
	path, err := harness.Program(d.name)
	if err != nil {
		return err
	}
	logs, err := os.OpenFile(d.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer logs.Close()
	cmd := exec.Command(path, d.args...)
	cmd.Env = append(os.Environ(), d.env...)
	cmd.Stdout, cmd.Stderr = logs, logs
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", d.name, err)
	}
	d.cmd, d.ended = cmd, make(chan struct{})
	go func(ended chan struct{}) {
		defer close(ended)
		// How it ended shows in its log.
		_ = cmd.Wait()
	}(d.ended)
	return nil
}

// stop ends the daemon and waits for its end.
func (d *daemon) stop() error {
	if d.cmd == nil {
		return nil
	}
	if err := d.cmd.Process.Signal(unix.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", d.name, err)
	}
	select {
	case <-d.ended:
		return nil
	case <-time.After(harness.Limit):
		return errors.Join(fmt.Errorf("stop %s: it lives on after %s", d.name, harness.Limit), d.cmd.Process.Kill())
	}
}

// stop ends daemons, one after the other; one that was never made is nil.
func stop(daemons ...*daemon) error {
	var errs []error
	for _, d := range daemons {
		if d != nil {
			errs = append(errs, d.stop())
		}
	}
	return errors.Join(errs...)
}

// await waits until ready returns nil; a daemon that ended meanwhile never will.
func (d *daemon) await(ready func() error) error {
	err := harness.PollFor(limit, lookPeriod, func() error {
		select {
		case <-d.ended:
			return harness.GiveUp(fmt.Errorf("%s has ended", d.name))
		default:
			return ready()
		}
	})
	if err != nil {
		return fmt.Errorf("wait for %s: %w\n%s", d.name, err, d.tail())
	}
	return nil
}

// tail returns the end of the daemon's log.
func (d *daemon) tail() []byte {
	b, err := os.ReadFile(d.log)
	if err != nil {
		return []byte(err.Error())
	}
	const tail = 4000
	return bytes.TrimSpace(b[max(0, len(b)-tail):])
}
