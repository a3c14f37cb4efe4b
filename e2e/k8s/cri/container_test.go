// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"testing"
	"time"

	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/images"
)

var containers = []check{
	{"a container lives and ends", containerLives},
	{"containers are listed and filtered", containersAreListed},
	{"a container's end has a code and a reason", endsHaveReasons},
	{"a container of a sandbox is stopped alone", containersEndAlone},
	{"a container that cannot start says why", startFailuresSayWhy},
}

func containerLives(t *testing.T, n *node) {
	p := n.run(t)
	c := p.create(t, p.containerConfig("app", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done"))
	if s := c.status(t); s.State != criv1.ContainerState_CONTAINER_CREATED || s.CreatedAt == 0 || s.StartedAt != 0 {
		t.Errorf("a container that was made is %v", s)
	}
	call(t, n, n.StartContainer, &criv1.StartContainerRequest{ContainerId: c.id})
	c.awaitLine(t, "ready")
	s := c.status(t)
	if s.State != criv1.ContainerState_CONTAINER_RUNNING || s.StartedAt == 0 || s.LogPath != c.log || s.Image.Image == "" || s.Metadata.Name != "app" {
		t.Errorf("a container that runs is %v", s)
	}
	if _, err := n.StartContainer(bounded(t), &criv1.StartContainerRequest{ContainerId: c.id}); err == nil {
		t.Error("a container was started twice")
	}
	for range 2 {
		c.stop(t, 30)
		if s := c.status(t); s.State != criv1.ContainerState_CONTAINER_EXITED || s.ExitCode != 5 || s.FinishedAt < s.StartedAt {
			t.Errorf("a container that has caught its signal is %v", s)
		}
	}
	for range 2 {
		call(t, n, n.RemoveContainer, &criv1.RemoveContainerRequest{ContainerId: c.id})
	}
	// One that runs may be removed, and another of that name made.
	c = p.start(t, "app", "sleep 1000")
	call(t, n, n.RemoveContainer, &criv1.RemoveContainerRequest{ContainerId: c.id})
	p.start(t, "app", "sleep 1000")
}

func containersAreListed(t *testing.T, n *node) {
	p, q := n.run(t), n.run(t)
	made := p.create(t, p.containerConfig("made", "true"))
	runs := p.start(t, "runs", "sleep 1000")
	other := q.start(t, "other", "sleep 1000")
	other.stop(t, 0)
	state := func(s criv1.ContainerState) *criv1.ContainerStateValue { return &criv1.ContainerStateValue{State: s} }
	for name, c := range map[string]struct {
		filter *criv1.ContainerFilter
		want   []string
	}{
		"all":            {nil, []string{made.id, runs.id, other.id}},
		"by id":          {&criv1.ContainerFilter{Id: runs.id}, []string{runs.id}},
		"of a sandbox":   {&criv1.ContainerFilter{PodSandboxId: p.id}, []string{made.id, runs.id}},
		"by label":       {&criv1.ContainerFilter{LabelSelector: map[string]string{"name": "other"}}, []string{other.id}},
		"that were made": {&criv1.ContainerFilter{State: state(criv1.ContainerState_CONTAINER_CREATED)}, []string{made.id}},
		"that run":       {&criv1.ContainerFilter{State: state(criv1.ContainerState_CONTAINER_RUNNING)}, []string{runs.id}},
		"that ended":     {&criv1.ContainerFilter{State: state(criv1.ContainerState_CONTAINER_EXITED)}, []string{other.id}},
	} {
		var got []string
		for _, found := range call(t, n, n.ListContainers, &criv1.ListContainersRequest{Filter: c.filter}).Containers {
			got = append(got, found.Id)
		}
		wantIDs(t, name, got, c.want)
	}
}

func endsHaveReasons(t *testing.T, n *node) {
	for _, c := range []struct {
		script, reason string
		code           int32
	}{
		{"exit 0", "Completed", 0},
		{"exit 3", "Error", 3},
		{"kill -9 $$", "Error", 137},
		{"kill -15 $$; sleep 1000", "Error", 143},
		// As much as the pod's cgroup has, and more.
		{"sleep 0.1; tail /dev/zero", "OOMKilled", 137},
	} {
		p := n.run(t)
		if err := harness.LimitCgroup(p.cgroup, 256<<20); err != nil {
			t.Fatal(err)
		}
		s := p.start(t, "app", c.script).awaitEnd(t)
		if s.ExitCode != c.code || s.Reason != c.reason {
			t.Errorf("%q ended with code %d, %s (%s), want %d, %s", c.script, s.ExitCode, s.Reason, s.Message, c.code, c.reason)
		}
	}
}

func containersEndAlone(t *testing.T, n *node) {
	p := n.run(t)
	first, second := p.start(t, "first", "sleep 1000"), p.start(t, "second", "trap '' TERM; echo ready; sleep 1000")
	second.awaitLine(t, "ready")
	began := time.Now()
	second.stop(t, 1)
	if took := time.Since(began); took < time.Second {
		t.Errorf("the grace period of 1 s was %s", took)
	}
	if s := second.status(t); s.State != criv1.ContainerState_CONTAINER_EXITED || s.ExitCode != 137 {
		t.Errorf("a container that ignores its signal is %s with code %d", s.State, s.ExitCode)
	}
	if s := first.status(t); s.State != criv1.ContainerState_CONTAINER_RUNNING {
		t.Errorf("the other container is %s", s.State)
	}
	if s := p.status(t); s.State != criv1.PodSandboxState_SANDBOX_READY {
		t.Errorf("the sandbox is %s", s.State)
	}
	first.sh(t, "true")
}

func startFailuresSayWhy(t *testing.T, n *node) {
	p := n.run(t)
	config := p.containerConfig("app", "")
	config.Command = []string{"/no/such/program"}
	c, err := p.tryCreate(t, config)
	if err == nil {
		_, err = n.StartContainer(bounded(t), &criv1.StartContainerRequest{ContainerId: c.id})
	}
	wantText(t, "a program that is not there", err, "/no/such/program", "no such file")

	config = p.containerConfig("image", "true")
	config.Image = &criv1.ImageSpec{Image: images.Busybox.Ref + "-not-here"}
	_, err = p.tryCreate(t, config)
	wantText(t, "an image that is not there", err, "not-here")
	p.start(t, "good", "sleep 1000")
}
