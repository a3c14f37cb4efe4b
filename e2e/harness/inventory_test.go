// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { os.Exit(Run(m)) }

func TestWhatIsLeftBehindIsFound(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name string
		// leave makes something and returns its end.
		leave func(t *testing.T) (end func() error)
		want  string
	}{
		{"process", func(t *testing.T) func() error {
			cmd := exec.Command("sleep", "1000")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			Eventually(t, func() error { // the kernel sets it a little later than Start knows
				args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", cmd.Process.Pid))
				if err == nil && len(args) == 0 {
					err = errors.New("it has no arguments yet")
				}
				return err
			})
			return func() error {
				if err := cmd.Process.Kill(); err != nil {
					return err
				}
				_, err := cmd.Process.Wait()
				return err
			}
		}, "sleep 1000"},
		{"mount", func(t *testing.T) func() error {
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
				t.Fatal(err)
			}
			return func() error { return unix.Unmount(dir, 0) }
		}, "mount " + dir},
		{"cgroup", func(t *testing.T) func() error {
			parent := filepath.Join(cgroupRoot, "unified", here.word+"-1")
			if _, err := os.Stat(filepath.Dir(parent)); err != nil {
				parent = filepath.Join(cgroupRoot, here.word+"-1")
			}
			child := filepath.Join(parent, "container")
			if err := os.MkdirAll(child, 0o755); err != nil {
				t.Fatal(err)
			}
			return func() error {
				if err := os.Remove(child); err != nil {
					return err
				}
				return removeCgroups(here)
			}
		}, "-1/container"},
		{"interface", func(t *testing.T) func() error {
			link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "left0"}, PeerName: "left1"}
			if err := netlink.LinkAdd(link); err != nil {
				t.Fatal(err)
			}
			return func() error { return netlink.LinkDel(link) }
		}, "interface left0"},
		{"socket", func(t *testing.T) func() error {
			l, err := net.Listen("unix", filepath.Join(dir, "s"))
			if err != nil {
				t.Fatal(err)
			}
			return l.Close
		}, "socket " + dir},
		{"file", func(t *testing.T) func() error {
			f, err := os.Create(filepath.Join(here.dir, "tmp", "left"))
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
			return func() error { return os.Remove(f.Name()) }
		}, "tmp/left"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, err := takeInventory(here)
			if err != nil {
				t.Fatal(err)
			}
			end := c.leave(t)
			err = before.compare(here, 0)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("left behind a %s: %v, want an error with %q", c.name, err, c.want)
			}
			if err := end(); err != nil {
				t.Fatal(err)
			}
			if err := before.compare(here, leakLimit); err != nil {
				t.Errorf("after the end: %v", err)
			}
		})
	}
}
