// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"fmt"
	"testing"

	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/ateom/ateom/e2e/harness"
)

var figures = []check{
	{"a container has figures", containerHasFigures},
	{"a sandbox has figures", sandboxHasFigures},
	{"resources can be changed", resourcesChange},
}

// wantFigures says what is missing of a container's figures.
func wantFigures(s *criv1.ContainerStats) error {
	switch {
	case s.GetCpu().GetUsageCoreNanoSeconds().GetValue() == 0:
		return fmt.Errorf("no CPU time: %v", s)
	case s.GetMemory().GetWorkingSetBytes().GetValue() == 0:
		return fmt.Errorf("no memory: %v", s)
	case s.GetAttributes().GetMetadata().GetName() != "app":
		return fmt.Errorf("attributes of another: %v", s)
	}
	return nil
}

func containerHasFigures(t *testing.T, n *node) {
	c := n.run(t).start(t, "app", "while :; do :; done")
	harness.Eventually(t, func() error {
		return wantFigures(call(t, n, n.ContainerStats, &criv1.ContainerStatsRequest{ContainerId: c.id}).Stats)
	})
	list := call(t, n, n.ListContainerStats, &criv1.ListContainerStatsRequest{Filter: &criv1.ContainerStatsFilter{PodSandboxId: c.pod.id}}).Stats
	if len(list) != 1 || wantFigures(list[0]) != nil {
		t.Errorf("the sandbox's list has %v", list)
	}
}

func sandboxHasFigures(t *testing.T, n *node) {
	p := n.run(t)
	p.start(t, "app", "while :; do :; done")
	harness.Eventually(t, func() error {
		s := call(t, n, n.PodSandboxStats, &criv1.PodSandboxStatsRequest{PodSandboxId: p.id}).Stats.GetLinux()
		switch {
		case s.GetCpu().GetUsageCoreNanoSeconds().GetValue() == 0:
			return fmt.Errorf("no CPU time: %v", s)
		case s.GetMemory().GetWorkingSetBytes().GetValue() == 0:
			return fmt.Errorf("no memory: %v", s)
		case len(s.GetContainers()) != 1:
			return fmt.Errorf("containers: %v", s.GetContainers())
		}
		return wantFigures(s.Containers[0])
	})
	list := call(t, n, n.ListPodSandboxStats, &criv1.ListPodSandboxStatsRequest{Filter: &criv1.PodSandboxStatsFilter{Id: p.id}}).Stats
	if len(list) != 1 {
		t.Errorf("the list has %v", list)
	}
}

func resourcesChange(t *testing.T, n *node) {
	c := n.run(t).start(t, "app", "sleep 1000")
	call(t, n, n.UpdateContainerResources, &criv1.UpdateContainerResourcesRequest{
		ContainerId: c.id, Linux: &criv1.LinuxContainerResources{CpuShares: 512, MemoryLimitInBytes: 512 << 20},
	})
	if r := c.status(t).Resources.GetLinux(); r.GetCpuShares() != 512 || r.GetMemoryLimitInBytes() != 512<<20 {
		t.Errorf("its resources are %v", r)
	}
	c.sh(t, "true")
}
