// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Command gvisor_sentry is the sandbox's own process: runsc's "boot"
// subcommand, the "umount" that it runs, and nothing else. runsc starts it, where it finds it in
// gvisor-bin/, instead of starting itself with all that it carries; upstream
// builds a binary of this name and means to demand it.
package main

import (
	"gvisor.dev/gvisor/runsc/cli"
	"gvisor.dev/gvisor/runsc/cmd/sentry/sentrycmd"
	"gvisor.dev/gvisor/runsc/cmd/util"
	"gvisor.dev/gvisor/runsc/gvisorbinaries"
)

func main() {
	const internal = "internal use only"
	cli.Run(&gvisorbinaries.GvisorSentry, map[util.SubCommand]string{
		new(sentrycmd.Boot):   internal,
		new(sentrycmd.Umount): internal,
	}, nil)
}
