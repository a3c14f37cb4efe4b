// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package record

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/shim/network"
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

// What is written now is what the golden file of the present version says. A change of
// it takes a version of its own and one more file: older shims, and newer ones, read it.
func TestARecordIsWrittenAsItsGoldenFileSays(t *testing.T) {
	path := filepath.Join("testdata", fmt.Sprintf("written-v%d.json", version))
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := &Record{
		Sandbox: "box", Runsc: "/opt/ateom/runsc", Root: "/run/ateom/runsc/0011223344556677", Flags: []string{"--platform=systrap"},
		Rootfs: "/run/containerd/bundle/rootfs", Socket: "unix:///run/containerd/s/aa", StateDir: "/var/lib/ateom",
		Volumes: "/var/lib/ateom/volumes/ns/box", Scratch: "/run/ateom/sandboxes/ns/box", Origin: "/var/lib/ateom/origins/ns/box",
		Netns: "/run/ateom/sandboxes/ns/box/netns", NetworkPath: "/run/netns/pod", Cgroup: "/pods/box",
		Network: &network.State{Links: []network.Link{{
			Name: "eth0", MTU: 1400, Up: true,
			Addresses:  []network.Address{{CIDR: "10.0.0.2/24", Peer: "10.0.0.3/24", Broadcast: "10.0.0.255", Scope: 1}},
			Routes:     []network.Route{{Destination: "10.1.0.0/16", Gateway: "10.0.0.1", Source: "10.0.0.2", Scope: 2, Priority: 3, Table: 254, Family: 2, OnLink: true}},
			Neighbours: []network.Neighbour{{IP: "10.0.0.1", MAC: "02:00:00:00:00:01"}},
		}}},
	}
	bundle := t.TempDir()
	if err := Write(bundle, r); err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(filepath.Join(bundle, fileName))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(golden), string(written)+"\n"); diff != "" {
		t.Errorf("%s (-golden +written):\n%s", path, diff)
	}
	if err := os.WriteFile(filepath.Join(bundle, fileName), golden, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Read(bundle)
	if diff := cmp.Diff(r, got); err != nil || diff != "" {
		t.Errorf("%s is read (-want +got), %v:\n%s", path, err, diff)
	}
}
