// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ateom/ateom/runsc"
	"github.com/ateom/ateom/shim/sandboxid"
	"github.com/ateom/ateom/shim/stdio"
)

func writeBundle(t *testing.T, text string) (bundle string) {
	t.Helper()
	bundle = t.TempDir()
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return bundle
}

func TestReadSpecFillsWhatOthersRelyOn(t *testing.T) {
	bundle := writeBundle(t, `{"process":{"args":["x"],"cwd":"/"},"root":{"path":"rootfs"}}`)
	spec, err := readSpec(bundle)
	if err != nil {
		t.Fatal(err)
	}
	if spec.Linux == nil || spec.Annotations == nil {
		t.Errorf("spec %+v has no linux or no annotations", spec)
	}
	spec.Annotations[sandboxid.CRISandboxID] = "b"
	if err := writeSpec(bundle, spec); err != nil {
		t.Fatal(err)
	}
	again, err := readSpec(bundle)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(spec, again); diff != "" {
		t.Errorf("spec (-written +read):\n%s", diff)
	}
	if entries, err := os.ReadDir(bundle); err != nil || len(entries) != 1 {
		t.Errorf("the bundle has %v, %v, want config.json alone", entries, err)
	}
}

func TestReadSpecRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"not JSON": "{", "no process": `{"root":{"path":"x"}}`, "no root": `{"process":{}}`,
		"a huge one": `{"hostname":"` + strings.Repeat("x", maxSpec) + `"}`,
	} {
		if _, err := readSpec(writeBundle(t, text)); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "config.json") {
			t.Errorf("%s: %.200v", name, err)
		}
	}
	if _, err := readSpec(t.TempDir()); !os.IsNotExist(err) && !strings.Contains(err.Error(), "read bundle") {
		t.Errorf("no bundle: %v", err)
	}
}

func TestPlaceSaysWhoBelongsToWhom(t *testing.T) {
	tests := []struct {
		name, id string
		before   map[string]string
		want     map[string]string
	}{
		{"alone", "box", map[string]string{}, map[string]string{}},
		{"root of a group", "box", map[string]string{sandboxid.GroupAnnotation: "g"},
			map[string]string{sandboxid.GroupAnnotation: "g", sandboxid.CRIContainerType: "sandbox"}},
		{"member of a group", "c", map[string]string{sandboxid.GroupAnnotation: "g"},
			map[string]string{sandboxid.GroupAnnotation: "g", sandboxid.CRIContainerType: "container", sandboxid.CRISandboxID: "box", annotationContainerName: "c"}},
		{"root of a pod", "box", map[string]string{sandboxid.CRISandboxID: "box", sandboxid.CRIContainerType: "sandbox"},
			map[string]string{sandboxid.CRISandboxID: "box", sandboxid.CRIContainerType: "sandbox"}},
		{"container of a pod", "c", map[string]string{sandboxid.CRISandboxID: "box", sandboxid.CRIContainerType: "container", annotationContainerName: "app"},
			map[string]string{sandboxid.CRISandboxID: "box", sandboxid.CRIContainerType: "container", annotationContainerName: "app"}},
	}
	for _, tt := range tests {
		spec := &specs.Spec{Root: &specs.Root{Path: "rootfs"}, Annotations: tt.before}
		place(spec, tt.id, "box", "/abs/rootfs")
		if diff := cmp.Diff(tt.want, spec.Annotations); diff != "" {
			t.Errorf("%s: annotations (-want +got):\n%s", tt.name, diff)
		}
		if spec.Root.Path != "/abs/rootfs" {
			t.Errorf("%s: root is %s", tt.name, spec.Root.Path)
		}
	}
}

func TestImageOf(t *testing.T) {
	tests := []struct {
		annotations map[string]string
		ref, digest string
	}{
		{nil, "", ""},
		{map[string]string{annotationImage: "x:1"}, "x:1", ""},
		{map[string]string{annotationImage: "x@sha256:a"}, "x@sha256:a", "sha256:a"},
		{map[string]string{annotationImage: "x@sha256:a", annotationImageDigest: "sha256:b"}, "x@sha256:a", "sha256:b"},
		{map[string]string{"io.kubernetes.cri.image-name": "y@sha256:c"}, "y@sha256:c", "sha256:c"},
		{map[string]string{annotationImage: "x", "io.kubernetes.cri.image-name": "y"}, "x", ""},
	}
	for _, tt := range tests {
		if ref, digest := imageOf(&specs.Spec{Annotations: tt.annotations}); ref != tt.ref || digest != tt.digest {
			t.Errorf("imageOf(%v) = %q, %q", tt.annotations, ref, digest)
		}
	}
}

func TestStatsInBothForms(t *testing.T) {
	s := &runsc.Stats{}
	s.CPU.Usage.Total, s.CPU.Usage.User, s.CPU.Usage.Kernel = 3000, 2000, 1000
	s.Memory.Usage.Usage, s.Memory.Usage.Limit, s.Memory.Cache = 4096, 8192, 1024
	s.Pids.Current, s.Pids.Limit = 3, 9
	v1, v2 := metricsV1(s), metricsV2(s)
	got := [][]uint64{
		{v1.GetCPU().GetUsage().GetTotal(), v1.GetCPU().GetUsage().GetUser(), v1.GetMemory().GetUsage().GetUsage(), v1.GetMemory().GetCache(), v1.GetPids().GetCurrent()},
		{v2.GetCPU().GetUsageUsec(), v2.GetCPU().GetUserUsec(), v2.GetMemory().GetUsage(), v2.GetMemory().GetFile(), v2.GetPids().GetCurrent()},
	}
	want := [][]uint64{{3000, 2000, 4096, 1024, 3}, {3, 2, 4096, 1024, 3}} // v2 counts microseconds
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
}

func TestLastLinesQuotesTheEndOfALog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	for _, none := range []string{"", path, filepath.Dir(path)} {
		if got := lastLines(none); got != "" {
			t.Errorf("of %q: %q", none, got)
		}
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("noise\n", 10_000)+"1\n2\n3\n4\nthe reason\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := lastLines(path), `; the container's last output: "1 | 2 | 3 | 4 | the reason"`; got != want {
		t.Errorf("lastLines = %s, want %s", got, want)
	}
}

func TestLogFile(t *testing.T) {
	logs := t.TempDir()
	for _, name := range []string{"app/0.log", "app/9.log", "app/10.log", "app/10.log.gz", "app/x.log"} {
		path := filepath.Join(logs, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	make := func(id, name, stdout string) *container {
		return &container{id: id, name: name, spec: &specs.Spec{Annotations: map[string]string{annotationLogDir: logs}},
			init: newProcess("", stdio.Config{Stdout: stdout}, &stdio.Streams{})}
	}
	root := make("pod", "", "")
	for _, tt := range []struct {
		name string
		cri  bool
		c    *container
		want string
	}{
		{"a file of the user's", false, make("c", "app", "file:///x/y"), "/x/y"},
		{"a FIFO of the user's", false, make("c", "app", "fifo:///x"), ""},
		{"in a pod", true, make("c", "app", "/run/fifo"), filepath.Join(logs, "app/10.log")},
		{"in a pod, not begun", true, make("c", "other", "/run/fifo"), ""},
	} {
		sb := &sandbox{id: "pod", cri: tt.cri, containers: []*container{root, tt.c}}
		if got := sb.logFile(tt.c); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
