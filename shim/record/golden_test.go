// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package record

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Records that shims of every version so far have left are understood: a newer
// binary cleans up after an older one.
func TestRecordsOfEveryVersionAreRead(t *testing.T) {
	want := &Record{
		Sandbox: "box", Runsc: "/opt/ateom/runsc", Root: "/run/ateom/runsc/0011223344556677", Flags: []string{"--platform=systrap"},
		Rootfs: "/run/containerd/bundle/rootfs", Socket: "unix:///run/containerd/s/aa", StateDir: "/var/lib/ateom",
		Volumes: "/var/lib/ateom/volumes/ns/box", Scratch: "/run/ateom/sandboxes/ns/box", Origin: "/var/lib/ateom/origins/ns/box",
		Netns: "/run/ateom/runsc/0011223344556677/netns", Paused: "01m7yhhf3jmd1e0p1g61tc6wxq",
	}
	for v := 1; v <= version; v++ {
		text, err := os.ReadFile(filepath.Join("testdata", fmt.Sprintf("v%d.json", v)))
		if err != nil {
			t.Fatalf("version %d has no golden record: %v", v, err)
		}
		bundle := t.TempDir()
		if err := os.WriteFile(filepath.Join(bundle, fileName), text, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Read(bundle)
		if err != nil {
			t.Fatalf("version %d: %v", v, err)
		}
		want.Version = v
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("version %d (-want +got):\n%s", v, diff)
		}
	}
}
