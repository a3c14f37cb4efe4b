// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package gofer

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
)

// behaviour is the variable that makes the test binary a gofer; its value says
// how that behaves.
const behaviour = "TEST_GOFER"

func TestMain(m *testing.M) {
	if b := os.Getenv(behaviour); b != "" {
		unix.Exit(fakeGofer(b)) // os.Exit under -race takes a second
	}
	goleak.VerifyTestMain(m)
}

// A teller sends events of a version.
type teller struct {
	*json.Encoder
	version int
}

func (t teller) Encode(e job.Event) {
	e.Version = t.version
	_ = t.Encoder.Encode(e) // the shim may have hung up
}

// fakeGofer answers the first request as b says.
func fakeGofer(b string) int {
	if len(os.Args) != 2 || os.Args[1] != "job" {
		return 2
	}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 4<<20)
	out := teller{json.NewEncoder(os.Stdout), job.Version}
	next := func() *job.Request {
		if !in.Scan() {
			return nil
		}
		var r job.Request
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			return nil
		}
		return &r
	}
	switch b {
	case "older", "newer":
		// It does not know Ask, and does at once what it takes the request for.
		out.version = map[string]int{"older": 0, "newer": job.Version + 1}[b]
		if next().Version != job.Version {
			return 3
		}
		out.Encode(job.Event{Kind: job.Progress})
		out.Encode(job.Event{Kind: job.Done, Manifest: &artifacts.Manifest{ID: "brought"}})
	case "conversation":
		if next().Verb != job.Commit {
			return 3
		}
		out.Encode(job.Event{Kind: job.Ready})
		if next().Verb != job.Capture {
			return 3
		}
		out.Encode(job.Event{Kind: job.Captured, Parts: []artifacts.Part{{Name: "durable/home", Size: 5}}})
		upload := next()
		for i := range 3 {
			out.Encode(job.Event{Kind: job.Progress, Phase: "upload", Bytes: int64(i), Total: 3})
		}
		out.Encode(job.Event{Kind: job.Done, Manifest: upload.Manifest, Sent: 3})
	case "asks":
		if r := next(); r.Verb != job.Fetch || !r.Ask {
			return 3
		}
		out.Encode(job.Event{Kind: job.Ready, Manifest: &artifacts.Manifest{ID: "shown"}})
		if r := next(); r == nil || r.Verb != job.Bring {
			return 3
		}
		out.Encode(job.Event{Kind: job.Done, Manifest: &artifacts.Manifest{ID: "brought"}})
	case "silent":
		next()
	case "last words":
		next()
		fmt.Fprintln(os.Stderr, "panic: the disk is made of cheese")
		return 2
	case "garbage":
		next()
		fmt.Println("what?")
	case "endless line":
		next()
		for {
			if _, err := os.Stdout.Write(make([]byte, 1<<20)); err != nil {
				return 1
			}
		}
	case "other kind":
		next()
		out.Encode(job.Event{Kind: job.Captured})
	case "stuck":
		next()
		out.Encode(job.Event{Kind: job.Progress})
		time.Sleep(time.Hour) // an empty select would be found to be a deadlock
	case "deaf":
		time.Sleep(time.Hour) // an empty select would be found to be a deadlock
	case "child":
		// The child keeps standard output open.
		next()
		cmd := exec.Command("/bin/sleep", "60")
		cmd.Stdout = os.Stdout
		if err := cmd.Start(); err != nil {
			return 1
		}
		out.Encode(job.Event{Kind: job.Progress, Bytes: int64(cmd.Process.Pid)})
		time.Sleep(time.Hour) // an empty select would be found to be a deadlock
	default: // fails with that code
		next()
		out.Encode(job.Event{Kind: job.Failed, Code: b, Error: "put object: no"})
	}
	return 0
}

// osStarter starts processes without a reaper.
type osStarter struct{}

func (osStarter) Start(cmd *exec.Cmd) (func() (int, error), error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() (int, error) { _ = cmd.Wait(); return cmd.ProcessState.ExitCode(), nil }, nil
}

func start(t *testing.T, ctx context.Context, b string) *Gofer {
	t.Helper()
	t.Setenv(behaviour, b)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	g, err := Start(ctx, self, osStarter{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.Close()
		if err := unix.Kill(g.cmd.Process.Pid, 0); !errors.Is(err, unix.ESRCH) {
			t.Errorf("the gofer is still there after Close: %v", err)
		}
	})
	return g
}

func send(t *testing.T, g *Gofer, v job.Verb) {
	t.Helper()
	if err := g.Send(&job.Request{Verb: v}); err != nil {
		t.Fatal(err)
	}
}

func TestConversation(t *testing.T) {
	g := start(t, t.Context(), "conversation")
	send(t, g, job.Commit)
	if _, err := g.Await(job.Ready, nil); err != nil {
		t.Fatal(err)
	}
	send(t, g, job.Capture)
	captured, err := g.Await(job.Captured, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]artifacts.Part{{Name: "durable/home", Size: 5}}, captured.Parts); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
	m := &artifacts.Manifest{ID: "snap"}
	if err := g.Send(&job.Request{Verb: job.Upload, Manifest: m}); err != nil {
		t.Fatal(err)
	}
	var progress []int64
	done, err := g.Await(job.Done, func(e *job.Event) { progress = append(progress, e.Bytes) })
	if err != nil {
		t.Fatal(err)
	}
	if done.Sent != 3 || done.Manifest == nil || done.Manifest.ID != "snap" {
		t.Errorf("done = %+v", done)
	}
	if diff := cmp.Diff([]int64{0, 1, 2}, progress); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
}

func TestFailedJobsKeepTheirClass(t *testing.T) {
	classes := map[string]error{
		"not_found": errdefs.ErrNotFound, "already_exists": errdefs.ErrAlreadyExists,
		"invalid_argument": errdefs.ErrInvalidArgument, "failed_precondition": errdefs.ErrFailedPrecondition,
		"unavailable": errdefs.ErrUnavailable, "data_loss": errdefs.ErrDataLoss,
		"permission_denied": errdefs.ErrPermissionDenied, "internal": errdefs.ErrInternal, "what": errdefs.ErrInternal,
	}
	for code, class := range classes {
		g := start(t, t.Context(), code)
		send(t, g, job.Fetch)
		_, err := g.Await(job.Done, nil)
		var failed *Error
		if !errors.Is(err, class) || !errors.As(err, &failed) || err.Error() != "put object: no" {
			t.Errorf("code %s: %v, want its message as %v", code, err, class)
		}
	}
}

func TestGofersThatBreakOff(t *testing.T) {
	tests := []struct {
		name, want string
		class      error
	}{
		{"silent", "gofer ended", errdefs.ErrUnavailable},
		{"last words", "the disk is made of cheese", errdefs.ErrUnavailable},
		{"garbage", "decode gofer event", errdefs.ErrInternal},
		{"endless line", "token too long", errdefs.ErrUnavailable},
		{"other kind", `gofer sent "captured" where "done" was due`, errdefs.ErrInternal},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := start(t, t.Context(), tt.name)
			send(t, g, job.Fetch)
			_, err := g.Await(job.Done, nil)
			if !errors.Is(err, tt.class) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Await = %v, want %v and %q", err, tt.class, tt.want)
			}
		})
	}
}

func TestSendToAGoferThatHasEnded(t *testing.T) {
	g := start(t, t.Context(), "last words")
	send(t, g, job.Fetch)
	if _, err := g.Await(job.Done, nil); err == nil {
		t.Fatal("Await succeeded")
	}
	if _, err := g.wait(); err != nil { // its ends of the pipes close one by one
		t.Fatal(err)
	}
	if err := g.Send(&job.Request{Verb: job.Capture}); !errors.Is(err, errdefs.ErrUnavailable) || !strings.Contains(err.Error(), "cheese") {
		t.Errorf("Send = %v, want the reason", err)
	}
}

// However a gofer is stuck, it ends with its context, and so does who waits.
func TestContextEndsAGofer(t *testing.T) {
	why := errors.New("sandbox was killed")
	for _, b := range []string{"stuck", "child"} {
		t.Run(b, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			g := start(t, ctx, b)
			send(t, g, job.Fetch)
			var child int
			_, err := g.Await(job.Done, func(e *job.Event) {
				child = int(e.Bytes)
				cancel(why)
			})
			if child != 0 {
				defer unix.Kill(child, unix.SIGKILL)
			}
			if !errors.Is(err, why) {
				t.Errorf("Await = %v, want the cause", err)
			}
		})
	}
	t.Run("deaf", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		g := start(t, ctx, "deaf")
		time.AfterFunc(100*time.Millisecond, func() { cancel(why) })
		// More than a pipe holds.
		m := &artifacts.Manifest{ID: artifacts.ID(strings.Repeat("x", 1<<20))}
		if err := g.Send(&job.Request{Verb: job.Upload, Manifest: m}); !errors.Is(err, why) {
			t.Errorf("Send = %v, want the cause", err)
		}
	})
}

func TestKillTellsWhoWaits(t *testing.T) {
	g := start(t, t.Context(), "stuck")
	send(t, g, job.Fetch)
	if _, err := g.Await(job.Done, func(*job.Event) { g.Kill() }); !errors.Is(err, errdefs.ErrUnavailable) {
		t.Errorf("Await = %v, want unavailable", err)
	}
}

func TestRun(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(behaviour, "not_found")
	if _, err := Run(t.Context(), self, osStarter{}, &job.Request{Verb: job.Fetch}, nil); !errdefs.IsNotFound(err) {
		t.Errorf("Run = %v, want not found", err)
	}
	if _, err := Run(t.Context(), "/nonexistent/gofer", osStarter{}, &job.Request{}, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Run of a missing binary = %v", err)
	}
}

func TestAFetchShowsTheManifestBeforeItBringsTheRest(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(behaviour, "asks")
	for _, wanted := range []bool{true, false} {
		f, err := Ask(t.Context(), self, osStarter{}, &job.Request{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if id := f.Manifest().ID; id != "shown" {
			t.Errorf("snapshot %q is shown", id)
		}
		if wanted {
			if e, err := f.Bring(); err != nil || e.Manifest.ID != "brought" {
				t.Errorf("Bring = %+v, %v", e, err)
			}
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Setenv(behaviour, "not_found")
	if _, err := Ask(t.Context(), self, osStarter{}, &job.Request{}, nil); !errdefs.IsNotFound(err) {
		t.Errorf("Ask = %v, want not found", err)
	}
}

// A gofer of another release is not taken at its word, whatever it says.
func TestGofersOfAnotherVersionAreRefused(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for b, version := range map[string]int{"older": 0, "newer": job.Version + 1} {
		t.Setenv(behaviour, b)
		_, fetchErr := Ask(t.Context(), self, osStarter{}, &job.Request{}, nil)
		_, runErr := Run(t.Context(), self, osStarter{}, &job.Request{Verb: job.Verify}, nil)
		for _, err := range []error{fetchErr, runErr} {
			if want := fmt.Sprintf("gofer %s answers in version %d of the wire, this shim knows %d; install", self, version, job.Version); !errdefs.IsFailedPrecondition(err) ||
				!strings.Contains(err.Error(), want) {
				t.Errorf("%s gofer: %v, want %q", b, err, want)
			}
		}
	}
}

func TestNothingStaysOpen(t *testing.T) {
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(behaviour, "silent")
	run := func() {
		if _, err := Run(t.Context(), self, osStarter{}, &job.Request{}, nil); err == nil {
			t.Fatal("Run succeeded")
		}
		if _, err := Run(t.Context(), "/nonexistent/gofer", osStarter{}, &job.Request{}, nil); err == nil {
			t.Fatal("Run succeeded")
		}
	}
	run()
	before := count()
	run()
	if after := count(); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}
