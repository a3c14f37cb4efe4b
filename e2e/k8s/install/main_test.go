// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package install tests what deploy/ brings to a cluster, on one that has nothing
// of ateom.
package install

import (
	"os"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/k8s/cluster"
)

func TestMain(m *testing.M) { os.Exit(harness.RunWith(m, shared.Close)) }

// shared is the cluster of all tests.
var shared cluster.Lazy
