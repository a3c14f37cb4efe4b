// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package agentpod

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"

	"github.com/ateom/ateom/e2e/k8s/cluster"
)

// figure is a line of what kubelet serves to metrics-server, with the time of the
// measurement behind it.
var figure = regexp.MustCompile(`(?m)^(container|pod)_(cpu_usage_seconds_total|memory_working_set_bytes)\{(?:container="([^"]*)",)?namespace="default",pod="([^"]*)"\} (\S+) \d+$`)

// Figures are what `kubectl top` knows of a pod or a container.
type Figures struct{ CPU, Memory float64 }

// Figures returns what kubelet tells metrics-server of the pod's containers by
// their names, and of the pod by "".
func (p *Pod) Figures(t testing.TB) map[string]Figures {
	t.Helper()
	all := map[string]Figures{}
	for _, m := range figure.FindAllStringSubmatch(p.Try(t, "get", "--raw", "/api/v1/nodes/node/proxy/metrics/resource").Stdout, -1) {
		value, err := strconv.ParseFloat(m[5], 64)
		if err != nil {
			t.Fatal(err)
		}
		if m[4] != p.Name {
			continue
		}
		f := all[m[3]]
		if m[2] == "cpu_usage_seconds_total" {
			f.CPU = value
		} else {
			f.Memory = value
		}
		all[m[3]] = f
	}
	return all
}

// AwaitFigures waits until kubelet, which measures every ten seconds, tells
// metrics-server what holds says is right.
func (p *Pod) AwaitFigures(t testing.TB, holds func(map[string]Figures) bool) {
	t.Helper()
	cluster.Eventually(t, func() error {
		if f := p.Figures(t); !holds(f) {
			return fmt.Errorf("kubelet's figures of %s: %v", p.Name, f)
		}
		return nil
	})
}
