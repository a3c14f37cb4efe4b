// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package k8s tests pods: a real kubelet drives the runtime through CRI.
package k8s

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/k8s/cluster"
)

func TestMain(m *testing.M) { os.Exit(harness.RunWith(m, closeCluster)) }

var shared struct {
	once    sync.Once
	cluster *cluster.Cluster
	err     error
}

// theCluster returns the cluster that all tests use; the first one starts it.
func theCluster(t *testing.T) *cluster.Cluster {
	t.Helper()
	shared.once.Do(func() { shared.cluster, shared.err = cluster.Start(harness.Config{}) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.cluster
}

func closeCluster() error {
	shared.once.Do(func() { shared.err = errors.New("the tests are over") })
	if shared.cluster == nil {
		return nil
	}
	if err := shared.cluster.Close(); err != nil {
		return fmt.Errorf("close cluster: %w", err)
	}
	return nil
}
