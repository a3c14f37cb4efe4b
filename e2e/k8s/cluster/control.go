// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
)

// Addresses of the control plane, on the loopback of the tests' own network
// namespace.
const (
	etcdClient = "http://127.0.0.1:2379"
	etcdPeer   = "http://127.0.0.1:2380"
	apiServer  = "https://127.0.0.1:6443"
)

// startControlPlane starts etcd and the API server, and waits until it is ready.
func (k *Cluster) startControlPlane() error {
	a := k.authority
	for _, c := range []struct {
		name, user string
		groups     []string
		hosts      []string
	}{
		{"apiserver", "kube-apiserver", []string{"system:masters"}, []string{"127.0.0.1", "localhost", NodeIP, "kubernetes.default.svc"}},
		{"admin", "admin", []string{"system:masters"}, nil},
		{"kubelet", "system:node:" + NodeName, []string{"system:nodes"}, []string{NodeName, NodeIP}},
		{"accounts", "accounts", nil, nil},
	} {
		if err := a.issue(c.name, c.user, c.groups, c.hosts...); err != nil {
			return err
		}
	}
	var err error
	if k.Kubeconfig, err = a.kubeconfig("admin", apiServer); err != nil {
		return err
	}
	k.etcd = newDaemon(k.dir, "etcd", nil,
		"--data-dir", filepath.Join(k.dir, "etcd"), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls", etcdClient, "--advertise-client-urls", etcdClient,
		"--listen-peer-urls", etcdPeer, "--initial-advertise-peer-urls", etcdPeer, "--initial-cluster", "default="+etcdPeer)
	if err := k.etcd.start(); err != nil {
		return err
	}
	k.apiserver = newDaemon(k.dir, "kube-apiserver", nil,
		"--etcd-servers", etcdClient, "--bind-address=127.0.0.1", "--advertise-address="+NodeIP, "--secure-port=6443",
		"--service-cluster-ip-range="+serviceSubnet, "--endpoint-reconciler-type=none",
		"--tls-cert-file", a.crt("apiserver"), "--tls-private-key-file", a.keyOf("apiserver"), "--client-ca-file", a.ca(),
		"--kubelet-client-certificate", a.crt("apiserver"), "--kubelet-client-key", a.keyOf("apiserver"),
		"--kubelet-certificate-authority", a.ca(), "--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file", a.crt("accounts"),
		"--service-account-signing-key-file", a.keyOf("accounts"),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
		"--watch-cache=false", "--profiling=false")
	if err := k.apiserver.start(); err != nil {
		return err
	}
	if err := k.apiserver.await(func() error { return k.try("get", "--raw", "/readyz") }); err != nil {
		return err
	}
	// What the controller manager would make in each namespace.
	for _, ns := range []string{"default", "kube-system"} {
		if err := k.makeNamespace(ns); err != nil {
			return err
		}
	}
	return nil
}

// MakeNamespace makes a namespace in which pods can be made, if it is not there.
// It stays.
func (k *Cluster) MakeNamespace(t testing.TB, name string) {
	t.Helper()
	if k.try("get", "configmap", "-n", name, "kube-root-ca.crt") == nil {
		return
	}
	if err := k.makeNamespace(name); err != nil {
		t.Fatal(err)
	}
}

// makeNamespace makes a namespace, if it is not there, and in it the things
// that every pod's service account token needs.
func (k *Cluster) makeNamespace(name string) error {
	run := func(args ...string) error {
		r, err := k.run(nil, append(args, "--namespace", name)...)
		if err == nil && r.Code != 0 {
			err = errors.New(r.Stderr)
		}
		if err != nil {
			return fmt.Errorf("make namespace %s: %w", name, err)
		}
		return nil
	}
	// Some are made by the API server itself, a moment after it is ready.
	_ = run("create", "namespace", name)
	_ = run("create", "serviceaccount", "default")
	if err := run("get", "serviceaccount", "default"); err != nil {
		return err
	}
	return run("create", "configmap", "kube-root-ca.crt", "--from-file=ca.crt="+k.authority.ca())
}
