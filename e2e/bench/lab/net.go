// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A Net is a network namespace with one end of a veth pair in it; the bench
// holds the other end.
type Net struct {
	// Path of the namespace, as an OCI spec takes it.
	Path string
	// IP of the end inside.
	IP   net.IP
	host *net.IPNet
	peer *net.IPNet
	ns   netns.NsHandle
	link string // the bench's end
}

// NewNet makes the n-th namespace, 0 ≤ n < 65536/4, with an empty file at path
// to hold it.
func NewNet(path string, n int) (_ *Net, err error) {
	if n < 0 || n >= 1<<14 {
		return nil, fmt.Errorf("make network namespace: number %d is out of range", n)
	}
	at := n * 4
	subnet := func(i int) *net.IPNet {
		return &net.IPNet{IP: net.IPv4(10, 88, byte((at+i)>>8), byte(at+i)), Mask: net.CIDRMask(30, 32)}
	}
	l := &Net{Path: path, host: subnet(1), peer: subnet(2), link: fmt.Sprintf("bench%d", n)}
	l.IP = l.peer.IP
	if l.ns, err = newNamespace(path); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	inside, err := netlink.NewHandleAt(l.ns)
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", err)
	}
	defer inside.Close()
	veth := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: l.link},
		PeerName:      "eth0",
		PeerNamespace: netlink.NsFd(int(l.ns)),
	}
	if err := netlink.LinkAdd(veth); err != nil {
		return nil, fmt.Errorf("make veth pair: %w", err)
	}
	eth0, err := inside.LinkByName("eth0")
	if err != nil {
		return nil, fmt.Errorf("find eth0: %w", err)
	}
	host, err := netlink.LinkByName(l.link)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", l.link, err)
	}
	steps := []func() error{
		func() error { return netlink.AddrAdd(host, &netlink.Addr{IPNet: l.host}) },
		func() error { return netlink.LinkSetUp(host) },
		// A neighbour that is looked for while the sandbox's network stack is not
		// up yet is asked for again only a second later; that would be measured.
		func() error {
			return netlink.NeighSet(&netlink.Neigh{
				LinkIndex: host.Attrs().Index, IP: l.IP, HardwareAddr: eth0.Attrs().HardwareAddr,
				State: netlink.NUD_PERMANENT,
			})
		},
		l.Refill,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, fmt.Errorf("set up veth pair: %w", err)
		}
	}
	return l, nil
}

// Refill gives eth0 its address and route back, and brings it and lo up: runsc
// takes addresses away when a sandbox boots, so that a second one in the same
// namespace would find none. What is there already stays.
func (l *Net) Refill() error {
	h, err := netlink.NewHandleAt(l.ns)
	if err != nil {
		return fmt.Errorf("open network namespace: %w", err)
	}
	defer h.Close()
	for _, name := range []string{"lo", "eth0"} {
		link, err := h.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find %s: %w", name, err)
		}
		if name == "eth0" {
			if err := h.AddrReplace(link, &netlink.Addr{IPNet: l.peer}); err != nil {
				return fmt.Errorf("add address: %w", err)
			}
		} else if err := h.AddrReplace(link, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(127, 0, 0, 1), Mask: net.CIDRMask(8, 32)}}); err != nil {
			return fmt.Errorf("add address: %w", err)
		}
		if err := h.LinkSetUp(link); err != nil {
			return fmt.Errorf("bring %s up: %w", name, err)
		}
		if name == "eth0" {
			if err := h.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: l.host.IP}); err != nil {
				return fmt.Errorf("add route: %w", err)
			}
		}
	}
	return nil
}

// Close removes the pair and the namespace.
func (l *Net) Close() error {
	var errs []error
	if link, err := netlink.LinkByName(l.link); err == nil {
		errs = append(errs, netlink.LinkDel(link))
	}
	errs = append(errs, l.ns.Close(), unix.Unmount(l.Path, unix.MNT_DETACH), os.Remove(l.Path))
	return errors.Join(errs...)
}

// newNamespace makes a network namespace and mounts it at path.
func newNamespace(path string) (netns.NsHandle, error) {
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return netns.None(), fmt.Errorf("make network namespace: %w", err)
	}
	runtime.LockOSThread()
	old, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return netns.None(), fmt.Errorf("open own network namespace: %w", err)
	}
	defer old.Close()
	made, err := netns.New()
	if err != nil {
		runtime.UnlockOSThread()
		return netns.None(), fmt.Errorf("make network namespace: %w", err)
	}
	mountErr := unix.Mount(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()), path, "", unix.MS_BIND, "")
	if err := netns.Set(old); err != nil {
		// The thread is in the wrong namespace: it stays locked, so that it
		// ends with this goroutine and serves nobody else.
		return netns.None(), fmt.Errorf("return to own network namespace: %w", err)
	}
	runtime.UnlockOSThread()
	if mountErr != nil {
		made.Close()
		return netns.None(), fmt.Errorf("mount network namespace at %s: %w", path, mountErr)
	}
	return made, nil
}
