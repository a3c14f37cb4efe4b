// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ateom/ateom/runsc"
	"github.com/ateom/ateom/shim/config"
)

func TestCheckpointIOFollowsTheProof(t *testing.T) {
	for _, tc := range []struct {
		name, gofer string
		asked, want config.CheckpointIO
		noted       bool
	}{
		{"they fit", "exit 0", config.Gofer, config.Gofer, true},
		{"they do not", "echo built from another >&2; exit 3", config.Gofer, config.Files, true},
		{"nobody knows", "echo no space left >&2; exit 1", config.Gofer, config.Gofer, false},
		{"nobody asks", "exit 3", config.Files, config.Files, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			dir := b.withGofer(t)
			script := []byte("#!/bin/sh\necho run >>" + dir + "/runs\n" + tc.gofer + "\n")
			if err := os.WriteFile(filepath.Join(dir, "ateom-gofer"), script, 0o700); err != nil {
				t.Fatal(err)
			}
			b.sb.cfg.CheckpointIO, b.sb.runsc.Starter = tc.asked, runsc.Plain{}
			for range 2 { // the second of a shim that knows nothing but the note
				b.sb.fit.how = ""
				if got := b.sb.checkpointIO(t.Context()); got != tc.want {
					t.Errorf("checkpointIO = %q, want %q", got, tc.want)
				}
			}
			runs, _ := os.ReadFile(filepath.Join(dir, "runs"))
			if tc.noted && string(runs) != "run\n" {
				t.Errorf("the gofer ran as often as %q says; the first outcome was to be noted", runs)
			}
		})
	}
}

func TestProofIsRepeatedForOtherPrograms(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "program")
	notes := map[string]bool{}
	for _, text := range []string{"a", "ab"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		note, err := fitNote(dir, path)
		if err != nil {
			t.Fatal(err)
		}
		notes[note] = true
	}
	if len(notes) != 2 {
		t.Error("another program has the note of the first")
	}
	if _, err := fitNote(dir, filepath.Join(dir, "none")); err == nil {
		t.Error("a program that is not there has a note")
	}
}
