// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestCgroupIsThePods(t *testing.T) {
	for path, want := range map[string]string{
		"/kubepods/burstable/pod12/abc":           "/kubepods/burstable/pod12",
		"/kubepods/pod12/abc":                     "/kubepods/pod12",
		"/x/kubepods/pod12/abc":                   "/x/kubepods/pod12",
		"/podman/default/abc":                     "/podman",
		"/other/abc":                              "/other/abc",
		"kubepods-pod12.slice:cri-containerd:abc": "kubepods-pod12.slice:cri-containerd:abc",
		"": "",
	} {
		if got := Cgroup(path); got != want {
			t.Errorf("Cgroup(%q) = %q, want %q", path, got, want)
		}
	}
}

// newKubeletDir makes a kubelet's directory with a pod of some volumes.
func newKubeletDir(t *testing.T, uid string, names ...string) (dir string, path func(name string) string) {
	t.Helper()
	dir = t.TempDir()
	path = func(name string) string {
		return filepath.Join(dir, "pods", uid, "volumes", "kubernetes.io~empty-dir", name)
	}
	for _, name := range names {
		if err := os.MkdirAll(path(name), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	return dir, path
}

func TestEmptyDirsThatLiveInTheSandbox(t *testing.T) {
	dir, path := newKubeletDir(t, "u", "disk", "memory", "home", "full")
	if err := unix.Mount("tmpfs", path("memory"), "tmpfs", 0, "size=2m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(path("memory"), unix.MNT_DETACH) })
	if err := os.WriteFile(filepath.Join(path("full"), "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// A sandbox of the pod was killed.
	if err := os.WriteFile(filepath.Join(path("disk"), ".gvisor.filestore.0123"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := EmptyDirs(dir, "u", []string{"home"})
	if err != nil {
		t.Fatal(err)
	}
	want := []EmptyDir{{Name: "disk", Path: path("disk")}, {Name: "memory", Path: path("memory"), Memory: true, Size: 2 << 20}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("EmptyDirs (-want +got):\n%s", diff)
	}
	if left, err := os.ReadDir(path("disk")); err != nil || len(left) > 0 {
		t.Errorf("a dead sandbox's file stays: %v, %v", left, err)
	}
	for _, uid := range []string{"", "other", "../u", ".."} {
		if got, err := EmptyDirs(dir, uid, nil); err != nil || len(got) > 0 {
			t.Errorf("EmptyDirs of pod %q = %v, %v", uid, got, err)
		}
	}
}

func TestHintsAndMountsAgree(t *testing.T) {
	dirs := []EmptyDir{{Name: "disk", Path: "/k/disk"}, {Name: "memory", Path: "/k/memory", Memory: true, Size: 4096}}
	root := &specs.Spec{Annotations: map[string]string{}, Mounts: []specs.Mount{{Destination: "/dev/shm", Type: "bind", Source: "/shm"}}}
	Hint(root, dirs)
	for key, want := range map[string]string{
		"disk.source": "/k/disk", "disk.type": "tmpfs", "disk.share": "pod", "memory.source": "/k/memory", "ateom_dev_shm.source": "/shm",
		"disk.options": "rw", "memory.options": "rw,size=4096", "ateom_dev_shm.options": "rw",
	} {
		if got := root.Annotations["dev.gvisor.spec.mount."+key]; got != want {
			t.Errorf("hint %s = %q, want %q", key, got, want)
		}
	}
	spec := &specs.Spec{Mounts: []specs.Mount{
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm"},
		{Destination: "/dev/shm", Type: "bind", Source: "/shm", Options: []string{"rbind", "rw"}},
		{Destination: "/disk", Type: "bind", Source: "/k/disk", Options: []string{"rbind", "rw"}},
		{Destination: "/memory", Type: "bind", Source: "/k/memory", Options: []string{"rbind", "ro"}},
		{Destination: "/part", Type: "bind", Source: "/k/memory/part", Options: []string{"rbind", "ro"}},
	}}
	Retype(spec, dirs)
	want := []specs.Mount{
		{Destination: "/dev/shm", Type: "tmpfs", Source: "/shm", Options: []string{"rw"}},
		{Destination: "/disk", Type: "bind", Source: "/k/disk", Options: []string{"rbind", "rw"}},
		{Destination: "/memory", Type: "tmpfs", Source: "/k/memory", Options: []string{"ro"}},
		{Destination: "/part", Type: "bind", Source: "/k/memory/part", Options: []string{"rbind", "ro"}},
	}
	if diff := cmp.Diff(want, spec.Mounts); diff != "" {
		t.Errorf("mounts (-want +got):\n%s", diff)
	}
}

// What backs a volume on disk is found again by the container that had it first: the
// root container has them all.
func TestTheRootContainerHasTheVolumesOnDisk(t *testing.T) {
	root := &specs.Spec{Mounts: []specs.Mount{{Destination: "/proc", Type: "proc"}}}
	Anchor(root, []EmptyDir{{Name: "disk", Path: "/k/disk"}, {Name: "memory", Path: "/k/memory", Memory: true}})
	want := []specs.Mount{
		{Destination: "/proc", Type: "proc"},
		{Destination: "/ateom/volumes/disk", Type: "bind", Source: "/k/disk", Options: []string{"rbind", "rw"}},
	}
	if diff := cmp.Diff(want, root.Mounts); diff != "" {
		t.Errorf("mounts (-want +got):\n%s", diff)
	}
}

func TestLedgerRemembersAPod(t *testing.T) {
	state := t.TempDir()
	l, err := OpenLedger(state, "u")
	if err != nil {
		t.Fatal(err)
	}
	l.Begun, l.Filled = true, []string{"home"}
	if err := errors.Join(l.Write(), l.SetPaused("01jd0000090000000000000000")); err != nil {
		t.Fatal(err)
	}
	again, err := OpenLedger(state, "u")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(l, again, cmpopts.IgnoreUnexported(Ledger{})); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	if !again.IsFilled("home") || again.IsFilled("work") {
		t.Errorf("filled: %v", again.Filled)
	}
	for range 2 { // waking what is awake changes nothing
		if err := again.SetPaused(""); err != nil {
			t.Fatal(err)
		}
		if awake, err := OpenLedger(state, "u"); err != nil || awake.Paused != "" || !awake.Begun {
			t.Errorf("awake: %+v, %v", awake, err)
		}
	}
}

func TestADamagedLedgerIsNotTakenForAnEmptyOne(t *testing.T) {
	state := t.TempDir()
	if err := os.MkdirAll(filepath.Join(state, "pods"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(state, "pods", "u"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenLedger(state, "u"); err == nil {
		t.Error("OpenLedger read a damaged ledger")
	}
}
