// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/ateom/ateom/e2e/harness"
)

// NodeName is what Kubernetes calls the node.
const NodeName = "node"

// A Cluster is a Kubernetes of one node.
type Cluster struct {
	*Machine
	// Kubeconfig is that of the administrator.
	Kubeconfig string

	authority *authority
	etcd      *daemon
	apiserver *daemon
	kubelet   *daemon
	// controllers are the parts that only some tests need.
	controllers []*daemon
}

// Start starts a cluster; there can be one in a process. Its node has nothing of
// ateom.
func Start(c harness.Config) (_ *Cluster, err error) {
	k := &Cluster{}
	if k.Machine, err = newMachine(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start cluster: %w", err), k.Close())
		}
	}()
	if k.authority, err = newAuthority(filepath.Join(k.dir, "pki")); err != nil {
		return nil, err
	}
	var g errgroup.Group
	g.Go(k.startControlPlane)
	g.Go(func() error { return k.boot(c) })
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if err := k.startKubelet(); err != nil {
		return nil, err
	}
	return k, k.try("label", "node", NodeName, "ateom.dev/node=true")
}

// Install puts the runtime on the node, by the installer, and makes its class.
func (k *Cluster) Install() error {
	top, err := harness.Top()
	if err != nil {
		return err
	}
	if err := k.Machine.Install(); err != nil {
		return err
	}
	return k.try("apply", "-f", filepath.Join(top, "deploy", "base", "runtimeclass.yaml"))
}

// Close ends the cluster and removes what it has written.
func (k *Cluster) Close() error {
	// First those who would make anew what is deleted.
	errs := []error{stop(k.controllers...)}
	if k.kubelet != nil {
		// Only the kubelet ends what is left of a test that has failed.
		errs = append(errs, k.try("delete", "pods", "--all", "--all-namespaces", "--now", "--wait"))
	}
	errs = append(errs, stop(k.kubelet, k.apiserver, k.etcd), k.Machine.Close())
	return errors.Join(errs...)
}

// RestartKubelet ends the kubelet and starts it again.
func (k *Cluster) RestartKubelet(t testing.TB) {
	t.Helper()
	if err := k.kubelet.stop(); err != nil {
		t.Fatal(err)
	}
	if err := k.startKubelet(); err != nil {
		t.Fatal(err)
	}
}
