// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package annotation

import (
	"flag"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite golden files")

// golden lists the annotations that the pinned gVisor's source names.
const golden = "testdata/gvisor.txt"

var (
	// literal is an annotation, or the beginning of some, in Go source.
	literal = regexp.MustCompile(`"(dev\.gvisor\.[a-zA-Z0-9._-]*)"`)
	// checkpointLiteral is the rest of one that begins with annotationCheckpointPrefix.
	checkpointLiteral = regexp.MustCompile(`annotation((?:FS)?Checkpoint)Prefix \+ "([a-z-]+)"`)
	// override is a flag that runsc lets annotations set by itself.
	overrides = regexp.MustCompile(`(?s)var overrideAllowlist = .*?\n}\n`)
	flagName  = regexp.MustCompile(`(?m)^\t(flag\w+) += "([a-z0-9-]+)"`)
	flagUse   = regexp.MustCompile(`(?m)^\t(flag\w+):`)
)

// known reads the annotations out of the source of the pinned gVisor.
func known(t *testing.T) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "gvisor.dev/gvisor").Output()
	if err != nil {
		t.Fatal(err)
	}
	top := strings.TrimSpace(string(out))
	found := map[string]bool{}
	for _, dir := range []string{"runsc", "pkg/shim", "pkg/sentry"} {
		err := filepath.WalkDir(filepath.Join(top, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range literal.FindAllSubmatch(text, -1) {
				found[string(m[1])] = true
			}
			for _, m := range checkpointLiteral.FindAllSubmatch(text, -1) {
				found["dev.gvisor.internal."+strings.ToLower(string(m[1]))+"."+string(m[2])] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	delete(found, gvisorPrefix)
	flags, err := os.ReadFile(filepath.Join(top, "runsc/config/flags.go"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for _, m := range flagName.FindAllSubmatch(flags, -1) {
		names[string(m[1])] = string(m[2])
	}
	for _, m := range flagUse.FindAllSubmatch(overrides.Find(flags), -1) {
		if names[string(m[1])] == "" {
			t.Fatalf("the name of %s is not found in flags.go", m[1])
		}
		found["dev.gvisor.flag."+names[string(m[1])]] = true
	}
	return slices.Sorted(maps.Keys(found))
}

// Whoever moves to another gVisor must look at what is new: it may be dangerous.
func TestNoAnnotationOfGVisorIsNew(t *testing.T) {
	got := strings.Join(known(t), "\n") + "\n"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the pinned gVisor knows other annotations than before; decide on each in annotation.go, then run this test with -update (-before +now):\n%s", diff)
	}
}

// Each of them is allowed by name, or refused with a reason.
func TestEachAnnotationOfGVisorIsDecided(t *testing.T) {
	list := known(t)
	if len(list) < 30 {
		t.Fatalf("only %d annotations were found: %q", len(list), list)
	}
	for _, key := range list {
		if strings.HasSuffix(key, ".") {
			key += "x"
		}
		err := Check(map[string]string{key: "true", "ateom.dev/x": "y"})
		if allowed[key] {
			if err != nil {
				t.Errorf("Check refuses %s: %v", key, err)
			}
			continue
		}
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), key) {
			t.Errorf("Check of %s = %v, want an invalid argument that names it", key, err)
		} else if strings.Contains(err.Error(), "does not pass it on") {
			t.Errorf("Check of %s gives no reason", key)
		}
	}
	for key := range allowed {
		if !slices.Contains(list, key) {
			t.Errorf("%s is allowed, and gVisor does not know it", key)
		}
	}
}

func TestCheckRefusesWhatNobodyKnows(t *testing.T) {
	for _, key := range []string{"dev.gvisor.", "dev.gvisor.new", "dev.gvisor.flag.oci-seccomp.x"} {
		if err := Check(map[string]string{key: ""}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("Check of %q = %v", key, err)
		}
	}
	if err := Check(map[string]string{"dev.gvisor": "", "example.com/dev.gvisor.flag.x": "", "": ""}); err != nil {
		t.Errorf("Check of what is not gVisor's = %v", err)
	}
}

func TestForRunsc(t *testing.T) {
	got := ForRunsc(map[string]string{
		"io.kubernetes.cri.container-type": "sandbox", "io.kubernetes.cri-o.ContainerType": "container", "io.kubernetes.cri-o.SandboxID": "other",
		"ateom.dev/store": "x", "example.com/y": "z", "dev.gvisor.flag.qdisc": "tbf",
	})
	want := map[string]string{"io.kubernetes.cri.container-type": "sandbox", "dev.gvisor.flag.qdisc": "tbf"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
}
