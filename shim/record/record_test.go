// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package record

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRoundTrip(t *testing.T) {
	bundle := t.TempDir()
	if r, err := Read(bundle); r != nil || err != nil {
		t.Fatalf("Read of a bundle without a record = %+v, %v, want nothing", r, err)
	}
	want := &Record{
		Sandbox: "box", Runsc: "/bin/runsc", Root: "/run/runsc", Flags: []string{"--a=b"}, Rootfs: "/b/rootfs",
		StateDir: "/state", Volumes: "/state/volumes/ns/box", Scratch: "/run/box", Origin: "/state/origin",
	}
	for _, paused := range []string{"", "p2"} { // written again at a pause
		want.Sandbox += paused
		if err := Write(bundle, want); err != nil {
			t.Fatal(err)
		}
		got, err := Read(bundle)
		if err != nil {
			t.Fatal(err)
		}
		if got.Version != version {
			t.Errorf("version %d was written, want %d", got.Version, version)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("record (-want +got):\n%s", diff)
		}
	}
	entries, err := os.ReadDir(bundle)
	if err != nil || len(entries) != 1 {
		t.Errorf("the bundle has %v, %v, want the record alone", entries, err)
	}
}

// Half of a record, or one that means something else, must not be acted upon:
// it says what to unmount and remove.
func TestReadRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":        "",
		"half a record":  `{"version":1,"root":"/ru`,
		"no version":     `{"root":"/run"}`,
		"version 0":      `{"version":0,"root":"/run"}`,
		"a newer record": `{"version":2,"root":"/run"}`,
		"another type":   `[1]`,
	} {
		bundle := t.TempDir()
		if err := os.WriteFile(filepath.Join(bundle, fileName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := Read(bundle); err == nil || !strings.Contains(err.Error(), bundle) {
			t.Errorf("%s: Read = %+v, %v, want an error that names the bundle", name, r, err)
		}
	}
}

// A write that fails leaves the record that there was.
func TestFailedWriteKeepsTheOldRecord(t *testing.T) {
	bundle := t.TempDir()
	if err := Write(bundle, &Record{Sandbox: "old"}); err != nil {
		t.Fatal(err)
	}
	// A directory in the way of the new file.
	if err := os.Mkdir(filepath.Join(bundle, fileName+".new"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(bundle, &Record{Sandbox: "new"}); err == nil {
		t.Error("Write succeeded")
	}
	if r, err := Read(bundle); err != nil || r.Sandbox != "old" {
		t.Errorf("Read = %+v, %v, want the old record", r, err)
	}
}
