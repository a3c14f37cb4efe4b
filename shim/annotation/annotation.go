// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package annotation decides which annotations of a container get as far as
// runsc. runsc takes many of its settings from them, among them flags and host
// paths; whoever may annotate a container must not reach those.
package annotation

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
)

// gvisorPrefix is that of every annotation which configures runsc.
const gvisorPrefix = "dev.gvisor."

// allowed are those that a container's author may set: each only takes away
// from the container, or concerns nobody but it.
var allowed = map[string]bool{
	"dev.gvisor.flag.oci-seccomp":       true, // runsc lets it be switched on only
	"dev.gvisor.flag.in-sandbox-cgroup": true, // how cgroups look inside
	"dev.gvisor.flag.qdisc":             true, // runsc lets it be "tbf" only, which limits what is sent
	"dev.gvisor.flag.qdisc-tbf-rate":    true,
	"dev.gvisor.flag.qdisc-tbf-burst":   true,
}

// A refusal says why an author may not set the annotations that begin with
// prefix. All that are not allowed are refused; these are the ones that the
// pinned gVisor knows, the more special before the more general.
type refusal struct{ prefix, why string }

const nodeSetting = "flags of runsc are the node's to set (runsc-flags in its configuration)"

var refusals = []refusal{
	{"dev.gvisor.flag.host-uds", "it would open the host's unix sockets to the container"},
	{"dev.gvisor.flag.overlay2", "where rootfs writes go decides what a snapshot holds; " + nodeSetting},
	{"dev.gvisor.flag.allow-connected-on-save", "use ateom.dev/connections"},
	{"dev.gvisor.flag.net-disconnect-ok", "use ateom.dev/connections"},
	{"dev.gvisor.flag.reproduce-nftables", "it would show the host's packet filter to the container"},
	{"dev.gvisor.flag.", nodeSetting},
	{"dev.gvisor.bundle.", "a bundle sets flags; " + nodeSetting},
	{"dev.gvisor.internal.checkpoint.", "checkpoints are the runtime's to take; use ateom.dev/self"},
	{"dev.gvisor.internal.fscheckpoint.", "checkpoints are the runtime's to take; use ateom.dev/self"},
	{"dev.gvisor.internal.seccomp.", "it would switch seccomp rules off"},
	{"dev.gvisor.internal.nvproxy", "devices are the node's to give"},
	{"dev.gvisor.internal.tpuproxy", "devices are the node's to give"},
	{"dev.gvisor.internal.cpufeatures", "CPU features decide where a snapshot can be restored"},
	{"dev.gvisor.internal.", "it is internal to runsc"},
	{"dev.gvisor.spec.mount.", "a mount's type and source decide what a snapshot holds; use ateom.dev/durable-dirs and ateom.dev/durable-volumes"},
	{"dev.gvisor.spec.rootfs.", "it would take the root file system from a path of the host"},
	{"dev.gvisor.spec.cgroup-parent", "cgroups are containerd's to choose"},
	{"dev.gvisor.tar.rootfs.upper", "it would read a file of the host"},
	{"dev.gvisor.empty-dir.", "use ateom.dev/durable-volumes"},
	{"dev.gvisor.container-name-remap.", "it would give a container the state of another one"},
}

// Check refuses what the author of a container may not set. Its error names the
// annotation and is errdefs.ErrInvalidArgument.
func Check(annotations map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		if !strings.HasPrefix(key, gvisorPrefix) || allowed[key] {
			continue
		}
		why := "this runtime does not pass it on"
		for _, r := range refusals {
			if strings.HasPrefix(key, r.prefix) {
				why = r.why
				break
			}
		}
		return fmt.Errorf("annotation %s is not a container's to set: %s: %w", key, why, errdefs.ErrInvalidArgument)
	}
	return nil
}

// fromCRI are the annotations by which runsc tells containers, sandboxes and
// pods apart.
var fromCRI = map[string]bool{
	"io.kubernetes.cri.container-type":    true,
	"io.kubernetes.cri.sandbox-id":        true,
	"io.kubernetes.cri.container-name":    true,
	"io.kubernetes.cri.sandbox-name":      true,
	"io.kubernetes.cri.sandbox-namespace": true,
}

// ForRunsc returns those annotations that runsc gets: what it needs to know and
// gVisor's own, which Check has seen or the shim has added.
func ForRunsc(annotations map[string]string) map[string]string {
	kept := map[string]string{}
	for key, value := range annotations {
		if fromCRI[key] || strings.HasPrefix(key, gvisorPrefix) {
			kept[key] = value
		}
	}
	return kept
}
