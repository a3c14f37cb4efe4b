// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ateom/ateom/artifacts"
)

const asleep = artifacts.ID("01jd0000090000000000000000")

// newSleepers makes the ledgers of pods that sleep, and kubelet's directories of
// those that are there.
func newSleepers(t *testing.T, there []string, all ...string) (state, kubelet string) {
	t.Helper()
	state, kubelet = t.TempDir(), t.TempDir()
	for _, uid := range there {
		if err := os.MkdirAll(filepath.Join(kubelet, "pods", uid), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, uid := range all {
		l, err := OpenLedger(state, uid)
		if err != nil {
			t.Fatal(err)
		}
		l.Begun = true
		if err := errors.Join(l.Write(), l.SetPaused(asleep)); err != nil {
			t.Fatal(err)
		}
	}
	return state, kubelet
}

// ledgerNames are the files of all ledgers.
func ledgerNames(t *testing.T, state string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(state, "pods"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestWhatAPodSleptInGoesWithIt(t *testing.T) {
	state, kubelet := newSleepers(t, []string{"new", "there"}, "there", "gone")
	// Another shim is about to write, one that died was.
	for _, name := range []string{"there.paused.new", "gone.paused.new"} {
		if err := os.WriteFile(filepath.Join(state, "pods", name), []byte("01j"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var discarded []artifacts.ID
	fails := errors.New("busy")
	discard := func(id artifacts.ID) error {
		if !slices.Contains(ledgerNames(t, state), "gone.paused") {
			t.Error("the note is gone before the snapshot that it names")
		}
		discarded = append(discarded, id)
		return fails
	}
	if err := ForgetOthers(state, kubelet, "new", discard); !errors.Is(err, fails) {
		t.Errorf("a snapshot that stays: %v", err)
	}
	if diff := cmp.Diff([]string{"gone.paused", "there", "there.paused", "there.paused.new"}, ledgerNames(t, state)); diff != "" {
		t.Errorf("with a snapshot that stays (-want +got):\n%s", diff)
	}
	fails = nil
	if err := ForgetOthers(state, kubelet, "new", discard); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"there", "there.paused", "there.paused.new"}, ledgerNames(t, state)); diff != "" {
		t.Errorf("ledgers (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]artifacts.ID{asleep, asleep}, discarded); diff != "" {
		t.Errorf("discarded (-want +got):\n%s", diff)
	}
}

// A directory that is not this node's kubelet's says of no pod that it is gone.
func TestNobodyIsForgottenForADirectoryThatIsNotKubelets(t *testing.T) {
	state, kubelet := newSleepers(t, []string{"somebody"}, "a")
	for _, dir := range []string{kubelet, filepath.Join(kubelet, "none")} {
		err := ForgetOthers(state, dir, "new", func(id artifacts.ID) error { t.Errorf("snapshot %s is discarded", id); return nil })
		if err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff([]string{"a", "a.paused"}, ledgerNames(t, state)); diff != "" {
		t.Errorf("ledgers (-want +got):\n%s", diff)
	}
}
