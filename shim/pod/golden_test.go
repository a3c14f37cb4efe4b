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
)

// A ledger has no version: what is written now is what the golden files say, which
// every release reads. A field may come, and none may change its meaning.
func TestLedgersAreAsTheGoldenFilesSay(t *testing.T) {
	want := &Ledger{Begun: true, Filling: []string{"work"}, Filled: []string{"home", "data"}, Paused: "01m7yhhf3jmd1e0p1g61tc6wxq"}
	old, now := t.TempDir(), t.TempDir()
	if err := os.MkdirAll(ledgers(old), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := OpenLedger(now, "uid")
	if err != nil {
		t.Fatal(err)
	}
	l.Begun, l.Filling, l.Filled = want.Begun, want.Filling, want.Filled
	if err := errors.Join(l.Write(), l.SetPaused(want.Paused)); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", pausedSuffix} {
		path := filepath.Join("testdata", "ledger"+suffix)
		golden, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		written, err := os.ReadFile(filepath.Join(ledgers(now), "uid"+suffix))
		if diff := cmp.Diff(string(golden), string(written)); err != nil || diff != "" {
			t.Errorf("%s (-golden +written), %v:\n%s", path, err, diff)
		}
		if err := os.WriteFile(filepath.Join(ledgers(old), "uid"+suffix), golden, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := OpenLedger(old, "uid")
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Ledger{})); err != nil || diff != "" {
		t.Errorf("the golden ledger is read (-want +got), %v:\n%s", err, diff)
	}
}
