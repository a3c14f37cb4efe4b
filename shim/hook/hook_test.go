// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package hook

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

func TestParseFillsInDefaults(t *testing.T) {
	const text = `[{"command":["sync"]},{"container":"db","command":["x","y"],"timeoutSeconds":60,"onFailure":"Ignore"}]`
	second := Hook{Container: "db", Command: []string{"x", "y"}, TimeoutSeconds: 60, OnFailure: Ignore}
	for moment, policy := range map[Moment]Policy{PreSave: Abort, PostSave: Ignore, PostRestore: Abort} {
		got, err := Parse(moment, text)
		if err != nil {
			t.Fatal(err)
		}
		want := []Hook{{Command: []string{"sync"}, TimeoutSeconds: 10, OnFailure: policy}, second}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", moment, diff)
		}
	}
	if got, err := Parse(PreSave, ""); got != nil || err != nil {
		t.Errorf("Parse of nothing = %v, %v", got, err)
	}
}

func TestParseNamesTheField(t *testing.T) {
	for text, want := range map[string]string{
		`sync`:               "ateom.dev/pre-save: ",
		`["sync"]`:           "ateom.dev/pre-save[0]: ",
		`{"command":["x"]}`:  "ateom.dev/pre-save: ",
		`[{}]`:               "ateom.dev/pre-save[0].command: missing",
		`[{"command":[""]}]`: "ateom.dev/pre-save[0].command: missing",
		`[{"command":["x"]},{"command":["x"],"shell":true}]`:   `ateom.dev/pre-save[1]: json: unknown field "shell"`,
		`[{"command":["x"],"timeoutSeconds":-1}]`:              "ateom.dev/pre-save[0].timeoutSeconds: want 0 (its default) to 600, got -1",
		`[{"command":["x"],"timeoutSeconds":601}]`:             "ateom.dev/pre-save[0].timeoutSeconds: ",
		`[{"command":["x"],"timeoutSeconds":"1"}]`:             "timeoutSeconds",
		`[{"command":["x"],"onFailure":"abort"}]`:              `ateom.dev/pre-save[0].onFailure: want Abort or Ignore, got "abort"`,
		`[{"command":"x"}]`:                                    "command",
		"[" + strings.Repeat(`{"command":["x"]},`, 64) + "{}]": "65 entries are more than 64",
	} {
		if _, err := Parse(PreSave, text); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%.60s) = %v, want %q", text, err, want)
		}
	}
	if _, err := Parse(PostSave, `[{"command":["x"],"onFailure":"Abort"}]`); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "nothing to abort") {
		t.Errorf("Parse = %v", err)
	}
}
