// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package runsc drives the runsc binary: one method a subcommand, and a client
// of the sandbox's control socket for the verbs that must not wait for a
// process to start.
//
// It knows containers, bundles and checkpoint directories. It knows nothing of
// what a snapshot means, where it is stored, or who asked: those belong above.
// Nothing here waits without a bound.
package runsc
