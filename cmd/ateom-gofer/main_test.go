// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func TestRunDispatches(t *testing.T) {
	for _, tc := range []struct {
		name  string
		args  []string
		usage bool   // the error is one of usage
		is    error  // or another, nil for success
		out   string // begins what it prints
	}{
		{"nothing", nil, true, nil, ""},
		{"unknown command", []string{"dance"}, true, nil, ""},
		{"job with arguments", []string{"job", "x"}, true, nil, ""},
		{"check without runsc", []string{"check"}, true, nil, ""},
		{"check with more", []string{"check", "--runsc", "x", "y"}, true, nil, ""},
		{"check with an unknown flag", []string{"check", "--fast"}, true, nil, ""},
		{"version", []string{"-v"}, false, nil, "ateom-gofer "},
		{"the seat, without descriptors", []string{"checkpointgofer"}, false, errdefs.ErrInvalidArgument, ""},
		{"the seat, as runsc writes it", []string{"--root=/x", "checkpointgofer", "-sock-fd=3"}, false, errdefs.ErrInvalidArgument, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			err := run(t.Context(), append([]string{"ateom-gofer"}, tc.args...), strings.NewReader(""), &out)
			if errors.Is(err, errUsage) != tc.usage {
				t.Errorf("error %v, want one of usage: %v", err, tc.usage)
			}
			if !tc.usage && !errors.Is(err, tc.is) {
				t.Errorf("error %v, want %v", err, tc.is)
			}
			if !strings.HasPrefix(out.String(), tc.out) || (tc.out == "" && out.Len() > 0) {
				t.Errorf("printed %q, want %q", out.String(), tc.out)
			}
		})
	}
}
