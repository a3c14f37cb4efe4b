// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/spaces"
)

// Reboot does to a node what a power cut does: every process ends without a
// word, and with them all that is volatile goes: ateom's run directory and
// containerd's state. Then containerd starts.
func (n *Node) Reboot(t testing.TB) {
	t.Helper()
	containers, err := n.Client.Containers(n.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Stop(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	Eventually(t, func() error {
		all, err := processes(here)
		if err != nil {
			return err
		}
		var errs []error
		for _, p := range all {
			number, args, _ := strings.Cut(p, ": ")
			if !strings.Contains(args, n.Dir+"/") && !strings.Contains(args, n.Config.RunDir+"/") && !strings.Contains(args, "-address "+n.Address+" ") {
				continue
			}
			errs = append(errs, fmt.Errorf("process %s lives on: %s", number, args))
			if pid, err := strconv.Atoi(number); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
			}
		}
		return errors.Join(errs...)
	})
	for _, dir := range []string{n.Config.RunDir, filepath.Join(n.Dir, "state")} {
		if err := errors.Join(lab.UnmountBelow(dir), os.RemoveAll(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	for _, c := range containers {
		if err := forget(c.ID()); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Boot(); err != nil {
		t.Fatal(err)
	}
}

// forget removes what a kernel that starts does not know: the cgroups of a
// container, and sockets that nobody serves.
func forget(container string) error {
	groups, err := cgroups(here)
	errs := []error{err}
	for _, dir := range groups {
		if filepath.Base(dir) == container {
			errs = append(errs, os.Remove(dir))
		}
	}
	names, err := filepath.Glob(filepath.Join(spaces.ShimSockets, "s", "*"))
	errs = append(errs, err)
	for _, path := range names {
		if conn, err := net.Dial("unix", path); err == nil {
			conn.Close()
			continue
		}
		errs = append(errs, os.Remove(path))
	}
	return errors.Join(errs...)
}
