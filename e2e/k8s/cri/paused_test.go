// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"errors"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/k8s/cluster"
)

var paused = []check{
	{"a paused sandbox is ready, and its containers run", pausedIsReported},
	{"a paused sandbox outlives containerd", pausedOutlivesContainerd},
	{"a container of a paused sandbox can be stopped", pausedContainerIsStopped},
	{"a new sandbox goes on from a committed one", committedGoesOn},
	{"nothing is left of a sandbox that ran", func(t *testing.T, n *node) { nothingIsLeft(t, n, false) }},
	{"nothing is left of a paused sandbox", func(t *testing.T, n *node) { nothingIsLeft(t, n, true) }},
}

// counting writes the numbers from 0 on, one a line.
const counting = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done"

// pause pauses a container's sandbox.
func (c *container) pause(t *testing.T) {
	t.Helper()
	c.Node.Ateom(t, "tasks", "pause", c.id)
}

// wantCounting resumes the container's sandbox and fails the test unless it goes
// on where it was.
func (c *container) wantCounting(t *testing.T) {
	t.Helper()
	c.Node.Ateom(t, "tasks", "resume", c.id)
	c.wantOn(t)
}

// wantOn fails the test unless the container counts on, without a gap.
func (c *container) wantOn(t *testing.T) {
	t.Helper()
	c.awaitLine(t, strconv.Itoa(len(c.lines(t))+5))
	for i, line := range c.lines(t) {
		if line != strconv.Itoa(i) {
			t.Fatalf("line %d is %q", i, line)
		}
	}
}

// wantReady fails the test unless the sandbox is ready and the container runs.
func (c *container) wantReady(t *testing.T) {
	t.Helper()
	if s := c.pod.status(t); s.State != criv1.PodSandboxState_SANDBOX_READY || s.Network.Ip == "" {
		t.Errorf("the sandbox is %v", s)
	}
	if s := c.status(t); s.State != criv1.ContainerState_CONTAINER_RUNNING {
		t.Errorf("the container is %v", s)
	}
}

func pausedIsReported(t *testing.T, n *node) {
	c := n.run(t).start(t, "app", counting)
	c.awaitLine(t, "3")
	c.pause(t)
	c.wantReady(t)
	for _, list := range []int{
		len(call(t, n, n.ListContainers, &criv1.ListContainersRequest{Filter: &criv1.ContainerFilter{
			Id: c.id, State: &criv1.ContainerStateValue{State: criv1.ContainerState_CONTAINER_RUNNING},
		}}).Containers),
		len(call(t, n, n.ListContainerStats, &criv1.ListContainerStatsRequest{Filter: &criv1.ContainerStatsFilter{Id: c.id}}).Stats),
		len(call(t, n, n.ListPodSandboxStats, &criv1.ListPodSandboxStatsRequest{Filter: &criv1.PodSandboxStatsFilter{Id: c.pod.id}}).Stats),
	} {
		if list != 1 {
			t.Errorf("a list has %d, want the paused one", list)
		}
	}
	_, err := n.ExecSync(bounded(t), &criv1.ExecSyncRequest{ContainerId: c.id, Cmd: []string{"true"}})
	wantText(t, "a command in a paused sandbox", err, "it is paused; resume it first")
	c.wantCounting(t)
	c.sh(t, "true")
}

func pausedOutlivesContainerd(t *testing.T, n *node) {
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		c := n.run(t).start(t, "app", counting)
		c.awaitLine(t, "3")
		c.pause(t)
		n.restart(t, signal)
		c.wantReady(t)
		c.wantCounting(t)
		c.sh(t, "true")
		c.wantReady(t)
	}
}

func pausedContainerIsStopped(t *testing.T, n *node) {
	c := n.run(t).start(t, "app", counting)
	c.pause(t)
	c.stop(t, 1)
	if s := c.status(t); s.State != criv1.ContainerState_CONTAINER_EXITED || s.ExitCode != 137 {
		t.Errorf("the container is %s with code %d", s.State, s.ExitCode)
	}
}

// committedGoesOn makes a sandbox of two containers from the snapshot of another.
func committedGoesOn(t *testing.T, n *node) {
	const script = "read x < /proc/sys/kernel/random/uuid; echo $x; while [ ! -e /tmp/go ]; do sleep 0.02; done; echo $x again; sleep 1000"
	names := []string{"app", "side"}
	p := n.run(t)
	said := map[string]string{}
	var c *container
	for _, name := range names {
		c = p.start(t, name, script)
		harness.Eventually(t, func() error {
			if lines := c.lines(t); len(lines) == 1 {
				said[name] = lines[0]
				return nil
			}
			return errors.New("nothing was written")
		})
	}
	id := harness.LastLine(n.Node.Ateom(t, "tasks", "commit", "--scope", "Full", c.id))
	p.remove(t)
	q := n.run(t, func(c *criv1.PodSandboxConfig) {
		c.Annotations["ateom.dev/restore-from"], c.Annotations["ateom.dev/store"] = id, "dir"
	})
	var made []*container
	for _, name := range names {
		made = append(made, q.start(t, name, script))
	}
	for i, c := range made {
		c.sh(t, "touch /tmp/go")
		c.awaitLine(t, said[names[i]]+" again")
		if lines := c.lines(t); len(lines) != 1 {
			t.Errorf("%s has begun anew: %q", names[i], lines)
		}
	}
}

// nothingIsLeft compares the node before a sandbox and after it.
func nothingIsLeft(t *testing.T, n *node, sleeps bool) {
	live := func() {
		p := n.run(t, withEmptyDir(t, "scratch"), withEmptyDir(t, "kept"), func(c *criv1.PodSandboxConfig) {
			c.Annotations["ateom.dev/durable-volumes"] = "kept"
		})
		mounts := func(c *criv1.ContainerConfig) {
			c.Mounts = []*criv1.Mount{
				{ContainerPath: "/scratch", HostPath: emptyDir(p.config, "scratch")}, {ContainerPath: "/kept", HostPath: emptyDir(p.config, "kept")},
			}
		}
		c := p.start(t, "app", "echo x > /scratch/x; echo x > /kept/x; "+counting, mounts)
		p.start(t, "other", "sleep 1000", mounts)
		c.awaitLine(t, "3")
		if sleeps {
			c.pause(t)
		}
		p.remove(t)
		// It is kubelet's to remove.
		if got := harness.ReadFile(t, filepath.Join(emptyDir(p.config, "kept"), "x")); got != "x\n" {
			t.Errorf("the durable volume has %q", got)
		}
		p.forget(t)
	}
	live() // what the first one makes for all
	before := harness.Look(t, n.Node.Config.RunDir, n.Node.Config.StateDir, filepath.Join(n.Node.Dir, "state"),
		"/run/netns", "/var/lib/cni", cluster.KubeletDir)
	live()
	before.WantNothingMore(t)
}
