// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxid

import "testing"

func TestGroup(t *testing.T) {
	tests := []struct {
		name        string
		annotations map[string]string
		want        string
	}{
		{"alone", nil, "c1"},
		{"other annotations", map[string]string{"a": "b", CRIContainerType: TypeSandbox}, "c1"},
		{"of a pod", map[string]string{CRISandboxID: "pod"}, "pod"},
		{"of a group", map[string]string{GroupAnnotation: "group"}, "group"},
		{"of both", map[string]string{GroupAnnotation: "group", CRISandboxID: "pod"}, "group"},
		{"empty values", map[string]string{GroupAnnotation: "", CRISandboxID: ""}, "c1"},
	}
	for _, tt := range tests {
		if got := Group("c1", tt.annotations); got != tt.want {
			t.Errorf("%s: Group = %q, want %q", tt.name, got, tt.want)
		}
	}
}
