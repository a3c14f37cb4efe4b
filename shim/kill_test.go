// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
)

const sighup = 1

// A signal that was kept for a process which has ended meanwhile is nobody's: what
// has its pid after the Resume is another one.
func TestAKeptSignalHitsNobodyElse(t *testing.T) {
	c := newCell(t, Running)
	root, err := c.sb.container("box")
	if err != nil {
		t.Fatal(err)
	}
	withExec(t, c.bench, root)
	release := c.f.stop("checkpoint")
	defer release()
	paused := c.begin(t, verbPause)
	c.f.await("checkpoint")
	// The second one tells when those that were kept have been delivered.
	for _, r := range []*taskapi.KillRequest{{ID: "box", ExecID: "shell", Signal: sigterm}, {ID: "box", Signal: sighup}} {
		if _, err := c.Kill(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	release()
	if err := <-paused; err != nil {
		t.Fatal(err)
	}
	if err := c.call(t, verbResume); err != nil {
		t.Fatal(err)
	}
	if got := <-c.f.running().signals; got != sighup {
		t.Errorf("signal %d was delivered, to a process that has ended", got)
	}
}

// A sandbox that answers nothing keeps no signal longer than containerd waits for it.
func TestSignalsAreBounded(t *testing.T) {
	for name, r := range map[string]*taskapi.KillRequest{
		"SIGTERM":            {ID: "box", Signal: sigterm},
		"SIGTERM of an exec": {ID: "box", ExecID: "shell", Signal: sigterm},
		"SIGKILL of an exec": {ID: "box", ExecID: "shell", Signal: sigkill},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCell(t, Running)
			root, err := c.sb.container("box")
			if err != nil {
				t.Fatal(err)
			}
			withExec(t, c.bench, root)
			defer c.f.stop("signal")()
			began := time.Now()
			if _, err := c.Kill(t.Context(), r); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Kill = %v, want a deadline", err)
			}
			if took := time.Since(began); took > 2*killLimit {
				t.Errorf("it took %v, want %v at most", took, killLimit)
			}
		})
	}
}

// Memory that holds a container which was killed while it slept cannot go on, here or
// elsewhere. Where no memory was kept, there is none that could hold it.
func TestAKillInASleepingSandbox(t *testing.T) {
	for _, scope := range []artifacts.Scope{artifacts.Full, artifacts.Data} {
		t.Run(string(scope), func(t *testing.T) {
			c := newCell(t, Running)
			c.sb.volumes["home"] = job.Volume{Name: "home", Path: t.TempDir()}
			for _, each := range c.sb.all() {
				each.decl.onPause, each.decl.onCommit = scope, scope
			}
			if err := c.call(t, verbPause); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Kill(t.Context(), &taskapi.KillRequest{ID: "other", Signal: sigkill}); err != nil {
				t.Fatal(err)
			}
			if scope == artifacts.Data {
				if err := c.call(t, verbResume); err != nil {
					t.Error(err)
				}
			} else {
				for _, v := range []verb{verbCommit, verbResume} {
					if err := c.call(t, v); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "container other was killed while it was paused") {
						t.Errorf("%s = %v, want a refusal that names the container", v, err)
					}
				}
			}
			want := map[artifacts.Scope]State{artifacts.Full: Paused, artifacts.Data: Running}[scope]
			if got := c.sb.machine.state(); got != want {
				t.Errorf("the sandbox is %s, want %s", got, want)
			}
		})
	}
}
