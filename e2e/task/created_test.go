// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package task

import (
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/e2e/harness"
)

// A sandbox that dies before its containers were started ends them, as runc's init that
// is killed does: whoever waits is told.
func TestACreatedTaskWhoseSandboxDies(t *testing.T) {
	for name, started := range map[string]bool{"alone": false, "beside one that runs": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := harness.Shared(t)
			r := harness.Record(t, n)
			ctx := n.Context(t)
			group := map[string]string{"io.containerd.ateom.v1.group": harness.NewID(t)}
			c := harness.Container{Args: []string{"sleep", "10000"}, Annotations: group}
			root := ""
			if started {
				root = n.Run(t, c).ID
			}
			task := n.Create(t, c)
			if !started {
				root = task.ID
			}
			created, err := task.Container.NewTask(ctx, cio.NullIO)
			if err != nil {
				t.Fatal(err)
			}
			exited, err := created.Wait(ctx)
			if err != nil {
				t.Fatal(err)
			}
			sandboxes := harness.Find(t, func(args string) bool {
				return strings.HasPrefix(args, "runsc-sandbox ") && strings.Contains(args, "/"+root+"/runsc.log")
			})
			if len(sandboxes) != 1 {
				t.Fatalf("sandboxes %v, want one", sandboxes)
			}
			if err := syscall.Kill(sandboxes[0], syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if code := harness.AwaitExit(t, exited); code != 137 {
				t.Errorf("exit code %d, want 137", code)
			}
			if status, err := created.Status(ctx); err != nil || status.Status != client.Stopped {
				t.Errorf("its state is %v, %v, want stopped", status.Status, err)
			}
			if err := created.Start(ctx); err == nil {
				t.Error("it was started")
			}
			if _, err := created.Delete(ctx); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff([]string{"create", "exit", "delete"}, r.Until(t, task.ID, "delete")); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}
