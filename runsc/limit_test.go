// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package runsc

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A call that is given up says why, and what runsc and the sandbox have said meanwhile.
func TestWhatIsGivenUpQuotesTheLastLines(t *testing.T) {
	killed := errors.New("sandbox was killed")
	const said = `echo '{"msg":"gofer has ended","level":"error"}' >>"$LOG"; echo 'panic: out of ice' >>"$PANIC"; echo up >"$OUT/up"; exec sleep 60`
	const quoted = `; the sandbox's last words: "panic: out of ice"`
	for name, tt := range map[string]struct {
		call func(ctx context.Context, r *Runsc) error
		want string
	}{
		"command": {func(ctx context.Context, r *Runsc) error { return r.Pause(ctx, "box") },
			"runsc pause: sandbox was killed: gofer has ended" + quoted},
		"exec": {func(ctx context.Context, r *Runsc) error {
			_, err := r.Exec(ctx, "box", t.TempDir(), &specs.Process{}, IO{})
			return err
		}, "runsc exec: sandbox was killed: gofer has ended" + quoted},
		"control call": {func(ctx context.Context, r *Runsc) error {
			m := newContainerManager()
			r.Root = serve(t, m).runsc.Root
			defer close(m.release)
			ended := make(chan error, 1)
			go func() {
				_, err := r.Control("box").Wait(ctx, "box")
				ended <- err
			}()
			<-m.waiting
			_ = r.Pause(ctx, "box") // which says it
			return <-ended
		}, `call containerManager.Wait of sandbox box: sandbox was killed; runsc's last lines: "gofer has ended"` + quoted},
	} {
		t.Run(name, func(t *testing.T) {
			r, out := fakeRunsc(t, said)
			r.PanicLog = filepath.Join(out, "panic")
			r.Env = append(r.Env, "PANIC="+r.PanicLog)
			up := filepath.Join(out, "up")
			if err := syscall.Mkfifo(up, 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			go func() {
				if _, err := os.ReadFile(up); err != nil { // returns when it has been said
					t.Error(err)
				}
				cancel(killed)
			}()
			err := tt.call(ctx, r)
			if err == nil || err.Error() != tt.want || !errors.Is(err, killed) {
				t.Errorf("it ended with\n%v, want\n%s", err, tt.want)
			}
		})
	}
}

// What runs out of time says how much it had.
func TestALimitSaysHowLongItWas(t *testing.T) {
	ctx, cancel := Within(t.Context(), time.Millisecond)
	defer cancel()
	<-ctx.Done()
	if err := context.Cause(ctx); err.Error() != "no answer within 1ms" || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cause %v", err)
	}
	// The caller's own end keeps its reason.
	why := errors.New("nobody asks any more")
	given, end := context.WithCancelCause(t.Context())
	end(why)
	ctx, cancel = Within(given, time.Hour)
	defer cancel()
	if err := context.Cause(ctx); !errors.Is(err, why) {
		t.Errorf("cause %v, want the caller's", err)
	}
}

// A socket whose server accepts nobody is not one that has gone.
func TestASocketThatNobodyServesIsSilent(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "ctl") // short enough for a socket's address
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	r := &Runsc{Root: dir}
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	address := &syscall.SockaddrUnix{Name: r.ControlSocket("box")}
	if err := errors.Join(syscall.Bind(fd, address), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	first, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(first)
	if err := syscall.Connect(first, address); err != nil { // and the queue is full
		t.Fatal(err)
	}
	err = r.Control("box").Freeze(t.Context())
	var limit *LimitError
	if !errors.As(err, &limit) || errors.Is(err, ErrSandboxGone) {
		t.Errorf("Freeze = %v, want a limit", err)
	}
}
