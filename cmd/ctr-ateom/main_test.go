// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/cmd/ctr-ateom/app"
	"github.com/ateom/ateom/cmd/ctr-ateom/fake"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ctr-ateom": main})
}

// TestScripts runs the program against servers on sockets, and against stores
// in directories that hold real snapshots.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Setup: setup,
		Cmds:  map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "flip": flip, "big": big},
	})
}

// setup gives a script its own containerd, shim and stores:
//
//	$CALLS    what the servers were asked to change, one call a line
//	$SLEEPY   a shim of sandboxes that are paused in the snapshot $FULL
//	$BUCKET   the URL of a store with the snapshots $FULL and $DATA
//	$ATEOM_CONFIG  a configuration with that store under the name "b1", by default
func setup(env *testscript.Env) error {
	// Sockets need short paths.
	dir, err := os.MkdirTemp("", "ctr")
	if err != nil {
		return err
	}
	env.Defer(func() { os.RemoveAll(dir) })
	calls, err := os.Create(filepath.Join(env.WorkDir, "calls"))
	if err != nil {
		return err
	}
	env.Defer(func() { calls.Close() })
	log := fake.NewLog(calls)
	containerd, shim := filepath.Join(dir, "containerd.sock"), filepath.Join(dir, "shim.sock")
	stopContainerd, err := fake.ServeContainerd(containerd, log)
	if err != nil {
		return err
	}
	env.Defer(stopContainerd)
	stopShim, err := fake.ServeShim(shim, "", log)
	if err != nil {
		return err
	}
	env.Defer(func() { stopShim() })
	sleepy := filepath.Join(dir, "sleepy.sock")
	stopSleepy, err := fake.ServeShim(sleepy, fake.Made.Full, log)
	if err != nil {
		return err
	}
	env.Defer(func() { stopSleepy() })

	store, state := filepath.Join(env.WorkDir, "bucket"), filepath.Join(env.WorkDir, "state")
	config := filepath.Join(env.WorkDir, "config.toml")
	text := fmt.Sprintf("state-dir = %q\nrun-dir = %q\ndefault-store = \"b1\"\n[stores.b1]\nurl = %q\n", state, dir, "file://"+store)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	made, err := fake.FillStores(context.Background(), store, state, filepath.Join(env.WorkDir, "scratch"))
	if err != nil {
		return err
	}
	env.Setenv("CONTAINERD_ADDRESS", containerd)
	env.Setenv("SLEEPY", sleepy)
	env.Setenv("ATEOM_SHIM_ADDRESS", shim)
	env.Setenv("ATEOM_CONFIG", config)
	env.Setenv("CONFIG", config)
	env.Setenv("CONFIG_PATTERN", regexp.QuoteMeta(config))
	env.Setenv("BUCKET", "file://"+store)
	env.Setenv("CALLS", calls.Name())
	env.Setenv("SNAPSHOT", fake.SnapshotID)
	env.Setenv("IMAGE_DIGEST", fake.ImageDigest)
	env.Setenv("FULL", string(made.Full))
	env.Setenv("DATA", string(made.Data))
	env.Setenv("LOCAL", string(made.Local))
	return nil
}

// exits runs the program and compares its exit code: exits CODE ARG...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: exits CODE ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec("ctr-ateom", args[1:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("run ctr-ateom: %v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// big puts a snapshot with a large volume into the bucket, and its id into $BIG: big.
func big(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: big")
	}
	store, err := bucket.Open(context.Background(), ts.Getenv("BUCKET"))
	ts.Check(err)
	defer store.Close()
	ts.Check(fake.FillBig(context.Background(), store, ts.MkAbs("big-scratch")))
	ts.Setenv("BIG", string(fake.BigID))
}

// flip flips one bit in the middle of a file, or of the largest below a
// directory: flip PATH.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: flip PATH")
	}
	path, size := "", int64(-1)
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > size {
			path, size = name, info.Size()
		}
		return err
	}))
	data, err := os.ReadFile(path)
	ts.Check(err)
	data[len(data)/2] ^= 1
	ts.Check(os.WriteFile(path, data, 0o600))
}

// TestHelpNamesEveryExitCode holds the help text to what package exit says.
func TestHelpNamesEveryExitCode(t *testing.T) {
	help := app.New().Description
	for code := range 8 {
		if !strings.Contains(help, fmt.Sprintf("\n   %d  ", code)) {
			t.Errorf("the help text does not explain exit code %d", code)
		}
	}
}
