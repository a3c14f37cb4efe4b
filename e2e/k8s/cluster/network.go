// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
)

const (
	// NodeIP is the node's address, which pods reach; it lies on a bridge of its own.
	NodeIP = "10.90.0.1"
	// nodeLink and podLink are the bridges of the node and of its pods.
	nodeLink, podLink = "node0", "pods0"
	podSubnet         = "10.91.0.0/24"
	serviceSubnet     = "10.92.0.0/24"
)

// settleNetwork gives the node its address, and containerd a network
// configuration in dir.
func settleNetwork(dir string) error {
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: nodeLink}}
	if err := netlink.LinkAdd(bridge); err != nil {
		return fmt.Errorf("make bridge: %w", err)
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(NodeIP), Mask: net.CIDRMask(24, 32)}}
	if err := netlink.AddrAdd(bridge, addr); err != nil {
		return fmt.Errorf("add address %s: %w", NodeIP, err)
	}
	if err := netlink.LinkSetUp(bridge); err != nil {
		return fmt.Errorf("set up bridge: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text := fmt.Sprintf(`{
  "cniVersion": "0.4.0",
  "name": "pods",
  "plugins": [{
    "type": "bridge", "bridge": "%s", "isGateway": true,
    "ipam": {"type": "host-local", "ranges": [[{"subnet": "%s"}]], "routes": [{"dst": "0.0.0.0/0"}]}
  }]
}
`, podLink, podSubnet)
	return os.WriteFile(filepath.Join(dir, "10-pods.conflist"), []byte(text), 0o644)
}

// removeNetwork removes the bridges.
func removeNetwork() error {
	for _, name := range []string{nodeLink, podLink} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			continue // never made
		}
		if err := netlink.LinkDel(link); err != nil {
			return fmt.Errorf("remove bridge %s: %w", name, err)
		}
	}
	return nil
}
