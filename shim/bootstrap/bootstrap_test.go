// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/shim/reap"
	"github.com/ateom/ateom/shim/roster"
	"github.com/ateom/ateom/shim/sandboxid"
)

// startedEnv names a directory in which every shim that starts leaves a file.
const startedEnv = "TEST_STARTED"

// TestMain makes the test binary a shim when Start runs it as one, and else
// the reaper of its descendants, as the delete action is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-namespace" {
		if err := fakeShim(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			unix.Exit(1)
		}
		unix.Exit(0)
	}
	if len(os.Args) > 2 && os.Args[1] == "-place" {
		if err := liveIn(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			unix.Exit(1)
		}
		unix.Exit(0)
	}
	if err := reap.Children(context.Background()); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// fakeShim serves descriptor 3 until somebody says "stop".
func fakeShim() error {
	name := fmt.Sprintf("%d", os.Getpid())
	text := strings.Join(os.Args[1:], " ") + " GOMAXPROCS=" + os.Getenv("GOMAXPROCS")
	if err := os.WriteFile(filepath.Join(os.Getenv(startedEnv), name), []byte(text), 0o600); err != nil {
		return err
	}
	l, err := net.FileListener(os.NewFile(3, "socket"))
	if err != nil {
		return err
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		b, _ := io.ReadAll(conn)
		if string(b) == "stop" {
			_, err := conn.Write([]byte("stopped"))
			return err
		}
		conn.Close()
	}
}

// liveIn has a shim's place until the standard input ends.
func liveIn(dir string) error {
	place, err := roster.Take(dir)
	if err != nil {
		return err
	}
	if err := place.Put(roster.Entry{PID: os.Getpid()}); err != nil {
		return err
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// stop ends the shim at address.
func stop(t *testing.T, address string) {
	t.Helper()
	conn, err := net.Dial("unix", strings.TrimPrefix(address, "unix://"))
	if err != nil {
		t.Errorf("nobody serves %s: %v", address, err)
		return
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("stop")); err != nil {
		t.Error(err)
	}
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		t.Error(err)
	}
	if b, err := io.ReadAll(conn); err != nil || string(b) != "stopped" {
		t.Errorf("the shim said %q, %v", b, err)
	}
}

// newBundle enters the bundle of a container with these annotations, as
// containerd does before it runs the shim binary. It returns a context, and
// the directory in which shims leave word that they started.
func newBundle(t *testing.T, annotations string) (ctx context.Context, opts shim.StartOpts, started string) {
	t.Helper()
	bundle, started := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), []byte(`{"annotations":{`+annotations+`}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(bundle)
	t.Setenv(startedEnv, started)
	// The address makes the socket's name one of this test alone.
	return namespaces.WithNamespace(t.Context(), "test"), shim.StartOpts{Address: filepath.Join(bundle, "containerd.sock")}, started
}

func TestStartStartsOneShimPerGroup(t *testing.T) {
	ctx, opts, started := newBundle(t, `"`+sandboxid.GroupAnnotation+`":"g"`)
	opts.Debug = true
	m := actions{name: "io.containerd.ateom.v1"}
	first, err := m.Start(ctx, "one", opts)
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(strings.TrimPrefix(first.Address, "unix://"))
	second, err := m.Start(ctx, "two", opts)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("answers (-first +second):\n%s", diff)
	}
	if first.Version != 2 || first.Protocol != "ttrpc" {
		t.Errorf("answer %+v, want the task service of version 2 over ttrpc", first)
	}
	stop(t, first.Address)
	files, err := os.ReadDir(started)
	if err != nil || len(files) != 1 {
		t.Fatalf("shims that started: %v, %v, want one", files, err)
	}
	b, err := os.ReadFile(filepath.Join(started, files[0].Name()))
	if want := "-namespace test -id one -address " + opts.Address + " -debug GOMAXPROCS=2"; err != nil || string(b) != want {
		t.Errorf("the shim was started with %q, %v, want %q", b, err, want)
	}
}

func TestContainersWithoutAGroupHaveShimsOfTheirOwn(t *testing.T) {
	ctx, opts, _ := newBundle(t, "")
	m := actions{name: "io.containerd.ateom.v1"}
	addresses := map[string]bool{}
	for _, id := range []string{"one", "two"} {
		params, err := m.Start(ctx, id, opts)
		if err != nil {
			t.Fatal(err)
		}
		defer os.Remove(strings.TrimPrefix(params.Address, "unix://"))
		defer stop(t, params.Address)
		addresses[params.Address] = true
	}
	if len(addresses) != 2 {
		t.Errorf("addresses %v, want two", addresses)
	}
}

// The containers of a pod may be started at once, beside what a crash left.
func TestRacingStartsAgreeOnOneShim(t *testing.T) {
	const rounds, racers = 20, 8
	for range rounds {
		ctx, opts, started := newBundle(t, `"`+sandboxid.CRISandboxID+`":"pod"`)
		address, err := shim.SocketAddress(ctx, opts.Address, "pod", false)
		if err != nil {
			t.Fatal(err)
		}
		stale, err := shim.NewSocket(address)
		if err != nil {
			t.Fatal(err)
		}
		stale.SetUnlinkOnClose(false)
		stale.Close()
		defer os.Remove(strings.TrimPrefix(address, "unix://"))

		m := actions{name: "io.containerd.ateom.v1"}
		var all sync.WaitGroup
		var got [racers]shim.BootstrapParams
		for i := range racers {
			all.Go(func() {
				var err error
				if got[i], err = m.Start(ctx, fmt.Sprint("c", i), opts); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for _, params := range got {
			if params.Address != address {
				t.Errorf("address %q, want %q", params.Address, address)
			}
		}
		stop(t, address)
		if files, err := os.ReadDir(started); err != nil || len(files) != 1 {
			t.Fatalf("shims that started: %v, %v, want one", files, err)
		}
	}
}

func TestStartRefusesABundleThatItCannotRead(t *testing.T) {
	ctx, opts, _ := newBundle(t, "")
	for name, text := range map[string]string{"not JSON": "{", "other annotations": `{"annotations":[1]}`} {
		if err := os.WriteFile("config.json", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := (actions{name: "x"}).Start(ctx, "one", opts); err == nil || !strings.Contains(err.Error(), "read bundle") {
			t.Errorf("%s: Start = %v", name, err)
		}
	}
	if err := os.Remove("config.json"); err != nil {
		t.Fatal(err)
	}
	if _, err := (actions{name: "x"}).Start(ctx, "one", opts); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Start without a bundle = %v", err)
	}
}
