// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package network

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
)

func TestNewNamespaceHasALoopbackAndNothingElse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made", "net")
	if err := New(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Remove(path); err != nil {
			t.Error(err)
		}
	})
	h, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if lo.Attrs().Flags&net.FlagUp == 0 {
		t.Error("the loopback is down")
	}
	if s, err := Read(path); err != nil || s.Addresses() != 0 {
		t.Errorf("Read = %+v, %v, want no addresses", s, err)
	}
	if err := New(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("New in a place that is taken = %v", err)
	}
	if _, err := Read(path); err != nil {
		t.Errorf("the failed New took the namespace away: %v", err)
	}
}

func TestRemoveLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "net")
	if err := New(path); err != nil {
		t.Fatal(err)
	}
	for range 2 { // what is gone already is no error
		if err := Remove(path); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the file is still there: %v", err)
		}
	}
}

func TestNewLeavesNothingWhenItFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := New(filepath.Join(file, "net")); err == nil {
		t.Error("New below a file succeeded")
	}
}
