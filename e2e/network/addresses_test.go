// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package network

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/containerd/containerd/v2/pkg/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/harness"
)

// open returns a network's namespace and a handle in it, until the test ends.
func open(t *testing.T, network *lab.Net) (netns.NsHandle, *netlink.Handle) {
	t.Helper()
	ns, err := netns.GetFromPath(network.Path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	h, err := netlink.NewHandleAt(ns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return ns, h
}

// widen gives a network a second interface with an IPv6 address, an MTU of its
// own, a route that nothing but it leads to, and a permanent neighbour. Its
// other end is the test's.
func widen(t *testing.T, network *lab.Net) (inside, far string) {
	t.Helper()
	ns, h := open(t, network)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	address := func(s string) *netlink.Addr {
		a, err := netlink.ParseAddr(s)
		must(err)
		a.Flags |= unix.IFA_F_NODAD
		return a
	}
	must(netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: "wide", MTU: 1300}, PeerName: "eth1", PeerNamespace: netlink.NsFd(int(ns)),
	}))
	outer, err := netlink.LinkByName("wide")
	must(err)
	t.Cleanup(func() {
		if err := netlink.LinkDel(outer); err != nil {
			t.Error(err)
		}
	})
	inner, err := h.LinkByName("eth1")
	must(err)
	must(h.LinkSetMTU(inner, 1300))
	must(netlink.AddrAdd(outer, address("fd00:1::1/64")))
	must(netlink.AddrAdd(outer, address("fd00:2::1/128")))
	must(netlink.LinkSetUp(outer))
	must(h.AddrAdd(inner, address("fd00:1::2/64")))
	must(h.LinkSetUp(inner))
	must(h.RouteAdd(&netlink.Route{LinkIndex: inner.Attrs().Index, Gw: net.ParseIP("fd00:1::1"),
		Dst: &net.IPNet{IP: net.ParseIP("fd00:2::"), Mask: net.CIDRMask(64, 128)}}))
	must(h.NeighSet(&netlink.Neigh{LinkIndex: inner.Attrs().Index, State: netlink.NUD_PERMANENT,
		IP: net.ParseIP("fd00:1::1"), HardwareAddr: outer.Attrs().HardwareAddr}))
	// Linux gives links addresses of their own, some time after they are up.
	for _, name := range []string{"eth0", "eth1"} {
		harness.Eventually(t, func() error { return ownAddress(h, name) })
	}
	return "fd00:1::2", "fd00:2::1"
}

// ownAddress is nil once a link has its link-local address for good.
func ownAddress(h *netlink.Handle, name string) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return err
	}
	list, err := h.AddrList(link, netlink.FAMILY_V6)
	for _, a := range list {
		if a.IP.IsLinkLocalUnicast() && a.Flags&unix.IFA_F_TENTATIVE == 0 {
			return nil
		}
	}
	return errors.Join(err, fmt.Errorf("%s has no link-local address yet: %v", name, list))
}

// Addresses of both families, routes, MTU and neighbours of every interface are
// the same after a resume in place.
func TestEveryInterfaceComesBack(t *testing.T) {
	n := harness.Shared(t)
	network := harness.NewNetwork(t)
	v6, far := widen(t, network)
	task := run(t, n, network, nil)
	links := func() map[string]string {
		found := map[string]string{}
		ask(t, network.IP.String(), "/links", nil, &found)
		return found
	}
	before := links()
	if !strings.Contains(before["eth1"], "1300") || !strings.Contains(before["eth1"], v6) {
		t.Fatalf("interfaces %q, want eth1 with its address and MTU", before)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(far, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx := n.Context(t)
	for range 2 {
		if err := task.Pause(ctx); err != nil {
			t.Fatal(err)
		}
		if err := task.Resume(ctx); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, links()); diff != "" {
			t.Errorf("interfaces (-before +after):\n%s", diff)
		}
		dial(t, v6)
		// Over the route, which only the neighbour's entry can be used for.
		ask(t, v6, "/dial", url.Values{"to": {l.Addr().String()}}, nil)
	}
}

// A sandbox whose interface was taken away meanwhile is not half resumed.
func TestAMissingInterfaceIsNamed(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	network := harness.NewNetwork(t)
	task := run(t, n, network, nil)
	ctx := n.Context(t)
	if err := task.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	_, h := open(t, network)
	link, err := h.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	rename := func(name string) {
		t.Helper()
		for _, step := range []func() error{
			func() error { return h.LinkSetDown(link) },
			func() error { return h.LinkSetName(link, name) },
			func() error { return h.LinkSetUp(link) },
		} {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
	}
	rename("other0")
	if err := task.Resume(ctx); err == nil || !strings.Contains(err.Error(), "eth0") || !strings.Contains(err.Error(), "it is paused again") {
		t.Errorf("Resume = %v, want the interface named", err)
	}
	rename("eth0")
	if err := task.Resume(ctx); err != nil {
		t.Fatal(err)
	}
	dial(t, network.IP.String())
}

// A copy under another address is reached there, reaches others from there, and
// asks the name server that its own resolv.conf names.
func TestACopyUsesItsOwnNetwork(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	first, second := harness.NewNetwork(t), harness.NewNetwork(t)
	container := func(network *lab.Net, answer string, annotations map[string]string) harness.Container {
		c := harness.GuestContainer(t, "./guest", network, annotations)
		server := serveNames(t, network, answer)
		c.Opts = append(c.Opts, oci.WithMounts([]specs.Mount{
			file(t, "/etc/resolv.conf", "nameserver "+server+"\n"), file(t, "/etc/hosts", answer+" myself\n"),
		}))
		return c
	}
	// Go's resolver looks at its files anew every five seconds.
	wantName := func(network *lab.Net, name, want string) {
		t.Helper()
		harness.Eventually(t, func() error {
			var got []string
			if err := tryAsk(t, network.IP.String(), "/lookup", url.Values{"name": {name}}, &got); err != nil {
				return err
			}
			if diff := cmp.Diff([]string{want}, got); diff != "" {
				return fmt.Errorf("%s (-want +got):\n%s", name, diff)
			}
			return nil
		})
	}
	task := n.Run(t, container(first, "192.0.2.1", nil))
	task.AwaitLog(t, "serving")
	wantName(first, "who.example.test", "192.0.2.1")
	id := harness.LastLine(n.Ateom(t, "tasks", "commit", "--scope", "Full", task.ID))

	n.Run(t, container(second, "192.0.2.2", map[string]string{"ateom.dev/restore-from": id, "ateom.dev/store": "dir"}))
	dial(t, second.IP.String())
	listen(t, second.IP.String())
	wantName(second, "myself", "192.0.2.2")
	wantName(second, "who.example.test", "192.0.2.2")
	wantName(first, "who.example.test", "192.0.2.1")
}

// file is a mount of a file with that content.
func file(t *testing.T, path, content string) specs.Mount {
	t.Helper()
	source := filepath.Join(t.TempDir(), filepath.Base(path))
	if err := os.WriteFile(source, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return specs.Mount{Destination: path, Type: "bind", Source: source, Options: []string{"rbind", "ro"}}
}
