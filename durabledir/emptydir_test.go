// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"errors"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestParseVolumes(t *testing.T) {
	for annotation, want := range map[string][]string{
		"": nil, " ": nil, "home": {"home"}, "home, work-2": {"home", "work-2"},
	} {
		got, err := ParseVolumes(annotation)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("ParseVolumes(%q): error %v (-want +got):\n%s", annotation, err, diff)
		}
	}
	for _, annotation := range []string{",", "home,", "Home", "a b", "../home", "home,home", `["home"]`} {
		if _, err := ParseVolumes(annotation); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("ParseVolumes(%q): error %v, want ErrInvalidArgument", annotation, err)
		}
	}
}

func TestEmptyDirsAreFoundByTheirHostPath(t *testing.T) {
	const volumes = "/var/lib/kubelet/pods/0b9e2d6c/volumes/"
	mount := func(source, to string, options ...string) specs.Mount {
		return specs.Mount{Type: "bind", Source: source, Destination: to, Options: append(options, "rbind")}
	}
	mounts := []specs.Mount{
		{Type: "proc", Source: "proc", Destination: "/proc"},
		mount(volumes+"kubernetes.io~empty-dir/home", "/home/agent/", "rw"),
		mount(volumes+"kubernetes.io~empty-dir/home", "/again", "ro"),
		mount(volumes+"kubernetes.io~empty-dir/cache", "/cache"),
		mount(volumes+"kubernetes.io~configmap/work", "/configmap"),
		mount(volumes+"kubernetes.io~empty-dir/work/sub", "/sub"),
		mount("/var/lib/kubelet/pods/0b9e2d6c/volume-subpaths/work/agent/0", "/subpath"),
		mount("kubernetes.io~empty-dir/work", "/relative"),
		mount("/x/../kubernetes.io~empty-dir/work", "/unclean"),
		{Type: "tmpfs", Source: volumes + "kubernetes.io~empty-dir/work", Destination: "/tmpfs"},
	}
	want := []EmptyDir{
		{Name: "home", Path: volumes + "kubernetes.io~empty-dir/home", MountPath: "/home/agent"},
		{Name: "home", Path: volumes + "kubernetes.io~empty-dir/home", MountPath: "/again", ReadOnly: true},
	}
	if diff := cmp.Diff(want, EmptyDirs([]string{"home", "work"}, mounts)); diff != "" {
		t.Errorf("EmptyDirs (-want +got):\n%s", diff)
	}
}
