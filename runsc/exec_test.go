// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package runsc

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// pidFileLoop finds, in a fake exec, the value of --internal-pid-file.
const pidFileLoop = `while [ $# -gt 0 ]; do
case "$1" in --internal-pid-file) pidfile=$2;; --process) process=$2;; esac
shift; done
`

func TestExecReturnsWhenTheProcessRuns(t *testing.T) {
	// The process ends when the test says so.
	r, out := fakeRunsc(t, pidFileLoop+`mkfifo "$OUT/gate"; cat "$process" >"$OUT/process"; echo 12 >"$pidfile"; read x <"$OUT/gate"; exit 5`)
	spec := &specs.Process{Args: []string{"/bin/true"}, Cwd: "/"}
	p, err := r.Exec(t.Context(), "c", t.TempDir(), spec, IO{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Pid != 12 || p.HostPid == 0 {
		t.Errorf("Exec = pid %d, host pid %d, want 12 and a real one", p.Pid, p.HostPid)
	}
	var got specs.Process
	if err := json.Unmarshal([]byte(readFile(t, out, "process")), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(spec, &got); diff != "" {
		t.Errorf("process (-want +got):\n%s", diff)
	}
	given, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Wait(given); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait for a process that runs, given up = %v", err)
	}
	writeFile(t, filepath.Join(out, "gate"), "\n", 0)
	for range 2 { // asking twice gives the same answer
		if status, err := p.Wait(t.Context()); err != nil || status != 5 {
			t.Errorf("Wait = %d, %v, want 5", status, err)
		}
	}
}

func TestExecSeesAProcessThatIsOverAtOnce(t *testing.T) {
	r, _ := fakeRunsc(t, pidFileLoop+`echo 12 >"$pidfile"; exit 3`)
	p, err := r.Exec(t.Context(), "c", t.TempDir(), &specs.Process{}, IO{})
	if err != nil || p.Pid != 12 {
		t.Fatalf("Exec = %+v, %v", p, err)
	}
	if status, err := p.Wait(t.Context()); err != nil || status != 3 {
		t.Errorf("Wait = %d, %v, want 3", status, err)
	}
}

func TestExecThatNeverStartsQuotesTheLog(t *testing.T) {
	r, _ := fakeRunsc(t, `echo '{"msg":"no such file: /bin/nope","level":"error"}' >>"$LOG"; exit 128`)
	_, err := r.Exec(t.Context(), "c", t.TempDir(), &specs.Process{}, IO{})
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("Exec = %v, want an Error", err)
	}
	want := &Error{Verb: "exec", Status: 128, Messages: []string{"no such file: /bin/nope"}}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
}

func TestCancelledExecKillsWhatDidNotStart(t *testing.T) {
	r, out := fakeRunsc(t, `echo up >"$OUT/up"; exec sleep 60`)
	up := filepath.Join(out, "up")
	if err := syscall.Mkfifo(up, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		defer cancel()
		if _, err := os.ReadFile(up); err != nil { // returns when it runs
			t.Error(err)
		}
	}()
	// goleak finds the waiting goroutine if the process is not killed.
	if _, err := r.Exec(ctx, "c", t.TempDir(), &specs.Process{}, IO{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Exec = %v, want a cancellation", err)
	}
}

// A start that is given up tells of the process, so that it can be ended.
func TestCancelledExecTellsWhatHasStarted(t *testing.T) {
	r, out := fakeRunsc(t, pidFileLoop+`mkfifo "$OUT/gate"; echo up >"$OUT/up"; read x <"$OUT/gate"; echo 12 >"$pidfile"; exit 0`)
	up := filepath.Join(out, "up")
	if err := syscall.Mkfifo(up, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		if _, err := os.ReadFile(up); err != nil { // returns when it runs
			t.Error(err)
		}
		cancel()
		// Somebody opens the gate: the pid is known after the request was given up.
		if err := os.WriteFile(filepath.Join(out, "gate"), []byte("\n"), 0); err != nil {
			t.Error(err)
		}
	}()
	p, err := r.Exec(ctx, "c", t.TempDir(), &specs.Process{}, IO{})
	if err != nil || p.Pid != 12 {
		t.Fatalf("Exec = %+v, %v, want process 12", p, err)
	}
	if status, err := p.Wait(t.Context()); err != nil || status != 0 {
		t.Errorf("Wait = %d, %v", status, err)
	}
}

// The process goes on when the request that started it is over.
func TestExecOutlivesItsContext(t *testing.T) {
	r, out := fakeRunsc(t, pidFileLoop+`mkfifo "$OUT/gate"; echo 12 >"$pidfile"; read x <"$OUT/gate"; exit 0`)
	ctx, cancel := context.WithCancel(t.Context())
	p, err := r.Exec(ctx, "c", t.TempDir(), &specs.Process{}, IO{})
	cancel()
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(out, "gate"), "\n", 0)
	if status, err := p.Wait(t.Context()); err != nil || status != 0 {
		t.Errorf("Wait = %d, %v, want 0: the cancelled request ended the process", status, err)
	}
}
