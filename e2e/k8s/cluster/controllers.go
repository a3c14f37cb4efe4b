// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"os"
	"path/filepath"

	"github.com/ateom/ateom/e2e/harness"
)

// controllers are those of Kubernetes that the tests' objects need.
const controllers = "daemonset-controller,deployment-controller,replicaset-controller,job-controller,garbage-collector-controller," +
	"namespace-controller,serviceaccount-controller,root-ca-certificate-publisher-controller,node-lifecycle-controller"

// StartControllers starts what turns DaemonSets, Deployments and Jobs into pods,
// makes namespaces usable and finds pods their node, until the cluster ends. It
// also gives the node runc's shim, as pods of no class have none without.
func (k *Cluster) StartControllers() error {
	shim, err := harness.Program("containerd-shim-runc-v2")
	if err != nil {
		return err
	}
	if err := os.Symlink(shim, filepath.Join("/usr/local/bin", filepath.Base(shim))); err != nil {
		return err
	}
	access := []string{
		"--kubeconfig", k.Kubeconfig, "--authentication-kubeconfig", k.Kubeconfig, "--authorization-kubeconfig", k.Kubeconfig,
		"--leader-elect=false", "--bind-address=127.0.0.1",
	}
	k.controllers = []*daemon{
		newDaemon(k.dir, "kube-controller-manager", nil, append([]string{
			"--controllers=" + controllers, "--root-ca-file=" + k.authority.ca(),
			// A busy machine's kubelet is not a lost one.
			"--node-monitor-grace-period=" + limit.String(),
		}, access...)...),
		newDaemon(k.dir, "kube-scheduler", nil, access...),
	}
	for _, d := range k.controllers {
		if err := d.start(); err != nil {
			return err
		}
	}
	return nil
}
