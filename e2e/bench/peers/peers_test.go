// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/shim/readiness"
)

// The tests run as the bench does: in namespaces of their own.
func TestMain(m *testing.M) {
	done, code, err := lab.Enter()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if done {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

func TestNamesOfPeersBecomeFileNames(t *testing.T) {
	seen := map[string]string{}
	for _, s := range Scripts {
		name := fileName(s.Name)
		if !regexp.MustCompile(`^[a-zA-Z0-9-]+$`).MatchString(name) {
			t.Errorf("%q becomes %q", s.Name, name)
		}
		if other, ok := seen[name]; ok {
			t.Errorf("%q and %q both become %q", s.Name, other, name)
		}
		seen[name] = s.Name
	}
}

func TestProbesAreAsTheShimWantsThem(t *testing.T) {
	probes, err := readiness.Parse(probeAnnotation(Workload{Ready: "/ready", Port: 8080}))
	if err != nil {
		t.Fatal(err)
	}
	if len(probes) != 1 || probes[0].HTTPGet == nil || probes[0].HTTPGet.Path != "/ready" {
		t.Errorf("probes %+v", probes)
	}
}

// fakeRunsc records its arguments and keeps a file for what a container is.
const fakeRunsc = `#!/bin/sh
echo "$@" >> "$0.log"
case "$*" in
*" state "*) echo '{"pid": 4711}' ;;
*" checkpoint "*) for a; do [ "$last" = --image-path ] && mkdir -p "$a" && echo image > "$a/checkpoint.img"; last=$a; done ;;
*" restore "*broken*) echo "no such image" >&2; exit 128 ;;
esac
`

// ground is what peers stand on, with a runsc that only writes down what it is asked.
func ground(t *testing.T) (g *Ground, log func() []string) {
	t.Helper()
	dir := t.TempDir()
	runsc := filepath.Join(dir, "runsc")
	if err := os.WriteFile(runsc, []byte(fakeRunsc), 0o755); err != nil {
		t.Fatal(err)
	}
	g = &Ground{Dir: dir, Runsc: runsc, Cgroup: fmt.Sprintf("ateom-peers-test-%d", os.Getpid())}
	return g, func() []string {
		b, err := os.ReadFile(runsc + ".log")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(runsc + ".log"); err != nil {
			t.Fatal(err)
		}
		var verbs []string
		for line := range strings.Lines(string(b)) {
			line = strings.TrimSpace(regexp.MustCompile(`--root \S+ |--bundle \S+ |--image-path \S+ `).ReplaceAllString(line, ""))
			verbs = append(verbs, line)
		}
		return verbs
	}
}

func TestScriptsRunTheCommandsThatTheyAreKnownFor(t *testing.T) {
	tests := []struct {
		script        Script
		pause, resume []string
	}{
		{Raw, []string{"checkpoint ID"}, []string{"delete --force ID", "restore --detach ID"}},
		{Hand, []string{"checkpoint ID", "delete --force ID"}, []string{"restore --detach ID"}},
		{HandPlus, []string{"checkpoint ID", "delete --force ID"}, []string{"restore --detach --background ID"}},
	}
	for _, tt := range tests {
		t.Run(tt.script.Name, func(t *testing.T) {
			g, log := ground(t)
			s := prepared(t, g, tt.script)
			ctx := t.Context()
			if err := s.Start(ctx); err != nil {
				t.Fatal(err)
			}
			want(t, log(), s.id, "run --detach ID")
			if pid, err := s.PID(ctx); err != nil || pid != 4711 {
				t.Errorf("PID = %d, %v", pid, err)
			}
			log()
			if err := s.Pause(ctx); err != nil {
				t.Fatal(err)
			}
			want(t, log(), s.id, tt.pause...)
			if _, err := os.Stat(filepath.Join(s.Image(), "checkpoint.img")); err != nil {
				t.Error(err)
			}
			if err := s.Resume(ctx); err != nil {
				t.Fatal(err)
			}
			want(t, log(), s.id, tt.resume...)
		})
	}
}

// prepared returns a sandbox of a script's peer, which end with the test.
func prepared(t *testing.T, g *Ground, script Script) *runscSandbox {
	t.Helper()
	p, err := NewRunsc(g, script)
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
	box, err := p.Prepare(ctx, Workload{Name: "w", Port: 8080, Share: "/share", Program: lab.Program{Args: []string{"/bin/true"}}})
	if err != nil {
		t.Fatal(err)
	}
	s := box.(*runscSandbox)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(s.dir); err == nil {
			t.Errorf("%s is left", s.dir)
		}
	})
	return s
}

// want compares the commands that ran with those that were meant to; ID stands
// for the container's.
func want(t *testing.T, got []string, id string, want ...string) {
	t.Helper()
	if w := strings.ReplaceAll(strings.Join(want, "; "), "ID", id); strings.Join(got, "; ") != w {
		t.Errorf("runsc ran %q, want %q", strings.Join(got, "; "), w)
	}
}

func TestSpecHasTheSharedDirectoryAndTheNetwork(t *testing.T) {
	g, _ := ground(t)
	s := prepared(t, g, Hand)
	b, err := os.ReadFile(filepath.Join(s.dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var spec struct {
		Root   struct{ Path string }
		Mounts []struct{ Destination, Source string }
		Linux  struct{ Namespaces []struct{ Type, Path string } }
	}
	if err := json.Unmarshal(b, &spec); err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, part := range []string{s.rootfs, `"destination":"/share"`, s.Share(), s.net.Path} {
		if !strings.Contains(text, part) {
			t.Errorf("config.json does not mention %s", part)
		}
	}
	if !filepath.IsAbs(spec.Root.Path) {
		t.Errorf("root path %q: runsc wants an absolute one", spec.Root.Path)
	}
}

func TestErrorsCarryWhatRunscSaid(t *testing.T) {
	g, _ := ground(t)
	s := prepared(t, g, Hand)
	_, err := s.peer.runsc(t.Context(), "restore", "broken")
	if err == nil || !strings.Contains(err.Error(), "no such image") || !strings.Contains(err.Error(), "run runsc restore") {
		t.Errorf("runsc = %v, want its command and its words", err)
	}
}

func TestDataCommitByHandFreezesAroundTheTar(t *testing.T) {
	g, log := ground(t)
	s := prepared(t, g, HandTar)
	if err := os.WriteFile(filepath.Join(s.Share(), "file"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(t.Context(), "Data"); err != nil {
		t.Fatal(err)
	}
	want(t, log(), s.id, "pause ID", "resume ID")
	if fi, err := os.Stat(filepath.Join(s.dir, "data.tar")); err != nil || fi.Size() == 0 {
		t.Errorf("tarball: %v", err)
	}
}
