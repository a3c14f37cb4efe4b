// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package runsc

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestVerbsBecomeArguments(t *testing.T) {
	const script = `printf '%s\n' "$@" >"$OUT/args"
while [ $# -gt 0 ]; do [ "$1" = --pid-file ] && echo 41 >"$2"; shift; done
echo '{"exitStatus":3,"status":"running"}'`
	tests := []struct {
		name string
		call func(context.Context, *Runsc) error
		want string
	}{
		{"start", func(ctx context.Context, r *Runsc) error { return r.Start(ctx, "c", IO{}) }, "start c"},
		{"restore", func(ctx context.Context, r *Runsc) error {
			return r.Restore(ctx, "c", IO{}, RestoreOpts{ImagePath: "/i"})
		}, "restore --detach --image-path /i c"},
		{"restore in the background, direct", func(ctx context.Context, r *Runsc) error {
			return r.Restore(ctx, "c", IO{}, RestoreOpts{ImagePath: "/i", Background: true, Direct: true})
		}, "restore --detach --image-path /i --background --direct c"},
		{"checkpoint", func(ctx context.Context, r *Runsc) error {
			return r.Checkpoint(ctx, "c", CheckpointOpts{ImagePath: "/i"})
		}, "checkpoint --leave-running --compression=none --image-path /i c"},
		{"checkpoint, direct", func(ctx context.Context, r *Runsc) error {
			return r.Checkpoint(ctx, "c", CheckpointOpts{ImagePath: "/i", Direct: true})
		}, "checkpoint --leave-running --compression=none --image-path /i --direct c"},
		{"pause", func(ctx context.Context, r *Runsc) error { return r.Pause(ctx, "c") }, "pause c"},
		{"resume", func(ctx context.Context, r *Runsc) error { return r.Resume(ctx, "c") }, "resume c"},
		{"kill", func(ctx context.Context, r *Runsc) error { return r.Kill(ctx, "c", 15, false) }, "kill c 15"},
		{"kill all", func(ctx context.Context, r *Runsc) error { return r.Kill(ctx, "c", 9, true) }, "kill --all c 9"},
		{"delete", func(ctx context.Context, r *Runsc) error { return r.Delete(ctx, "c") }, "delete --force c"},
		{"wait", func(ctx context.Context, r *Runsc) error { _, err := r.Wait(ctx, "c"); return err }, "wait c"},
		{"state", func(ctx context.Context, r *Runsc) error { _, err := r.State(ctx, "c"); return err }, "state c"},
		{"update", func(ctx context.Context, r *Runsc) error {
			return r.Update(ctx, "c", &specs.LinuxResources{})
		}, "update --resources=- c"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, out := fakeRunsc(t, script)
			r.Flags = []string{"--platform=kvm"}
			if err := tt.call(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			got := strings.Split(readFile(t, out, "args"), "\n")
			want := append([]string{"--root=" + r.Root, "--log=" + r.Log, "--log-format=json", "--platform=kvm"}, strings.Fields(tt.want)...)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCreateReadsThePidThatRunscWrote(t *testing.T) {
	r, out := fakeRunsc(t, `printf '%s\n' "$@" >"$OUT/args"
while [ $# -gt 0 ]; do [ "$1" = --pid-file ] && test ! -e "$2" && echo 41 >"$2"; shift; done`)
	bundle := t.TempDir()
	writeFile(t, filepath.Join(bundle, "init.pid"), "7", 0o600) // of an earlier life
	pid, err := r.Create(t.Context(), "c", bundle, CreateOpts{ConsoleSocket: "/s"})
	if err != nil || pid != 41 {
		t.Fatalf("Create = %d, %v, want 41", pid, err)
	}
	if args := readFile(t, out, "args"); !strings.Contains(args, "--console-socket\n/s\nc") {
		t.Errorf("arguments %q do not name the console socket", args)
	}
}

func TestCreateRestoredIsOneCommand(t *testing.T) {
	r, out := fakeRunsc(t, `printf '%s\n' "$@" >"$OUT/args"
while [ $# -gt 0 ]; do [ "$1" = --pid-file ] && echo 42 >"$2"; shift; done`)
	bundle := t.TempDir()
	pid, err := r.CreateRestored(t.Context(), "c", bundle, CreateOpts{ConsoleSocket: "/s"}, RestoreOpts{ImagePath: "/i", Background: true})
	if err != nil || pid != 42 {
		t.Fatalf("CreateRestored = %d, %v, want 42", pid, err)
	}
	want := "restore --detach --image-path /i --background --bundle " + bundle + " --pid-file " + filepath.Join(bundle, "init.pid") + " --console-socket /s c"
	if args := strings.Join(strings.Fields(readFile(t, out, "args")), " "); !strings.HasSuffix(args, want) {
		t.Errorf("arguments %q, want the end %q", args, want)
	}
}

func TestCreateWithoutPidFileFails(t *testing.T) {
	r, _ := fakeRunsc(t, "exit 0")
	bundle := t.TempDir()
	writeFile(t, filepath.Join(bundle, "init.pid"), "7", 0o600)
	if pid, err := r.Create(t.Context(), "c", bundle, CreateOpts{}); err == nil {
		t.Errorf("Create = %d; it believed the pid of an earlier life", pid)
	}
}

func TestMissingStreamsAreDevNull(t *testing.T) {
	r, out := fakeRunsc(t, `fds=$(readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2); echo "$fds" >"$OUT/fds"`)
	if err := r.Start(t.Context(), "c", IO{}); err != nil {
		t.Fatal(err)
	}
	if got, want := readFile(t, out, "fds"), "/dev/null\n/dev/null\n/dev/null"; got != want {
		t.Errorf("streams are %q, want %q", got, want)
	}
}

func TestStreamsAreHandedOver(t *testing.T) {
	r, out := fakeRunsc(t, `cat >"$OUT/in"; echo to stdout; echo to stderr >&2`)
	dir := t.TempDir()
	open := func(name, text string) *os.File {
		writeFile(t, filepath.Join(dir, name), text, 0o600)
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	if err := r.Start(t.Context(), "c", IO{Stdin: open("0", "hello"), Stdout: open("1", ""), Stderr: open("2", "")}); err != nil {
		t.Fatal(err)
	}
	got := []string{readFile(t, out, "in"), readFile(t, dir, "1"), readFile(t, dir, "2")}
	if diff := cmp.Diff([]string{"hello", "to stdout", "to stderr"}, got); diff != "" {
		t.Errorf("streams (-want +got):\n%s", diff)
	}
}

func TestUpdateSendsResourcesOnStdin(t *testing.T) {
	r, out := fakeRunsc(t, `cat >"$OUT/in"`)
	limit := int64(1 << 20)
	if err := r.Update(t.Context(), "c", &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}); err != nil {
		t.Fatal(err)
	}
	if got, want := readFile(t, out, "in"), `{"memory":{"limit":1048576}}`; got != want {
		t.Errorf("runsc read %s, want %s", got, want)
	}
}

func TestOutputIsDecoded(t *testing.T) {
	r, _ := fakeRunsc(t, `echo '{"exitStatus":3,"status":"running","pid":9}'`)
	if status, err := r.Wait(t.Context(), "c"); err != nil || status != 3 {
		t.Errorf("Wait = %d, %v, want 3", status, err)
	}
	if s, err := r.State(t.Context(), "c"); err != nil || s.Status != specs.StateRunning || s.Pid != 9 {
		t.Errorf("State = %+v, %v", s, err)
	}
	r, _ = fakeRunsc(t, "echo what")
	if _, err := r.Wait(t.Context(), "c"); err == nil {
		t.Error("Wait accepted an answer that is not JSON")
	}
	if _, err := r.State(t.Context(), "c"); err == nil {
		t.Error("State accepted an answer that is not JSON")
	}
}

func TestCallEndsWithItsContext(t *testing.T) {
	r, out := fakeRunsc(t, `echo $$ >"$OUT/pid"; exec sleep 60`)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := r.Pause(ctx, "c")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Pause = %v, want a deadline", err)
	}
	var e *Error
	if !errors.As(err, &e) || e.Verb != "pause" {
		t.Errorf("Pause = %#v, want an Error of the verb", err)
	}
	if b, err := os.ReadFile(filepath.Join(out, "pid")); err == nil {
		pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("runsc (pid %d) is still there: %v", pid, err)
		}
	}
}

// A sandbox inherits the streams of the runsc that started it and lives on.
func TestCallDoesNotWaitForChildrenThatKeepTheOutput(t *testing.T) {
	r, out := fakeRunsc(t, `sleep 60 & echo $! >"$OUT/child"; echo '{"exitStatus":3}'`)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	status, err := r.Wait(ctx, "c")
	child, convErr := strconv.Atoi(readFile(t, out, "child"))
	if convErr != nil {
		t.Fatal(convErr)
	}
	defer syscall.Kill(child, syscall.SIGKILL)
	if err != nil || status != 3 {
		t.Fatalf("Wait = %d, %v, want 3", status, err)
	}
	if err := syscall.Kill(child, 0); err != nil {
		t.Errorf("the child was to outlive the call: %v", err)
	}
}

func TestSignalledRunscIsAnError(t *testing.T) {
	r, _ := fakeRunsc(t, `kill -KILL $$`)
	var e *Error
	if err := r.Pause(t.Context(), "c"); !errors.As(err, &e) || e.Status != 128+9 {
		t.Errorf("Pause = %v, want status 137", err)
	}
}

func TestMissingBinaryNamesTheVerb(t *testing.T) {
	r := &Runsc{Binary: filepath.Join(t.TempDir(), "runsc")}
	if err := r.Pause(t.Context(), "c"); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "start runsc pause") {
		t.Errorf("Pause = %v", err)
	}
}

func TestWithDoesNotChangeTheOriginal(t *testing.T) {
	env := make([]string, 1, 4)
	env[0] = "A=1"
	r := &Runsc{Env: env}
	b, c := r.With("B=2"), r.With("C=3")
	got := [][]string{r.Env, b.Env, c.Env}
	want := [][]string{{"A=1"}, {"A=1", "B=2"}, {"A=1", "C=3"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("environments (-want +got):\n%s", diff)
	}
}

// countingStarter is what a sub-reaper would supply.
type countingStarter struct{ started int }

func (s *countingStarter) Start(cmd *exec.Cmd) (func() (int, error), error) {
	s.started++
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() (int, error) { _ = cmd.Wait(); return 77, nil }, nil
}

func TestStarterStartsTheProcess(t *testing.T) {
	r, _ := fakeRunsc(t, "exit 1")
	s := &countingStarter{}
	r.Starter = s
	var e *Error
	if err := r.Pause(t.Context(), "c"); !errors.As(err, &e) || e.Status != 77 || s.started != 1 {
		t.Errorf("Pause = %v after %d starts, want the starter's status", err, s.started)
	}
}
