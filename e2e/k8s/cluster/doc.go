// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cluster is a Kubernetes of one node for tests: etcd, kube-apiserver
// and a kubelet, the real ones, on a containerd of package harness. There is no
// scheduler: pods name their node.
//
// It lives in the namespaces that harness.Run makes. What Kubernetes keeps at
// fixed places (/var/lib/kubelet, /etc, /opt) is an overlay of the machine's
// own, which goes with those namespaces.
package cluster
