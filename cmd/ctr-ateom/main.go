// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Command ctr-ateom is containerd's ctr with ateom's verbs: tasks pause,
// resume, commit and status; snapshots; run --from. See docs/cli.md.
package main

import (
	"context"
	"os"

	"github.com/ateom/ateom/cmd/ctr-ateom/app"
)

func main() {
	os.Exit(app.Run(context.Background(), os.Args, os.Stdout, os.Stderr))
}
