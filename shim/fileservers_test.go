// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
)

// servedBy has runsc's state say that a process, which it returns, serves a
// container its files.
func servedBy(t *testing.T, b *bench, container string) *os.Process {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // of a process that was waited for
	})
	state := filepath.Join(b.sb.runsc.Root, container+"_sandbox:box.state")
	if err := os.WriteFile(state, fmt.Appendf(nil, `{"id":%q,"goferPid":%d}`, container, cmd.Process.Pid), 0o600); err != nil {
		t.Fatal(err)
	}
	return cmd.Process
}

// What is saved of a container that gVisor is about to kill would be dead when it
// comes back.
func TestASaveFailsWhoseFilesNobodyServes(t *testing.T) {
	end := func(t *testing.T, p *os.Process) {
		t.Helper()
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name           string
		before, during bool // the process of the other container ends
	}{
		{name: "all live"},
		{name: "one has ended", before: true},
		{name: "one ends meanwhile", during: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			f := b.withRuntime(t)
			b.runs(t, f)
			servedBy(t, b, "box")
			other := servedBy(t, b, "other")
			if c.before {
				end(t, other)
			}
			release := f.stop("checkpoint")
			defer release()
			paused := make(chan error, 1)
			go func() {
				_, err := b.Service.Pause(t.Context(), &taskapi.PauseRequest{ID: "box"})
				paused <- err
			}()
			f.await("checkpoint")
			if c.during {
				end(t, other)
			}
			release()
			err := <-paused
			if !c.before && !c.during {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), "the process that serves container other its files has ended") {
				t.Errorf("Pause = %v, want that nobody serves the files of the other container", err)
			}
			if s := b.sb.machine.state(); s != Running {
				t.Errorf("the sandbox is %s", s)
			}
			if snaps, err := b.sb.local.List(); err != nil || len(snaps) > 0 {
				t.Errorf("snapshots %v, %v, want none", snaps, err)
			}
		})
	}
}
