// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"slices"
	"time"

	"github.com/containerd/log"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ateom/ateom/shim/network"
	"github.com/ateom/ateom/shim/rundir"
)

// settleNetwork reads what gVisor is about to take from the network namespace,
// and makes one where the spec wants a new one.
func (s *sandbox) settleNetwork(spec *specs.Spec, connections network.Connections) (err error) {
	s.connections = connections
	if connections == network.Keep {
		s.runsc.Flags = append(slices.Clip(s.runsc.Flags), "--allow-connected-on-save=true")
	}
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
	if mode := s.cfg.RunscFlags["network"]; mode != "" && mode != "sandbox" {
		return nil // such a sandbox takes nothing from the namespace
	}
	s.network, err = network.Read(s.netns)
	return err
}

// ownNetns is where the network namespace is bound that the shim makes.
func (s *sandbox) ownNetns() string { return rundir.Netns(s.scratch) }

// lendNetwork gives the sandbox that is about to be made anew its addresses.
func (s *sandbox) lendNetwork() error {
	if s.connections == network.Keep {
		return s.network.Lend(s.netns)
	}
	return s.network.Apply(s.netns)
}

// farewellLimit bounds what a Pause spends on its peers. Ending the processes
// takes milliseconds.
const farewellLimit = 500 * time.Millisecond

// closeConnections lets the frozen sandbox, whose snapshot is safe, tell its
// peers that it goes: its processes are killed, so that gVisor closes their
// connections. thaw undoes the freeze; a process that is killed while it is frozen runs
// no further instruction of its own.
func (s *sandbox) closeConnections(ctx context.Context, live []*container, thaw func()) {
	if s.connections == network.Keep || s.network == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, farewellLimit)
	defer cancel()
	for _, c := range live {
		if err := s.control.SignalAll(ctx, c.id, 9); err != nil {
			log.G(ctx).WithError(err).Warn("tell the peers of a paused sandbox; they will not know")
			return
		}
	}
	thaw()
	for _, c := range live {
		if _, err := s.control.Wait(ctx, c.id); err != nil {
			log.G(ctx).WithError(err).Debug("wait for the end of a paused sandbox's processes")
			return
		}
	}
}

// refuseConnections has the kernel answer for a paused sandbox.
func (s *sandbox) refuseConnections(ctx context.Context) {
	if s.connections == network.Keep || s.network == nil {
		return
	}
	if err := s.network.Apply(s.netns); err != nil {
		log.G(ctx).WithError(err).Warn("answer for a paused sandbox")
	}
}
