// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package exit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/urfave/cli/v2"

	"github.com/ateom/ateom/cmd/wire"
)

func TestCode(t *testing.T) {
	for _, tc := range []struct {
		err  error
		code int
		word string
	}{
		{errors.New("plain"), Failure, "unknown"},
		{Usagef("bad flag"), Usage, "invalid_argument"},
		{errdefs.ErrNotFound, NotFound, "not_found"},
		{os.ErrNotExist, NotFound, "not_found"},
		{fmt.Errorf("no socket: %w (%w)", os.ErrNotExist, errdefs.ErrUnavailable), Unavailable, "unavailable"},
		{errdefs.ErrFailedPrecondition, State, "failed_precondition"},
		{errdefs.ErrAlreadyExists, State, "already_exists"},
		{errdefs.ErrDataLoss, Corrupt, "data_loss"},
		{context.DeadlineExceeded, Unavailable, "deadline_exceeded"},
		{context.Canceled, Failure, "canceled"},
		{os.ErrPermission, Denied, "permission_denied"},
		{errdefs.ErrUnauthenticated, Denied, "unauthenticated"},
	} {
		for how, err := range map[string]error{
			"as it is": tc.err,
			"wrapped":  WithHint(fmt.Errorf("do it: %w", tc.err), "try again"),
		} {
			if got := Code(err); got != tc.code {
				t.Errorf("Code(%v) %s = %d, want %d", err, how, got, tc.code)
			}
			if got := Word(err); got != tc.word {
				t.Errorf("Word(%v) %s = %q, want %q", err, how, got, tc.word)
			}
		}
	}
	if Code(nil) != OK {
		t.Errorf("Code(nil) = %d, want %d", Code(nil), OK)
	}
}

// What a shim answers keeps its class on the way.
func TestCodeSurvivesTheWire(t *testing.T) {
	for err, want := range map[error]int{
		errdefs.ErrNotFound: NotFound, errdefs.ErrFailedPrecondition: State, errdefs.ErrDataLoss: Corrupt,
		errdefs.ErrUnavailable: Unavailable, errdefs.ErrInvalidArgument: Usage, context.DeadlineExceeded: Unavailable,
		errdefs.ErrPermissionDenied: Denied,
	} {
		if got := Code(errgrpc.ToNative(errgrpc.ToGRPC(err))); got != want {
			t.Errorf("exit code of %v over the wire = %d, want %d", err, got, want)
		}
	}
}

func TestReport(t *testing.T) {
	failure := WithHint(fmt.Errorf("pause %q: %w", "web", errdefs.ErrNotFound), "list <them>")
	text := "prog: pause \"web\": not found\nhint: list <them>\n"
	for name, tc := range map[string]struct {
		err    error
		code   int
		stderr string
		json   bool
	}{
		"nothing":              {nil, OK, "", false},
		"for a person":         {failure, NotFound, text, false},
		"for a program":        {asJSON{failure}, NotFound, text, true},
		"the program's status": {cli.Exit("", 7), 7, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if got := Report(tc.err, "prog", &stdout, &stderr); got != tc.code {
				t.Errorf("exit code %d, want %d", got, tc.code)
			}
			if stderr.String() != tc.stderr {
				t.Errorf("stderr %q, want %q", stderr.String(), tc.stderr)
			}
			if !tc.json {
				if stdout.Len() > 0 {
					t.Errorf("stdout %q, want nothing", stdout.String())
				}
				return
			}
			var doc wire.Document
			if err := json.Unmarshal(stdout.Bytes(), &doc); err != nil {
				t.Fatal(err)
			}
			want := wire.Failure{Code: "not_found", Message: `pause "web": not found`, Hint: "list <them>", Exit: NotFound}
			if doc.Error == nil || *doc.Error != want {
				t.Errorf("document %+v, want %+v", doc.Error, want)
			}
		})
	}
}
