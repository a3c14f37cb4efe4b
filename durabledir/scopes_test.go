// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"errors"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts"
)

// TestScopesTable is the table of docs/durabledir.md: every pair of annotations.
func TestScopesTable(t *testing.T) {
	const refused = artifacts.Scope("refused")
	for _, test := range []struct {
		onPause, onCommit string
		pause, commit     artifacts.Scope
	}{
		{"", "", artifacts.Full, artifacts.Full},
		{"", "Full", artifacts.Full, artifacts.Full},
		{"", "Data", artifacts.Full, artifacts.Data},
		{"", "None", artifacts.Full, artifacts.None},
		{"Full", "", artifacts.Full, artifacts.Full},
		{"Full", "Full", artifacts.Full, artifacts.Full},
		{"Full", "Data", artifacts.Full, artifacts.Data},
		{"Full", "None", artifacts.Full, artifacts.None},
		{"Data", "", artifacts.Data, artifacts.Data},
		{"Data", "Full", refused, refused},
		{"Data", "Data", artifacts.Data, artifacts.Data},
		{"Data", "None", artifacts.Data, artifacts.None},
		{"None", "", artifacts.None, artifacts.None},
		{"None", "Full", refused, refused},
		{"None", "Data", refused, refused},
		{"None", "None", artifacts.None, artifacts.None},
		{"full", "", refused, refused},
		{"", "DATA", refused, refused},
		{" Full", "", refused, refused},
	} {
		t.Run(test.onPause+","+test.onCommit, func(t *testing.T) {
			pause, commit, err := ParseScopes(test.onPause, test.onCommit)
			if test.pause == refused {
				if !errors.Is(err, errdefs.ErrInvalidArgument) {
					t.Errorf("error %v, want ErrInvalidArgument", err)
				}
				return
			}
			if err != nil || pause != test.pause || commit != test.commit {
				t.Errorf("got %s, %s, %v; want %s, %s", pause, commit, err, test.pause, test.commit)
			}
		})
	}
}

func TestParseOnResume(t *testing.T) {
	for s, want := range map[string]OnResume{"": ColdBoot, "ColdBoot": ColdBoot, "Golden": Golden} {
		if got, err := ParseOnResume(s); err != nil || got != want {
			t.Errorf("ParseOnResume(%q) = %s, %v; want %s", s, got, err, want)
		}
	}
	if _, err := ParseOnResume("golden"); !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Errorf("error %v, want ErrInvalidArgument", err)
	}
}
