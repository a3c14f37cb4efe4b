// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/images"
)

// A Machine is a node without Kubernetes: a containerd that serves CRI, with a
// network for pods, and everything where nodes have it.
type Machine struct {
	// Node is its containerd and ateom's configuration.
	Node *harness.Node

	dir       string
	restarter *restarter
}

// StartMachine starts a machine; there can be one at a time. It has nothing of
// ateom.
func StartMachine(c harness.Config) (*Machine, error) {
	m, err := newMachine()
	if err != nil {
		return nil, err
	}
	if err := m.boot(c); err != nil {
		return nil, errors.Join(fmt.Errorf("start machine: %w", err), m.Close())
	}
	return m, nil
}

// newMachine prepares the places of a machine.
func newMachine() (*Machine, error) {
	dir, err := os.MkdirTemp("", "k")
	if err != nil {
		return nil, err
	}
	m := &Machine{dir: dir}
	err = coverPlaces(filepath.Join(dir, "places"))
	if err == nil {
		err = settleNetwork(m.networks())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start machine: %w", err), m.Close())
	}
	return m, nil
}

// networks is the directory of containerd's network configurations.
func (m *Machine) networks() string { return filepath.Join(m.dir, "cni") }

// boot starts containerd and gives it the images of the tests' pods.
func (m *Machine) boot(c harness.Config) (err error) {
	c.CRI = &harness.CRI{PauseImage: images.Pause.Ref, CNIConfig: m.networks()}
	if m.Node, err = harness.Start(c); err != nil {
		return err
	}
	if err := m.serveRestarts(); err != nil {
		return err
	}
	for _, image := range []images.Image{images.Pause, images.Busybox, images.Debian} {
		if err := m.Node.Import(context.Background(), image); err != nil {
			return err
		}
	}
	return nil
}

// Close ends the machine and removes what it has written.
func (m *Machine) Close() error {
	if m.restarter != nil {
		m.restarter.close()
	}
	var errs []error
	if m.Node != nil {
		errs = append(errs, m.Node.Close())
	}
	return errors.Join(append(errs, harness.EmptyCgroups(), removeNetwork(), uncoverPlaces(), os.RemoveAll(m.dir))...)
}
