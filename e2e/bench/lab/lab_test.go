// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// The tests run as the bench does: in namespaces of their own.
func TestMain(m *testing.M) {
	if done, err := Hop(); done {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	done, code, err := Enter()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if done {
		os.Exit(code)
	}
	if role := os.Getenv(roleEnv); role != "" {
		play(role)
	}
	os.Exit(m.Run())
}

func account(t *testing.T) *Account {
	t.Helper()
	a, err := NewAccount(fmt.Sprintf("ateom-lab-test-%d-%s", os.Getpid(), t.Name()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(a.path); err == nil {
			t.Errorf("%s is left", a.path)
		}
	})
	return a
}

func TestAccountCountsTheTimeOfProcessesThatEnded(t *testing.T) {
	a := account(t)
	m, err := a.Measure()
	if err != nil {
		t.Fatal(err)
	}
	// The loop runs in a grandchild.
	cmd := exec.Command("sh", "-c", `sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'; true`)
	if err := a.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	u, err := m.Stop()
	if err != nil {
		t.Fatal(err)
	}
	own := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if u.CPU < own/2 || u.CPU > 2*own+10*time.Millisecond {
		t.Errorf("account counts %v, the process and its child used %v", u.CPU, own)
	}
}

func TestAccountSeesAndKillsItsProcesses(t *testing.T) {
	a := account(t)
	cmd := exec.Command("sleep", "1000")
	if err := a.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if pids := a.Pids(); !slices.Contains(pids, cmd.Process.Pid) {
		t.Errorf("account holds %v, not %d", pids, cmd.Process.Pid)
	}
	p, err := Watch(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	go cmd.Wait()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := p.Wait(ctx); err != nil {
		t.Error(err)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	p, err := Watch(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := p.Wait(ctx); err == nil {
		t.Error("this process is said to have ended")
	}
}

func TestProcessesAreNamedByWhatTheyDo(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"/opt/runsc-sandbox", "--root", "/x", "boot", "--fd=3"}, SentryName},
		{[]string{"runsc-gofer", "--root=/x", "gofer"}, "runsc gofer"},
		{[]string{"runsc-checkpointgofer", "checkpointgofer", "-sock-fd=3"}, "runsc checkpointgofer"},
		{[]string{"/usr/bin/containerd", "boot"}, "containerd"},
	} {
		got := nameOf(strings.Join(tt.args, "\x00") + "\x00")
		if got != tt.want {
			t.Errorf("%q is named %q, want %q", tt.args, got, tt.want)
		}
	}
	if got := nameOf(""); got != "" {
		t.Errorf("a process that ends is named %q", got)
	}
}

func TestNetCarriesTrafficAfterItsAddressesWereTaken(t *testing.T) {
	l, err := NewNet(filepath.Join(t.TempDir(), "ns"), 3)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if _, err := netlink.LinkByName(l.link); err == nil {
			t.Errorf("%s is left", l.link)
		}
		if _, err := os.Stat(l.Path); err == nil {
			t.Errorf("%s is left", l.Path)
		}
	}()
	h, err := netlink.NewHandleAt(l.ns)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	eth0, err := h.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	// What runsc does at boot.
	if err := h.AddrDel(eth0, &netlink.Addr{IPNet: l.peer}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second finds everything there
		if err := l.Refill(); err != nil {
			t.Fatal(err)
		}
	}
	routes, err := h.RouteList(eth0, netlink.FAMILY_V4)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(routes, func(r netlink.Route) bool { return r.Gw.Equal(l.host.IP) }) {
		t.Errorf("no default route through %v in %v", l.host.IP, routes)
	}
	addr := listenIn(t, l)
	var s State
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := NewClient(addr).Get(ctx, "/", time.Millisecond, &s); err != nil || s.Counter != 7 {
		t.Errorf("Get = %+v, %v", s, err)
	}
}

// listenIn serves a State with counter 7 inside the namespace and returns its address.
func listenIn(t *testing.T, l *Net) string {
	t.Helper()
	var listener net.Listener
	made := make(chan error)
	go func() {
		// The thread is not given back: it is in another namespace.
		runtime.LockOSThread()
		if err := netns.Set(l.ns); err != nil {
			made <- err
			return
		}
		var err error
		listener, err = net.Listen("tcp", net.JoinHostPort(l.IP.String(), "0"))
		made <- err
	}()
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"nonce":"n","counter":7}`)
	})}
	go srv.Serve(listener)
	t.Cleanup(func() { srv.Close() })
	return listener.Addr().String()
}

func TestGetSaysWhatItLastHeard(t *testing.T) {
	srv := &http.Server{Handler: http.NotFoundHandler()}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	defer srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var s State
	err = NewClient(l.Addr().String()).Get(ctx, "/", time.Millisecond, &s)
	if err == nil || !strings.Contains(err.Error(), "status 404") {
		t.Errorf("Get = %v, want an error with the last answer in it", err)
	}
}

func TestOnlyTheSameProcessPassesForRestored(t *testing.T) {
	before := State{Nonce: "n", Counter: 4, File: "f"}
	tests := []struct {
		name   string
		before State
		after  State
		same   bool
	}{
		{"restored", before, State{Nonce: "n", Counter: 5, File: "f"}, true},
		{"started anew", before, State{Nonce: "m", Counter: 1, File: "f"}, false},
		{"an older state", before, State{Nonce: "n", Counter: 4, File: "f"}, false},
		{"called twice", before, State{Nonce: "n", Counter: 6, File: "f"}, false},
		{"another file", before, State{Nonce: "n", Counter: 5, File: "g"}, false},
		{"no nonce at all", State{}, State{Counter: 1}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := SameProcess(tt.before, tt.after); (err == nil) != tt.same {
				t.Errorf("SameProcess = %v, want same %v", err, tt.same)
			}
		})
	}
}

func TestDiskUsageDoesNotCountHoles(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(1 << 30); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 1<<20), 1<<29); err != nil {
		t.Fatal(err)
	}
	if err := Settle(dir); err != nil {
		t.Fatal(err)
	}
	got, err := DiskUsage(dir)
	if err != nil || got < 1<<20 || got > 2<<20 {
		t.Errorf("DiskUsage = %d, %v, want about 1 MiB", got, err)
	}
}

func TestTreeDigestSeesEveryChangeButHoles(t *testing.T) {
	tree := func(change func(dir string) error) string {
		t.Helper()
		dir := t.TempDir()
		write := func(name, content string) error {
			return os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600)
		}
		if err := errors.Join(os.Mkdir(filepath.Join(dir, "d"), 0o755), write("d/f", "content"), write("z", strings.Repeat("\x00", 1<<20)+"end"), change(dir)); err != nil {
			t.Fatal(err)
		}
		sum, err := TreeDigest(dir)
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	original := tree(func(string) error { return nil })
	hole := func(dir string) error {
		f, err := os.Create(filepath.Join(dir, "z"))
		if err != nil {
			return err
		}
		_, err = f.WriteAt([]byte("end"), 1<<20)
		return errors.Join(err, f.Chmod(0o600), f.Close())
	}
	if got := tree(hole); got != original {
		t.Error("a hole changed the digest")
	}
	for name, change := range map[string]func(dir string) error{
		"content": func(dir string) error { return os.WriteFile(filepath.Join(dir, "d/f"), []byte("Content"), 0o600) },
		"mode":    func(dir string) error { return os.Chmod(filepath.Join(dir, "d/f"), 0o644) },
		"name":    func(dir string) error { return os.Rename(filepath.Join(dir, "d/f"), filepath.Join(dir, "d/g")) },
		"size":    func(dir string) error { return os.Truncate(filepath.Join(dir, "z"), 2<<20) },
		"place": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "z"), []byte("end"+strings.Repeat("\x00", 1<<20)), 0o600)
		},
		"gone": func(dir string) error { return os.Remove(filepath.Join(dir, "d/f")) },
	} {
		if tree(change) == original {
			t.Errorf("%s: the digest is the same", name)
		}
	}
	if _, err := TreeDigest(filepath.Join(t.TempDir(), "absent")); err == nil {
		t.Error("no error for a directory that is not there")
	}
}
