// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
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
	config := filepath.Join(m.dir, "ateom")
	if err := os.MkdirAll(config, 0o700); err != nil {
		return err
	}
	if err := m.Node.Config.Write(filepath.Join(config, "config.toml")); err != nil {
		return err
	}
	return m.install(nil, "--config="+config)
}

// Upgrade installs another build of some programs, by their paths in the image of
// the node's pod, and leaves the node's configuration as it is.
func (m *Machine) Upgrade(builds map[string]string) error { return m.install(builds) }

func (m *Machine) install(builds map[string]string, flags ...string) error {
	source, err := os.MkdirTemp(m.dir, "programs")
	if err != nil {
		return err
	}
	if err := linkPrograms(source, builds); err != nil {
		return fmt.Errorf("gather programs: %w", err)
	}
	path, err := harness.Program("installer")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), harness.Limit)
	defer cancel()
	args := append(flags, "--restart="+systemctl+" restart containerd", "--source="+source, "install")
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("install the runtime: %w\n%s", err, out)
	}
	return nil
}

// linkPrograms makes a directory of links to what the image of the node's pod holds.
func linkPrograms(dir string, builds map[string]string) error {
	bin, err := harness.BinDir()
	if err != nil {
		return err
	}
	return filepath.WalkDir(bin, func(path string, e fs.DirEntry, err error) error {
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
		}
		if name, ok := builds[rel]; ok {
			if path, err = harness.Program(name); err != nil {
				return err
			}
		}
		return os.Symlink(path, filepath.Join(dir, rel))
	})
}
