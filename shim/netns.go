// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ateom/ateom/shim/network"
)

// settleNetwork reads what gVisor is about to take from the network namespace,
// and makes one where the spec wants a new one.
func (s *sandbox) settleNetwork(spec *specs.Spec) (err error) {
	ns := netns(spec)
	if ns == nil {
		return nil // the host's
	}
	if ns.Path == "" {
		// What a crash left under the same name is of no use to anybody.
		if err := network.Remove(s.ownNetns()); err != nil {
			return err
		}
		if err := network.New(s.ownNetns()); err != nil {
			return err
		}
		ns.Path = s.ownNetns()
	}
	s.netns = ns.Path
	s.network, err = network.Read(s.netns)
	return err
}

// ownNetns is where the network namespace is bound that the shim makes.
func (s *sandbox) ownNetns() string { return filepath.Join(s.scratch, "netns") }
