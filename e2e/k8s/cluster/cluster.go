// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/images"
)

// NodeName is what Kubernetes calls the node.
const NodeName = "node"

// A Cluster is a Kubernetes of one node.
type Cluster struct {
	// Node is the machine: its containerd and ateom's configuration.
	Node *harness.Node
	// Kubeconfig is that of the administrator.
	Kubeconfig string

	dir       string
	authority *authority
	etcd      *daemon
	apiserver *daemon
	kubelet   *daemon
	restarter *restarter
}

// Start starts a cluster; there can be one in a process. Its node has nothing of
// ateom.
func Start(c harness.Config) (_ *Cluster, err error) {
	dir, err := os.MkdirTemp("", "k")
	if err != nil {
		return nil, err
	}
	k := &Cluster{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start cluster: %w", err), k.Close())
		}
	}()
	if err := coverPlaces(filepath.Join(dir, "places")); err != nil {
		return nil, err
	}
	if err := settleNetwork(filepath.Join(dir, "cni")); err != nil {
		return nil, err
	}
	if k.authority, err = newAuthority(filepath.Join(dir, "pki")); err != nil {
		return nil, err
	}
	c.CRI = &harness.CRI{PauseImage: images.Pause.Ref, CNIConfig: filepath.Join(dir, "cni")}
	var g errgroup.Group
	g.Go(k.startControlPlane)
	g.Go(func() (err error) {
		k.Node, err = harness.Start(c)
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if err := k.serveRestarts(); err != nil {
		return nil, err
	}
	for _, image := range []images.Image{images.Pause, images.Busybox, images.Debian} {
		if err := k.Node.Import(context.Background(), image); err != nil {
			return nil, err
		}
	}
	if err := k.startKubelet(); err != nil {
		return nil, err
	}
	return k, k.try("label", "node", NodeName, "ateom.dev/node=true")
}

// Close ends the cluster and removes what it has written.
func (k *Cluster) Close() error {
	var errs []error
	if k.kubelet != nil {
		// Only the kubelet ends what is left of a test that has failed.
		errs = append(errs, k.try("delete", "pods", "--all", "--all-namespaces", "--now", "--wait"))
	}
	errs = append(errs, stop(k.kubelet, k.apiserver, k.etcd))
	if k.restarter != nil {
		k.restarter.close()
	}
	if k.Node != nil {
		errs = append(errs, k.Node.Close())
	}
	return errors.Join(append(errs, harness.EmptyCgroups(), removeNetwork(), uncoverPlaces(), os.RemoveAll(k.dir))...)
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
