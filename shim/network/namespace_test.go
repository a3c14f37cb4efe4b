// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package network

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

func TestNewNamespaceHasALoopback(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "ns")
	if err := New(path); err != nil {
		t.Fatal(err)
	}
	h, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	links, err := h.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	up := false
	for _, l := range links {
		up = up || l.Attrs().Name == "lo" && l.Attrs().Flags&net.FlagUp != 0
	}
	if !up {
		t.Error("the loopback is not up")
	}
	if err := New(path); err == nil {
		t.Error("a second namespace took the place of the first")
	}
	for range 2 { // the second time there is nothing to do
		if err := Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("something is left at %s: %v", path, err)
	}
}
