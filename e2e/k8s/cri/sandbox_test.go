// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"net/netip"

	"strings"
	"testing"

	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

var sandboxes = []check{
	{"the runtime is ready", runtimeIsReady},
	{"a sandbox lives and ends", sandboxLives},
	{"sandboxes are listed and filtered", sandboxesAreListed},
	{"a sandbox's end takes its containers", sandboxTakesItsContainers},
	{"nothing is there of what was never made", nothingOfStrangers},
}

func runtimeIsReady(t *testing.T, n *node) {
	v := call(t, n, n.Version, &criv1.VersionRequest{})
	if v.RuntimeName != "containerd" || !strings.HasPrefix(strings.TrimPrefix(v.RuntimeVersion, "v"), n.version) {
		t.Fatalf("the runtime is %s %s, want containerd %sx", v.RuntimeName, v.RuntimeVersion, n.version)
	}
	s := call(t, n, n.Status, &criv1.StatusRequest{Verbose: true})
	ready := map[string]bool{}
	for _, c := range s.Status.Conditions {
		ready[c.Type] = c.Status
	}
	for _, want := range []string{criv1.RuntimeReady, criv1.NetworkReady} {
		if !ready[want] {
			t.Errorf("%s is false: %v", want, s.Status.Conditions)
		}
	}
	if config := s.Info["config"]; !strings.Contains(config, "io.containerd.ateom.v1") {
		t.Errorf("the configuration has no runtime of ours: %s", config)
	}
}

func sandboxLives(t *testing.T, n *node) {
	p := n.run(t)
	s := p.status(t)
	if s.State != criv1.PodSandboxState_SANDBOX_READY || s.RuntimeHandler != handler || s.CreatedAt == 0 || s.Metadata.Uid != p.config.Metadata.Uid {
		t.Errorf("the sandbox is %v", s)
	}
	if ip, err := netip.ParseAddr(s.Network.Ip); err != nil || !netip.MustParsePrefix("10.91.0.0/24").Contains(ip) {
		t.Errorf("its address is %q, want one of the pods' network", s.Network.Ip)
	}
	// All of it may be said twice.
	for range 2 {
		call(t, n, n.StopPodSandbox, &criv1.StopPodSandboxRequest{PodSandboxId: p.id})
		if s := p.status(t); s.State != criv1.PodSandboxState_SANDBOX_NOTREADY {
			t.Errorf("a stopped sandbox is %s", s.State)
		}
	}
	for range 2 {
		call(t, n, n.RemovePodSandbox, &criv1.RemovePodSandboxRequest{PodSandboxId: p.id})
		if _, err := n.PodSandboxStatus(bounded(t), &criv1.PodSandboxStatusRequest{PodSandboxId: p.id}); err == nil {
			t.Error("a removed sandbox has a status")
		}
	}
}

func sandboxesAreListed(t *testing.T, n *node) {
	a, b := n.run(t), n.run(t)
	call(t, n, n.StopPodSandbox, &criv1.StopPodSandboxRequest{PodSandboxId: b.id})
	state := func(s criv1.PodSandboxState) *criv1.PodSandboxStateValue {
		return &criv1.PodSandboxStateValue{State: s}
	}
	for name, c := range map[string]struct {
		filter *criv1.PodSandboxFilter
		want   []string
	}{
		"all":          {nil, []string{a.id, b.id}},
		"by id":        {&criv1.PodSandboxFilter{Id: a.id}, []string{a.id}},
		"by label":     {&criv1.PodSandboxFilter{LabelSelector: b.config.Labels}, []string{b.id}},
		"that run":     {&criv1.PodSandboxFilter{State: state(criv1.PodSandboxState_SANDBOX_READY)}, []string{a.id}},
		"that stopped": {&criv1.PodSandboxFilter{State: state(criv1.PodSandboxState_SANDBOX_NOTREADY)}, []string{b.id}},
		"of none":      {&criv1.PodSandboxFilter{LabelSelector: map[string]string{"test": "x"}}, nil},
	} {
		var got []string
		for _, s := range call(t, n, n.ListPodSandbox, &criv1.ListPodSandboxRequest{Filter: c.filter}).Items {
			got = append(got, s.Id)
		}
		wantIDs(t, name, got, c.want)
	}
}

func sandboxTakesItsContainers(t *testing.T, n *node) {
	p := n.run(t)
	c := p.start(t, "app", "sleep 1000")
	call(t, n, n.StopPodSandbox, &criv1.StopPodSandboxRequest{PodSandboxId: p.id})
	if s := c.status(t); s.State != criv1.ContainerState_CONTAINER_EXITED || s.ExitCode != 137 {
		t.Errorf("the container of a stopped sandbox is %s with code %d", s.State, s.ExitCode)
	}
	call(t, n, n.RemovePodSandbox, &criv1.RemovePodSandboxRequest{PodSandboxId: p.id})
	if _, err := n.ContainerStatus(bounded(t), &criv1.ContainerStatusRequest{ContainerId: c.id}); err == nil {
		t.Error("the container of a removed sandbox has a status")
	}
}

func nothingOfStrangers(t *testing.T, n *node) {
	const id = "0123456789abcdef"
	call(t, n, n.StopPodSandbox, &criv1.StopPodSandboxRequest{PodSandboxId: id})
	call(t, n, n.RemovePodSandbox, &criv1.RemovePodSandboxRequest{PodSandboxId: id})
	call(t, n, n.StopContainer, &criv1.StopContainerRequest{ContainerId: id})
	call(t, n, n.RemoveContainer, &criv1.RemoveContainerRequest{ContainerId: id})
	if _, err := n.ExecSync(bounded(t), &criv1.ExecSyncRequest{ContainerId: id, Cmd: []string{"true"}}); err == nil {
		t.Error("something ran in a container that is not there")
	}
}
