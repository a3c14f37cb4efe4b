// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/artifacts"
)

func TestSweepTakesOnlyWhatNobodyWorksOn(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	busy, err := s.NewDraft(artifacts.NewID(now))
	if err != nil {
		t.Fatal(err)
	}
	left, err := s.NewDraft(artifacts.NewID(now.Add(time.Second)))
	if err != nil {
		t.Fatal(err)
	}
	left.lock.Close() // as the end of its process does

	want := []string{filepath.Join(draftsName, string(left.ID()))}
	for _, mode := range []SweepMode{ListLeftovers, DeleteLeftovers} {
		found, err := s.Sweep(mode)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, l := range found {
			got = append(got, l.Path)
			if l.Bytes == 0 {
				t.Errorf("%s is said to take no space", l.Path)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("left over (-want +got):\n%s", diff)
		}
	}
	if _, err := os.Stat(left.Dir()); !os.IsNotExist(err) {
		t.Errorf("the abandoned draft is still there: %v", err)
	}
	if _, err := os.Stat(busy.Dir()); err != nil {
		t.Errorf("the draft in use is gone: %v", err)
	}
	if err := busy.Abort(); err != nil {
		t.Fatal(err)
	}
}
