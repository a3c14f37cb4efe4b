// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/images"
	"github.com/ateom/ateom/e2e/k8s/cluster"
)

// handler is what RuntimeClasses call the runtime.
const handler = "ateom"

// A node is a machine with the runtime, and its CRI.
type node struct {
	*cluster.Machine
	criv1.RuntimeServiceClient
	version string
	// cgroup is the parent of the pods'.
	cgroup string
}

// start starts a node of a containerd, which ends with the test.
func start(t *testing.T, program, version string) *node {
	t.Helper()
	m, err := cluster.StartMachine(harness.Config{Daemon: program})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := m.Install(); err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("unix://"+m.Node.Address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	n := &node{Machine: m, RuntimeServiceClient: criv1.NewRuntimeServiceClient(conn), version: version}
	if n.cgroup, err = harness.MakeCgroup("kube"); err != nil {
		t.Fatal(err)
	}
	return n
}

// restart ends containerd with a signal, starts it again, and waits until it
// serves CRI, which is later than anything else.
func (n *node) restart(t testing.TB, signal syscall.Signal) {
	t.Helper()
	n.Node.Restart(t, signal)
	harness.Eventually(t, func() error {
		_, err := n.ListPodSandbox(bounded(t), &criv1.ListPodSandboxRequest{})
		return err
	})
}

// bounded returns a context for calls, bounded by harness.Limit.
func bounded(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), harness.Limit)
	t.Cleanup(cancel)
	return ctx
}

// call makes a call, which must succeed, and returns its answer.
func call[Q, A any](t testing.TB, n *node, method func(context.Context, Q, ...grpc.CallOption) (A, error), request Q) A {
	t.Helper()
	answer, err := method(bounded(t), request)
	if err != nil {
		t.Fatalf("%T: %v\n%s", request, err, n.Node.Warnings())
	}
	return answer
}

// A pod is a sandbox that a test has made, and where kubelet would keep its files.
type pod struct {
	*node
	id, cgroup string
	config     *criv1.PodSandboxConfig
}

// podConfig returns what kubelet says of a pod, whose directories and cgroup it
// makes. They go with the test.
func (n *node) podConfig(t testing.TB) *criv1.PodSandboxConfig {
	t.Helper()
	uid := strings.ToLower(harness.NewID(t))
	cgroup, err := harness.MakeCgroup("kube/pod" + uid)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cluster.KubeletDir, "pods", uid)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return &criv1.PodSandboxConfig{
		Metadata:     &criv1.PodSandboxMetadata{Name: uid, Uid: uid, Namespace: "default"},
		Hostname:     "pod-of-tests",
		LogDirectory: t.TempDir(),
		DnsConfig:    &criv1.DNSConfig{Servers: []string{"10.92.0.10"}, Searches: []string{"default.svc.cluster.local"}, Options: []string{"ndots:5"}},
		Labels:       map[string]string{"test": uid},
		Annotations:  map[string]string{},
		Linux: &criv1.LinuxPodSandboxConfig{
			CgroupParent: "/" + cgroup,
			SecurityContext: &criv1.LinuxSandboxSecurityContext{
				NamespaceOptions: &criv1.NamespaceOption{Pid: criv1.NamespaceMode_CONTAINER},
			},
		},
	}
}

// run makes a sandbox, which ends with the test.
func (n *node) run(t testing.TB, changes ...func(*criv1.PodSandboxConfig)) *pod {
	t.Helper()
	config := n.podConfig(t)
	for _, change := range changes {
		change(config)
	}
	p := &pod{node: n, config: config, cgroup: strings.TrimPrefix(config.Linux.CgroupParent, "/")}
	answer, err := n.RunPodSandbox(bounded(t), &criv1.RunPodSandboxRequest{Config: config, RuntimeHandler: handler})
	if err != nil {
		t.Fatalf("run a sandbox: %v\n%s", err, n.Node.Warnings())
	}
	p.id = answer.PodSandboxId
	t.Cleanup(func() { p.remove(t) })
	return p
}

// remove stops and removes the sandbox; both may be done more than once.
func (p *pod) remove(t testing.TB) {
	t.Helper()
	if _, err := p.StopPodSandbox(bounded(t), &criv1.StopPodSandboxRequest{PodSandboxId: p.id}); err != nil {
		t.Errorf("stop sandbox: %v\n%s", err, p.Node.Warnings())
	}
	if _, err := p.RemovePodSandbox(bounded(t), &criv1.RemovePodSandboxRequest{PodSandboxId: p.id}); err != nil {
		t.Errorf("remove sandbox: %v\n%s", err, p.Node.Warnings())
	}
}

// forget removes what kubelet keeps of a pod that is gone.
func (p *pod) forget(t testing.TB) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(cluster.KubeletDir, "pods", p.config.Metadata.Uid)); err != nil {
		t.Fatal(err)
	}
	if err := harness.RemoveCgroup("kube/pod" + p.config.Metadata.Uid); err != nil {
		t.Fatal(err)
	}
}

// status asks for the sandbox's status.
func (p *pod) status(t testing.TB) *criv1.PodSandboxStatus {
	t.Helper()
	return call(t, p.node, p.PodSandboxStatus, &criv1.PodSandboxStatusRequest{PodSandboxId: p.id}).Status
}

// A container of a pod.
type container struct {
	*pod
	id  string
	log string
}

// containerConfig returns a container of a pod that runs a shell script.
func (p *pod) containerConfig(name, script string) *criv1.ContainerConfig {
	return &criv1.ContainerConfig{
		Metadata: &criv1.ContainerMetadata{Name: name},
		Image:    &criv1.ImageSpec{Image: images.Busybox.Ref},
		Command:  []string{"sh", "-c", script},
		LogPath:  name + ".log",
		Labels:   map[string]string{"name": name},
		Linux: &criv1.LinuxContainerConfig{
			SecurityContext: &criv1.LinuxContainerSecurityContext{NamespaceOptions: p.config.Linux.SecurityContext.NamespaceOptions},
		},
	}
}

// tryCreate creates a container, which may be refused.
func (p *pod) tryCreate(t testing.TB, config *criv1.ContainerConfig) (*container, error) {
	t.Helper()
	answer, err := p.CreateContainer(bounded(t), &criv1.CreateContainerRequest{PodSandboxId: p.id, Config: config, SandboxConfig: p.config})
	if err != nil {
		return nil, err
	}
	return &container{p, answer.ContainerId, filepath.Join(p.config.LogDirectory, config.LogPath)}, nil
}

// create creates a container.
func (p *pod) create(t testing.TB, config *criv1.ContainerConfig) *container {
	t.Helper()
	c, err := p.tryCreate(t, config)
	if err != nil {
		t.Fatalf("create container: %v\n%s", err, p.Node.Warnings())
	}
	return c
}

// start starts a container that runs a script, with changes of its configuration.
func (p *pod) start(t testing.TB, name, script string, changes ...func(*criv1.ContainerConfig)) *container {
	t.Helper()
	config := p.containerConfig(name, script)
	for _, change := range changes {
		change(config)
	}
	c := p.create(t, config)
	call(t, p.node, p.StartContainer, &criv1.StartContainerRequest{ContainerId: c.id})
	return c
}

// status asks for the container's status.
func (c *container) status(t testing.TB) *criv1.ContainerStatus {
	t.Helper()
	return call(t, c.node, c.ContainerStatus, &criv1.ContainerStatusRequest{ContainerId: c.id}).Status
}

// stop stops the container with a grace period in seconds.
func (c *container) stop(t testing.TB, grace int64) {
	t.Helper()
	call(t, c.node, c.StopContainer, &criv1.StopContainerRequest{ContainerId: c.id, Timeout: grace})
}

// awaitEnd waits until the container has ended.
func (c *container) awaitEnd(t testing.TB) (s *criv1.ContainerStatus) {
	t.Helper()
	harness.Eventually(t, func() error {
		if s = c.status(t); s.State != criv1.ContainerState_CONTAINER_EXITED {
			return fmt.Errorf("%s is %s", c.id, s.State)
		}
		return nil
	})
	return s
}

// lines returns what the container has written: the content of its log's lines.
func (c *container) lines(t testing.TB) []string {
	t.Helper()
	var out []string
	for line := range strings.Lines(harness.ReadFile(t, c.log)) {
		if f := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4); len(f) == 4 {
			out = append(out, f[3])
		}
	}
	return out
}

// awaitLine waits until the container has written a line.
func (c *container) awaitLine(t testing.TB, want string) {
	t.Helper()
	harness.Eventually(t, func() error {
		lines := c.lines(t)
		for _, line := range lines {
			if line == want {
				return nil
			}
		}
		return fmt.Errorf("no line %q, but %q", want, lines)
	})
}

// sh runs a script in the container and returns its output; it must succeed.
func (c *container) sh(t testing.TB, script string) string {
	t.Helper()
	answer := call(t, c.node, c.ExecSync, &criv1.ExecSyncRequest{
		ContainerId: c.id, Cmd: []string{"sh", "-c", script}, Timeout: int64(harness.Limit.Seconds()),
	})
	if answer.ExitCode != 0 {
		t.Fatalf("%q: exit code %d, %s%s", script, answer.ExitCode, answer.Stdout, answer.Stderr)
	}
	return string(answer.Stdout)
}

// wantIDs fails the test unless a list has those, in whatever order.
func wantIDs(t *testing.T, what string, got, want []string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}
