// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ateom/ateom/e2e/harness"
)

// systemctl is the node's; there it knows how to restart containerd.
const systemctl = "/usr/local/bin/systemctl"

// restartScript asks the restarter, by files in a directory, and waits up to a
// minute.
const restartScript = `#!/bin/sh
[ "$*" = "restart containerd" ] || exit 2
: > %[1]s/asked
i=0
while [ ! -e %[1]s/done ]; do
	i=$((i + 1))
	[ $i -lt 1200 ] || exit 1
	sleep 0.05
done
read code < %[1]s/done
rm %[1]s/done
exit $code
`

// A restarter does what systemctl asks for.
type restarter struct {
	stop, ended chan struct{}
	count       atomic.Int32
}

// Restarts is how often systemctl was asked to restart containerd.
func (m *Machine) Restarts() int { return int(m.restarter.count.Load()) }

// restart restarts containerd.
func (m *Machine) restart() error {
	m.restarter.count.Add(1)
	if err := m.Node.Stop(syscall.SIGTERM); err != nil {
		return err
	}
	return m.Node.Boot()
}

func (r *restarter) close() {
	close(r.stop)
	<-r.ended
}

// serveRestarts installs systemctl and serves it.
func (m *Machine) serveRestarts() error {
	dir := filepath.Join(m.dir, "restart")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(systemctl, fmt.Appendf(nil, restartScript, dir), 0o755); err != nil {
		return err
	}
	r := &restarter{stop: make(chan struct{}), ended: make(chan struct{})}
	m.restarter = r
	go func() {
		defer close(r.ended)
		for {
			select {
			case <-r.stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
			if os.Remove(filepath.Join(dir, "asked")) != nil {
				continue
			}
			code := "0\n"
			if m.restart() != nil {
				code = "1\n" // why, its log says
			}
			_ = os.WriteFile(filepath.Join(dir, "new"), []byte(code), 0o600)
			_ = os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "done"))
		}
	}()
	return nil
}

// Install puts the runtime on the machine, by the installer.
func (m *Machine) Install() error {
	source, err := m.programs()
	if err != nil {
		return err
	}
	config := filepath.Join(m.dir, "ateom")
	if err := os.MkdirAll(config, 0o700); err != nil {
		return err
	}
	if err := m.Node.Config.Write(filepath.Join(config, "config.toml")); err != nil {
		return err
	}
	path, err := harness.Program("installer")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), harness.Limit)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--restart="+systemctl+" restart containerd", "--source="+source, "--config="+config, "install").CombinedOutput()
	if err != nil {
		return fmt.Errorf("install the runtime: %w\n%s", err, out)
	}
	return nil
}

// programs is a directory of links to what the image of the node's pod holds.
func (m *Machine) programs() (string, error) {
	bin, err := harness.BinDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(m.dir, "programs")
	return dir, filepath.WalkDir(bin, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(bin, path)
		switch {
		case err != nil:
			return err
		case rel == "tools":
			return filepath.SkipDir
		case e.IsDir():
			return os.MkdirAll(filepath.Join(dir, rel), 0o700)
		default:
			if err := os.Symlink(path, filepath.Join(dir, rel)); !errors.Is(err, fs.ErrExist) { // as an earlier install has left it
				return err
			}
			return nil
		}
	})
}
