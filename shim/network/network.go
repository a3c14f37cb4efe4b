// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package network remembers how a network namespace is set up and puts it
// back. gVisor's own network stack takes the addresses off the namespace's
// interfaces when a sandbox boots and never returns them, so that a second
// sandbox in the same namespace would find none.
package network

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A State is the part of a network namespace's configuration that gVisor
// takes: addresses, routes and permanent neighbours of every interface but
// the loopback. It can be marshalled as JSON.
type State struct {
	Links []Link `json:"links"`
}

// A Link is one interface.
type Link struct {
	Name       string      `json:"name"`
	MTU        int         `json:"mtu"`
	Up         bool        `json:"up,omitempty"`
	Addresses  []Address   `json:"addresses,omitempty"`
	Routes     []Route     `json:"routes,omitempty"`
	Neighbours []Neighbour `json:"neighbours,omitempty"`
}

// An Address is one address with its prefix length, such as "10.0.0.2/24", and
// the other end of a point-to-point link, if it is one.
type Address struct {
	CIDR      string `json:"cidr"`
	Peer      string `json:"peer,omitempty"`
	Broadcast string `json:"broadcast,omitempty"`
	Scope     int    `json:"scope,omitempty"`
}

// A Route leaves through the link. An empty Destination is the default route.
type Route struct {
	Destination string `json:"destination,omitempty"`
	Gateway     string `json:"gateway,omitempty"`
	Source      string `json:"source,omitempty"`
	Scope       int    `json:"scope,omitempty"`
	Priority    int    `json:"priority,omitempty"`
	Table       int    `json:"table,omitempty"`
	Family      int    `json:"family"`
	OnLink      bool   `json:"onLink,omitempty"`
}

// A Neighbour is a permanent entry of the neighbour table.
type Neighbour struct {
	IP  string `json:"ip"`
	MAC string `json:"mac"`
}

// open returns a netlink handle inside the namespace at path; the caller closes it.
func open(path string) (*netlink.Handle, error) {
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return nil, fmt.Errorf("open network namespace %s: %w", path, err)
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink in %s: %w", path, err)
	}
	return h, nil
}

// Read reads the configuration of the namespace at path.
func Read(path string) (*State, error) {
	h, err := open(path)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	links, err := h.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list links of %s: %w", path, err)
	}
	s := &State{}
	for _, l := range links {
		if l.Attrs().Flags&net.FlagLoopback != 0 {
			continue
		}
		link, err := readLink(h, l)
		if err != nil {
			return nil, fmt.Errorf("read link %s of %s: %w", l.Attrs().Name, path, err)
		}
		s.Links = append(s.Links, link)
	}
	return s, nil
}

func readLink(h *netlink.Handle, l netlink.Link) (Link, error) {
	out := Link{Name: l.Attrs().Name, MTU: l.Attrs().MTU, Up: l.Attrs().Flags&net.FlagUp != 0}
	addrs, err := h.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		return out, err
	}
	for _, a := range addrs {
		addr := Address{CIDR: a.IPNet.String(), Scope: a.Scope}
		if a.Broadcast != nil {
			addr.Broadcast = a.Broadcast.String()
		}
		if a.Peer != nil && a.Peer.String() != addr.CIDR {
			addr.Peer = a.Peer.String()
		}
		out.Addresses = append(out.Addresses, addr)
	}
	routes, err := h.RouteList(l, netlink.FAMILY_ALL)
	if err != nil {
		return out, err
	}
	for _, r := range routes {
		// The kernel makes its own routes when an address is added.
		if r.Protocol == unix.RTPROT_KERNEL {
			continue
		}
		route := Route{Scope: int(r.Scope), Priority: r.Priority, Table: r.Table, Family: r.Family,
			OnLink: r.Flags&int(netlink.FLAG_ONLINK) != 0}
		if r.Dst != nil {
			route.Destination = r.Dst.String()
		}
		if r.Gw != nil {
			route.Gateway = r.Gw.String()
		}
		if r.Src != nil {
			route.Source = r.Src.String()
		}
		out.Routes = append(out.Routes, route)
	}
	neighbours, err := h.NeighList(l.Attrs().Index, netlink.FAMILY_ALL)
	if err != nil {
		return out, err
	}
	for _, n := range neighbours {
		if n.State&netlink.NUD_PERMANENT != 0 && len(n.HardwareAddr) > 0 {
			out.Neighbours = append(out.Neighbours, Neighbour{IP: n.IP.String(), MAC: n.HardwareAddr.String()})
		}
	}
	return out, nil
}

// Addresses counts the addresses in s.
func (s *State) Addresses() int {
	n := 0
	for _, l := range s.Links {
		n += len(l.Addresses)
	}
	return n
}

// Apply puts s back into the namespace at path. What is there already stays;
// applying twice changes nothing. A link that has gone is an error. From then on
// the kernel answers for the addresses: whoever connects to them, or goes on
// sending on an old connection, is refused.
func (s *State) Apply(path string) error { return s.apply(path, answering) }

// Lend puts s back for a sandbox that is about to take it, and has the kernel
// answer nobody: a peer of a connection that the sandbox still has must not be
// told that there is none.
func (s *State) Lend(path string) error { return s.apply(path, silent) }

// A voice says whether the kernel answers for the namespace's addresses.
type voice bool

const (
	answering voice = true
	silent    voice = false
)

func (s *State) apply(path string, v voice) error {
	h, err := open(path)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := v.apply(h); err != nil {
		return fmt.Errorf("switch local delivery in %s: %w", path, err)
	}
	for _, link := range s.Links {
		if err := link.apply(h); err != nil {
			return fmt.Errorf("put back link %s of %s: %w", link.Name, path, err)
		}
	}
	return nil
}

// apply adds or removes the rule by which the kernel takes packets for its own,
// before there is any address. gVisor's network stack gets them all the same.
func (v voice) apply(h *netlink.Handle) error {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		rule := netlink.NewRule()
		rule.Family, rule.Table, rule.Priority = family, unix.RT_TABLE_LOCAL, 0
		var err error
		if v == answering {
			err = h.RuleAdd(rule)
		} else {
			err = h.RuleDel(rule)
		}
		// It is as it should be; or there is no IPv6.
		if err != nil && !errors.Is(err, os.ErrExist) && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.EAFNOSUPPORT) {
			return err
		}
	}
	return nil
}

func (l Link) apply(h *netlink.Handle) error {
	link, err := h.LinkByName(l.Name)
	if err != nil {
		return err
	}
	if link.Attrs().MTU != l.MTU {
		if err := h.LinkSetMTU(link, l.MTU); err != nil {
			return fmt.Errorf("set mtu %d: %w", l.MTU, err)
		}
	}
	for _, a := range l.Addresses {
		if err := a.apply(h, link); err != nil {
			return fmt.Errorf("add address %s: %w", a.CIDR, err)
		}
	}
	if !l.Up {
		return nil
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	// Routes without a gateway first: the others may need them to be reachable.
	for _, viaGateway := range []bool{false, true} {
		for _, r := range l.Routes {
			if (r.Gateway != "") != viaGateway {
				continue
			}
			if err := r.apply(h, link); err != nil {
				return fmt.Errorf("add route to %q via %q: %w", r.Destination, r.Gateway, err)
			}
		}
	}
	for _, n := range l.Neighbours {
		if err := n.apply(h, link); err != nil {
			return fmt.Errorf("add neighbour %s: %w", n.IP, err)
		}
	}
	return nil
}

func (a Address) apply(h *netlink.Handle, link netlink.Link) error {
	ip, ipNet, err := net.ParseCIDR(a.CIDR)
	if err != nil {
		return err
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: ipNet.Mask}, Scope: a.Scope}
	if a.Peer != "" {
		if addr.Peer, err = netlink.ParseIPNet(a.Peer); err != nil {
			return err
		}
	}
	if a.Broadcast != "" {
		addr.Broadcast = net.ParseIP(a.Broadcast).To4() // IPv6 has none
	}
	if ip.To4() == nil {
		// It was in use here before: looking for duplicates would only delay it.
		addr.Flags = unix.IFA_F_NODAD
	}
	return h.AddrReplace(link, addr)
}

func (r Route) apply(h *netlink.Handle, link netlink.Link) error {
	route := &netlink.Route{LinkIndex: link.Attrs().Index, Scope: netlink.Scope(r.Scope), Priority: r.Priority, Table: r.Table, Family: r.Family}
	if r.OnLink {
		route.Flags |= int(netlink.FLAG_ONLINK)
	}
	if r.Destination != "" {
		_, dst, err := net.ParseCIDR(r.Destination)
		if err != nil {
			return err
		}
		route.Dst = dst
	}
	if r.Gateway != "" {
		route.Gw = net.ParseIP(r.Gateway)
	}
	if r.Source != "" {
		route.Src = net.ParseIP(r.Source)
	}
	if err := h.RouteReplace(route); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

func (n Neighbour) apply(h *netlink.Handle, link netlink.Link) error {
	mac, err := net.ParseMAC(n.MAC)
	if err != nil {
		return err
	}
	return h.NeighSet(&netlink.Neigh{LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: net.ParseIP(n.IP), HardwareAddr: mac})
}
