// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"testing"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"

	"github.com/ateom/ateom/shim/hook"
)

// Whatever hook is under way, and however long its author lets it take, Kill and
// Delete are done within their limit, and the command has ended.
func TestKillAndDeleteEndAHook(t *testing.T) {
	commit, pause, resume := verbCommit, verbPause, verbResume
	for moment, v := range map[hook.Moment]verb{hook.PreSave: pause, hook.PostSave: commit, hook.PostRestore: resume} {
		for name, win := range map[string]func(*cell) error{
			"Kill of the root container": func(c *cell) error {
				_, err := c.Kill(t.Context(), &taskapi.KillRequest{ID: "box", Signal: sigkill})
				return err
			},
			"Kill of another container": func(c *cell) error {
				_, err := c.Kill(t.Context(), &taskapi.KillRequest{ID: "other", Signal: sigkill})
				return err
			},
			"Delete of a container that has ended": func(c *cell) error {
				_, err := c.Delete(t.Context(), &taskapi.DeleteRequest{ID: "done"})
				return err
			},
		} {
			t.Run(moment.Name()+"/"+name, func(t *testing.T) {
				t.Parallel()
				c := newCell(t, Running)
				done := c.addContainer(t, "done")
				done.init.finish(0)
				if v == resume {
					if err := c.call(t, pause); err != nil {
						t.Fatal(err)
					}
				}
				root, err := c.sb.container("box")
				if err != nil {
					t.Fatal(err)
				}
				root.decl.hooks = map[hook.Moment][]hook.Hook{
					moment: {{Command: []string{"hang"}, TimeoutSeconds: 600, OnFailure: hook.Ignore}},
				}
				defer c.f.stop("exec")()
				outcome := c.begin(t, v)
				c.f.await("exec")
				k := c.f.running()
				if err := win(c); err != nil {
					t.Error(err)
					c.f.endKernel()
				}
				<-outcome
				if !k.execEnded(7) {
					t.Error("the hook's command goes on")
				}
			})
		}
	}
}

// execEnded says whether an exec'd process was killed, or its sandbox.
func (k *containerManager) execEnded(pid int) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case <-k.died:
		return true
	default:
		return k.execs[pid] == nil
	}
}
