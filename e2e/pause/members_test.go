// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pause

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/ateom/ateom/e2e/harness"
)

// A Resume that fails removes what it has made of a sandbox of several containers,
// whose cgroups lie in the root one's, as a pod's do. runsc gives up on a cgroup in which
// there are others, after 5 s, and leaves it.
func TestAFailedResumeOfSeveralContainersLeavesNoCgroup(t *testing.T) {
	for _, number := range []int{2, 3} {
		t.Run(fmt.Sprint(number), func(t *testing.T) {
			t.Parallel()
			n := harness.NewNode(t, harness.Config{})
			parent, err := harness.MakeCgroup(fmt.Sprint("members-", number))
			if err != nil {
				t.Fatal(err)
			}
			group := harness.NewID(t)
			var tasks []*harness.Task
			for i := range number {
				path := filepath.Join("/", parent, "pod")
				annotations := map[string]string{"io.containerd.ateom.v1.group": group}
				if i > 0 {
					path = filepath.Join(path, fmt.Sprint(i))
				}
				if i == number-1 {
					annotations["ateom.dev/readiness"] = `[{"exec":{"command":["test","!","-e","/busy"]},"periodSeconds":1,"failureThreshold":1}]`
				}
				tasks = append(tasks, n.Run(t, harness.Container{
					Args: []string{"sh", "-c", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done"}, Annotations: annotations,
					Opts: []oci.SpecOpts{oci.WithCgroup(path)},
				}))
			}
			last := tasks[number-1]
			n.Ateom(t, "tasks", "exec", "--exec-id", "busy", last.ID, "touch", "/busy")
			ctx := n.Context(t)
			if err := last.Pause(ctx); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				began := time.Now()
				if err := last.Resume(ctx); err == nil || !strings.Contains(err.Error(), "it is paused again") {
					t.Fatalf("Resume = %v, want a failure", err)
				}
				t.Logf("it took %v", time.Since(began))
				for _, pattern := range []string{"", "*"} {
					if left, err := filepath.Glob(filepath.Join("/sys/fs/cgroup", pattern, parent, "pod")); err != nil || len(left) > 0 {
						t.Errorf("cgroups are left: %q, %v", left, err)
					}
				}
				for _, task := range tasks {
					task.WantState(t, client.Paused)
				}
			}
		})
	}
}
