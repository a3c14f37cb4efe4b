// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package k8s tests pods: a real kubelet drives the runtime through CRI.
package k8s

import (
	"os"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/k8s/cluster"
)

func TestMain(m *testing.M) { os.Exit(harness.RunWith(m, shared.Close)) }

// shared is the cluster of all tests; its node has the runtime.
var shared = cluster.Lazy{Prepare: (*cluster.Cluster).Install}
