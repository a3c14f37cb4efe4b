// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package network

import (
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// newNamespace makes a network namespace with a dummy link that has an address
// and a default route, and returns the path it is bound to.
func newNamespace(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ns")
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_RDONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	done := make(chan error, 1)
	go func() {
		// The thread is left locked, so that it ends with the goroutine and
		// nobody else runs in the new namespace.
		runtime.LockOSThread()
		ns, err := netns.New()
		if err == nil {
			ns.Close()
			err = unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, "")
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(path, unix.MNT_DETACH) })

	h, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(h.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0", MTU: 1400}, PeerName: "peer0"}))
	link, err := h.LinkByName("eth0")
	must(err)
	address := func(cidr, peer string) {
		t.Helper()
		addr, err := netlink.ParseAddr(cidr)
		must(err)
		if peer != "" {
			addr.Peer, err = netlink.ParseIPNet(peer)
			must(err)
		}
		must(h.AddrAdd(link, addr))
	}
	address("10.7.0.2/24", "")
	address("10.9.0.2/32", "10.9.0.1/32")
	address("fd00:7::2/64", "")
	must(h.LinkSetUp(link))
	must(h.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: net.ParseIP("10.7.0.1")}))
	must(h.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: net.ParseIP("fd00:7::1"), Family: netlink.FAMILY_V6}))
	must(h.NeighSet(&netlink.Neigh{LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT,
		IP: net.ParseIP("10.7.0.1"), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}}))
	return path
}

func TestApplyPutsBackWhatWasTaken(t *testing.T) {
	path := newNamespace(t)
	before, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := before.Addresses(); n < 3 {
		t.Fatalf("read %+v, want three addresses", before)
	}

	// Take the addresses as gVisor does; the routes go with them.
	h, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	link, err := h.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := h.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if err := h.AddrDel(link, &a); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := Read(path); err != nil || s.Addresses() != 0 {
		t.Fatalf("after taking them there are still addresses: %+v, %v", s, err)
	}

	for range 2 { // the second time changes nothing
		if err := before.Apply(path); err != nil {
			t.Fatal(err)
		}
		after, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, after, cmpopts.IgnoreSliceElements(linkLocal), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("put back (-before +after):\n%s", diff)
		}
	}
}

// linkLocal says whether the kernel gave the link the address by itself, whenever it saw fit.
func linkLocal(a Address) bool { return strings.HasPrefix(a.CIDR, "fe80:") }

func TestReadNamesTheMissingNamespace(t *testing.T) {
	if _, err := Read("/nonexistent/ns"); err == nil {
		t.Error("Read of a missing namespace succeeded")
	}
}

// A namespace that is lent to a sandbox takes no packet for its own; one that
// nobody has does.
func TestOnlyAnAppliedStateAnswers(t *testing.T) {
	path := newNamespace(t)
	state, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	h, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for _, step := range []struct {
		name  string
		do    func(string) error
		rules int
	}{{"Lend", state.Lend, 0}, {"Lend again", state.Lend, 0}, {"Apply", state.Apply, 1}, {"Apply again", state.Apply, 1}} {
		if err := step.do(path); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
			rules, err := h.RuleList(family)
			if err != nil {
				t.Fatal(err)
			}
			local := 0
			for _, r := range rules {
				if r.Table == unix.RT_TABLE_LOCAL {
					local++
				}
			}
			if local != step.rules {
				t.Errorf("%s: %d rules for local delivery of family %d, want %d", step.name, local, family, step.rules)
			}
		}
	}
}
