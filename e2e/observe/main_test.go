// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package observe tests what those who watch a node see: metrics, traces, one
// line of the log for each verb, and what many sleeping sandboxes cost.
package observe

import (
	"os"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Run(m)) }
