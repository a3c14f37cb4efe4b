// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sandboxid finds out, from a container's annotations, which sandbox
// it belongs to. The shim and its clients must agree on that.
package sandboxid

// Annotations that say which containers share a sandbox.
const (
	// GroupAnnotation is for users of containerd: the same value, the same sandbox.
	GroupAnnotation = "io.containerd.ateom.v1.group"
	// CRISandboxID and CRIContainerType are set by containerd's CRI plugin, and
	// understood by runsc.
	CRISandboxID     = "io.kubernetes.cri.sandbox-id"
	CRIContainerType = "io.kubernetes.cri.container-type"

	// TypeSandbox and TypeContainer are the values of CRIContainerType.
	TypeSandbox   = "sandbox"
	TypeContainer = "container"
)

// SocketEnv is the environment variable in which a shim process finds the
// address that it serves, to remove it when it ends.
const SocketEnv = "ATEOM_SHIM_SOCKET"

// Group returns the id under which container id's sandbox is served.
func Group(id string, annotations map[string]string) string {
	for _, key := range []string{GroupAnnotation, CRISandboxID} {
		if group := annotations[key]; group != "" {
			return group
		}
	}
	return id
}
