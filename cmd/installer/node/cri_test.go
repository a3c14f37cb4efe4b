// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// containerd serves, and Kubernetes would not find the runtime.
func TestAnInstallThatContainerdDoesNotTakeGoesBack(t *testing.T) {
	for want, runtimes := range map[string]map[string]Runtime{
		`the runtimes ["kata" "runc"] and not "ateom"`: {"runc": {}, "kata": {}},
		"Path:/opt/other/shim":                         {handler: {runtimeType, "/opt/other/shim"}},
		"Type:io.containerd.runc.v2":                   {handler: {"io.containerd.runc.v2", "/opt/ateom/bin/" + shimName}},
	} {
		t.Run(want, func(t *testing.T) {
			o, restarts := newNode(t, config3)
			before := tree(t, o.Root)
			cri := o.CRI
			o.CRI = func(context.Context) (map[string]Runtime, error) { return runtimes, nil }
			err := Install(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), "the node is as it was") || !strings.Contains(err.Error(), want) {
				t.Errorf("Install = %v, want %q", err, want)
			}
			if diff := cmp.Diff(before, tree(t, o.Root)); diff != "" || *restarts != 2 {
				t.Errorf("containerd was restarted %d times; the node (-before +after):\n%s", *restarts, diff)
			}
			// So is one that was taken once, and is not any more.
			o.CRI = cri
			if err := Install(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			o.CRI = func(context.Context) (map[string]Runtime, error) { return runtimes, nil }
			if err := Install(t.Context(), o); err == nil || !strings.Contains(err.Error(), "an earlier installation is in place") {
				t.Errorf("Install = %v", err)
			}
		})
	}
}
