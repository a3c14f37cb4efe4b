// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	eventstypes "github.com/containerd/containerd/api/events"
	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

func TestDelete(t *testing.T) {
	b := newBench(t)
	root, other := b.in(t, Running)
	if _, err := b.Delete(t.Context(), &taskapi.DeleteRequest{ID: "box"}); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("Delete of a running container = %v", err)
	}
	home := filepath.Join(b.sb.volumesDir, "home")
	if err := errors.Join(b.sb.holdVolumes(), os.Mkdir(home, 0o700)); err != nil {
		t.Fatal(err)
	}
	other.init.finish(3)
	if r, err := b.Delete(t.Context(), &taskapi.DeleteRequest{ID: "other"}); err != nil || r.GetExitStatus() != 3 {
		t.Errorf("Delete = %v, %v, want status 3", r, err)
	}
	if _, err := os.Stat(home); err != nil {
		t.Errorf("the sandbox's volumes went with one of its containers: %v", err)
	}
	root.init.finish(4)
	if r, err := b.Delete(t.Context(), &taskapi.DeleteRequest{ID: "box"}); err != nil || r.GetExitStatus() != 4 {
		t.Errorf("Delete = %v, %v, want status 4", r, err)
	}
	for _, dir := range []string{b.sb.scratch, b.sb.volumesDir} {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", dir, err)
		}
	}
	if diff := cmp.Diff([]string{"delete --force other", "delete --force box"}, b.calls(t)); diff != "" {
		t.Errorf("runsc (-want +got):\n%s", diff)
	}
	if _, err := b.Delete(t.Context(), &taskapi.DeleteRequest{ID: "box"}); !errdefs.IsNotFound(err) {
		t.Errorf("a second Delete = %v", err)
	}
	b.flush()
	var deleted []string
	for _, e := range b.recorder.events {
		if d, ok := e.(*eventstypes.TaskDelete); ok {
			deleted = append(deleted, d.ContainerID)
		}
	}
	if diff := cmp.Diff([]string{"other", "box"}, deleted); diff != "" {
		t.Errorf("TaskDelete events (-want +got):\n%s", diff)
	}
}

// Who waits for a container hears of its end when its sandbox is deleted, whether it was
// started or not, and once.
func TestTheEndOfASandboxEndsAllOfIt(t *testing.T) {
	for name, tt := range map[string]struct {
		in   State
		late bool // there is one that was not started
		kill bool
		want []string // the ends, in order
	}{
		"created, deleted":                   {Created, false, false, []string{"other", "box"}},
		"created, killed, deleted":           {Created, false, true, []string{"other", "box"}},
		"running beside one that is created": {Running, true, true, []string{"box", "late", "other"}},
		"paused":                             {Paused, false, true, []string{"other", "box"}},
		"resuming":                           {Resuming, false, true, []string{"other", "box"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCell(t, tt.in)
			ids := []string{"box", "other"}
			if tt.late {
				ids = append(ids, c.notStarted(t))
			}
			members := c.sb.all()
			if tt.kill {
				if err := c.call(t, verbKill); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.call(t, verbDelete); err != nil {
				t.Fatal(err)
			}
			for _, each := range members {
				if status, _ := each.init.exit(); !each.init.hasExited() || status != killedStatus {
					t.Errorf("%s has ended %v with %d", each.id, each.init.hasExited(), status)
				}
			}
			if _, err := os.Stat(c.sb.scratch); err != nil {
				t.Errorf("the sandbox is cleaned up while a container is left: %v", err)
			}
			for _, id := range ids[1:] {
				if r, err := c.State(t.Context(), &taskapi.StateRequest{ID: id}); err != nil || r.GetStatus() != tasktypes.Status_STOPPED {
					t.Errorf("%s is %v, %v, want stopped", id, r.GetStatus(), err)
				}
				if r, err := c.Delete(t.Context(), &taskapi.DeleteRequest{ID: id}); err != nil || r.GetExitStatus() != killedStatus {
					t.Errorf("Delete of %s = %v, %v", id, r, err)
				}
			}
			got := c.exits()
			if tt.in == Running {
				slices.Sort(got) // each has somebody of its own who watches
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("ends (-want +got):\n%s", diff)
			}
		})
	}
}

// A container that is deleted before it was started has ended with that.
func TestDeleteEndsWhatWasNotStarted(t *testing.T) {
	c := newCell(t, Created)
	if r, err := c.Delete(t.Context(), &taskapi.DeleteRequest{ID: "other"}); err != nil || r.GetExitStatus() != killedStatus {
		t.Errorf("Delete = %v, %v, want %d", r, err, killedStatus)
	}
	if got := c.exits(); !slices.Equal(got, []string{"other"}) {
		t.Errorf("ends %v", got)
	}
	c.wantState(t, Created)
}

// Of two who delete a container at the same time one has done it: what has its id
// by then may be another container.
func TestOneOfTwoDeletesHasDoneIt(t *testing.T) {
	b := newBench(t)
	root, other := b.in(t, Running)
	other.init.finish(3)
	_, end, err := b.sb.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	outcomes := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := b.Delete(t.Context(), &taskapi.DeleteRequest{ID: "other"})
			outcomes <- err
		}()
	}
	for b.sb.overruledTimes() < 2 {
		runtime.Gosched()
	}
	end()
	first, second := <-outcomes, <-outcomes
	if first == nil {
		first, second = second, first
	}
	if !errdefs.IsNotFound(first) || second != nil {
		t.Errorf("they were answered %v and %v, want one not found and one success", first, second)
	}
	if diff := cmp.Diff([]string{"delete --force other"}, b.calls(t)); diff != "" {
		t.Errorf("runsc (-want +got):\n%s", diff)
	}
	if _, err := b.sb.container(root.id); err != nil {
		t.Error(err)
	}
}

func (s *sandbox) overruledTimes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.overruling)
}
