// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"slices"
	"testing"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
)

// The cgroups of a pod's containers lie in that of its root container, which runsc
// would otherwise try for seconds to remove: when a Pause frees a sandbox, and when a Resume
// that fails takes back what it has made.
func TestTheRootContainerIsRemovedLast(t *testing.T) {
	b := newBench(t)
	f := b.withRuntime(t)
	b.runs(t, f)
	if _, err := b.Pause(t.Context(), &taskapi.PauseRequest{ID: "box"}); err != nil {
		t.Fatal(err)
	}
	wantRemoved := func(after string) {
		t.Helper()
		f.mu.Lock()
		defer f.mu.Unlock()
		if want := []string{"other", "box"}; !slices.Equal(f.deleted, want) {
			t.Errorf("%s has removed %v, want %v", after, f.deleted, want)
		}
		f.deleted = nil
	}
	wantRemoved("a Pause")
	restores := 0
	f.failing(func(call string) bool {
		if call != "restore" {
			return false
		}
		restores++
		return restores == 2 // the other's
	})
	if _, err := b.Resume(t.Context(), &taskapi.ResumeRequest{ID: "box"}); err == nil || restores != 2 {
		t.Fatalf("Resume = %v after %d restores, want a failure of the second", err, restores)
	}
	wantRemoved("a Resume that has failed")
}

// dying are the processes of a fake runtime, which take their time to end.
type dying struct {
	*fakeRuntime
	awaited chan struct{} // gets a word when somebody waits for one
	gone    chan struct{}
}

func (d dying) Wait(ctx context.Context, pid int) (int, error) {
	d.awaited <- struct{}{}
	select {
	case <-d.gone:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	return d.fakeRuntime.Wait(ctx, pid)
}

// runsc does not remove the cgroup of a container of which it cannot find out whether it
// runs, as long as there is a process that could tell.
func TestNothingIsRemovedBeforeTheProcessHasEnded(t *testing.T) {
	for name, tt := range map[string]struct {
		in    State
		verbs []verb
	}{
		"a Pause":                        {Running, []verb{verbPause}},
		"a Resume that fails":            {Paused, []verb{verbResume}},
		"Delete of what was not started": {Created, []verb{verbDelete}},
		"Kill and Delete":                {Created, []verb{verbKill, verbDelete}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCell(t, tt.in)
			d := dying{c.f, make(chan struct{}, 100), make(chan struct{})}
			c.processes = d
			restores := 0
			c.f.failing(func(call string) bool {
				if call == "restore" {
					restores++
				}
				return call == "restore" && restores == 2 // the other's
			})
			c.f.mu.Lock()
			c.f.deleted = nil
			c.f.mu.Unlock()
			done := make(chan error, 1)
			go func() {
				var errs []error
				for _, v := range tt.verbs {
					errs = append(errs, c.call(t, v))
				}
				done <- errors.Join(errs...)
			}()
			<-d.awaited
			c.f.mu.Lock()
			early := slices.Clone(c.f.deleted)
			c.f.mu.Unlock()
			if len(early) > 0 {
				t.Errorf("%v was removed while there was a process", early)
			}
			close(d.gone)
			if err := <-done; (err == nil) != (tt.in != Paused) {
				t.Error(err)
			}
			c.f.mu.Lock()
			defer c.f.mu.Unlock()
			if want := []string{"other", "box"}; !slices.Equal(c.f.deleted, want) {
				t.Errorf("removed %v, want %v", c.f.deleted, want)
			}
		})
	}
}
