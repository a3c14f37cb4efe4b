// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ateom/ateom/e2e/harness"
)

// kubeletConfig is a kubelet that evicts nobody on a busy machine and looks at
// its pods often.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: "@CA@"}}
authorization: {mode: Webhook}
tlsCertFile: "@CERT@"
tlsPrivateKeyFile: "@KEY@"
containerRuntimeEndpoint: "unix://@SOCKET@"
cgroupDriver: cgroupfs
cgroupRoot: "/@CGROUP@"
enforceNodeAllocatable: [pods]
failCgroupV1: false
failSwapOn: false
localStorageCapacityIsolation: false
evictionHard: {memory.available: 1Mi, nodefs.available: 0.1%, imagefs.available: 0.1%}
imageGCHighThresholdPercent: 100
nodeStatusUpdateFrequency: 2s
syncFrequency: 2s
volumeStatsAggPeriod: 10s
makeIPTablesUtilChains: false
clusterDNS: ["10.92.0.10"]
clusterDomain: cluster.local
`

// startKubelet starts the kubelet and waits until the node is ready.
func (k *Cluster) startKubelet() error {
	a := k.authority
	kubeconfig, err := a.kubeconfig("kubelet", apiServer)
	if err != nil {
		return err
	}
	cgroup, err := harness.MakeCgroup("kube")
	if err != nil {
		return err
	}
	config := filepath.Join(k.dir, "kubelet.yaml")
	text := strings.NewReplacer("@CA@", a.ca(), "@CERT@", a.crt("kubelet"), "@KEY@", a.keyOf("kubelet"),
		"@SOCKET@", k.Node.Address, "@CGROUP@", cgroup).Replace(kubeletConfig)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	k.kubelet = newDaemon(k.dir, "kubelet", nil,
		"--config", config, "--kubeconfig", kubeconfig, "--hostname-override", NodeName, "--node-ip", NodeIP,
		"--root-dir", KubeletDir, "-v=2")
	if err := k.kubelet.start(); err != nil {
		return err
	}
	return k.kubelet.await(func() error {
		r, err := k.run(nil, "get", "node", NodeName, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
		if err == nil && r.Stdout != "True" {
			err = errors.New("the node is not ready: " + r.Stdout + r.Stderr)
		}
		return err
	})
}

// KubeletDir is where the kubelet keeps volumes.
const KubeletDir = "/var/lib/kubelet"

// Logs returns the ends of what the node's programs have written, for a
// message.
func (k *Cluster) Logs() string {
	var b strings.Builder
	for _, d := range []*daemon{k.apiserver, k.kubelet} {
		fmt.Fprintf(&b, "%s:\n%s\n", d.name, d.tail())
	}
	fmt.Fprintf(&b, "containerd and shims:\n%s\n", k.Node.Warnings())
	return b.String()
}
