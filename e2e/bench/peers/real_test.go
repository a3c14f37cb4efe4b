// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/ateom/ateom/e2e/bench/lab"
)

// realRunsc finds the binary that make build has made.
func realRunsc(t *testing.T) string {
	t.Helper()
	candidates := []string{os.Getenv("ATEOM_RUNSC"), "../../../bin/runsc"}
	if home, err := os.UserHomeDir(); err == nil {
		candidates = append(candidates, filepath.Join(home, ".cache", "ateom", "bin", "runsc"))
	}
	for _, c := range candidates {
		if path, err := filepath.Abs(c); err == nil && c != "" {
			if _, err := os.Stat(path); err == nil {
				return path
			}
		}
	}
	t.Fatalf("there is no runsc at any of %q: run make build, or set ATEOM_RUNSC", candidates)
	return ""
}

func TestARealSandboxSleepsAndWakesByHand(t *testing.T) {
	dir, err := os.MkdirTemp("", "ab")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	g := &Ground{Dir: dir, Runsc: realRunsc(t), Cgroup: filepath.Base(dir)}
	t.Cleanup(func() {
		if err := lab.RemoveCgroups(g.Cgroup); err != nil {
			t.Error(err)
		}
	})
	memhog := filepath.Join(dir, "memhog")
	build := exec.Command("go", "build", "-o", memhog, "../memhog")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build memhog: %v: %s", err, out)
	}
	p, err := NewRunsc(g, HandPlus)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := p.Prepare(ctx, Workload{Name: "memhog", Port: 8080, Program: lab.Program{
		Binary: memhog, Args: []string{"/bin/memhog", "-mib=8"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	client := lab.NewClient(s.Addr())
	var before, after lab.State
	if err := client.Get(ctx, "/", s.Poll(), &before); err != nil {
		t.Fatal(err)
	}
	pid, err := s.PID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	kernel, err := lab.Watch(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	if err := kernel.Wait(ctx); err != nil {
		t.Fatal(fmt.Errorf("the sandbox's kernel lives on after Pause: %w", err))
	}
	if bytes, err := lab.DiskUsage(s.Image()); err != nil || bytes < 8<<20 {
		t.Errorf("the image has %d bytes, %v, want 8 MiB at least", bytes, err)
	}
	if err := s.Resume(ctx); err != nil {
		t.Fatal(err)
	}
	if err := client.Get(ctx, "/", s.Poll(), &after); err != nil {
		t.Fatal(err)
	}
	if err := lab.SameProcess(before, after); err != nil {
		t.Error(err)
	}
}
