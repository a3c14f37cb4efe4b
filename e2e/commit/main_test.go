// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package commit tests snapshots in stores: that what was committed on one
// node goes on on another one, with real S3, GCS and Azure servers between them.
package commit

import (
	"os"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Run(m)) }
