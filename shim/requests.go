// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf8"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/containerd/v2/pkg/identifiers"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
)

// Bounds of what a request may say. Messages of ttrpc have 4 MiB at most.
const (
	maxSignal  = 64        // _NSIG of Linux
	maxWindow  = 1<<16 - 1 // struct winsize has 16 bits for each
	maxStore   = 2048      // a URL
	maxImages  = 1024      // containers in a sandbox
	maxDigests = 1024      // bytes of one entry
)

// checkRequest refuses what no client that means well sends, before anything
// looks at it: names that could be paths, numbers that would be cut off. Its error names
// the field and is errdefs.ErrInvalidArgument.
func checkRequest(request any) error {
	if r, ok := request.(interface{ GetID() string }); ok {
		if err := checkName("id", r.GetID()); err != nil {
			return err
		}
	}
	if r, ok := request.(interface{ GetId() string }); ok {
		if err := checkName("id", r.GetId()); err != nil {
			return err
		}
	}
	if r, ok := request.(interface{ GetExecID() string }); ok && r.GetExecID() != "" {
		if err := checkName("exec_id", r.GetExecID()); err != nil {
			return err
		}
	}
	if r, ok := request.(interface {
		GetStdin() string
		GetStdout() string
		GetStderr() string
	}); ok {
		for field, value := range map[string]string{"stdin": r.GetStdin(), "stdout": r.GetStdout(), "stderr": r.GetStderr()} {
			if len(value) > unix.PathMax || strings.ContainsRune(value, 0) {
				return invalid(field, "want a path or URL of at most %d bytes", unix.PathMax)
			}
		}
	}
	switch r := request.(type) {
	case *taskapi.CreateTaskRequest:
		if !filepath.IsAbs(r.GetBundle()) || len(r.GetBundle()) > unix.PathMax || strings.ContainsRune(r.GetBundle(), 0) {
			return invalid("bundle", "want an absolute path, got %.100q", r.GetBundle())
		}
	case *taskapi.KillRequest:
		if r.GetSignal() > maxSignal {
			return invalid("signal", "want 0 to %d, got %d", maxSignal, r.GetSignal())
		}
	case *taskapi.ResizePtyRequest:
		if r.GetWidth() > maxWindow || r.GetHeight() > maxWindow {
			return invalid("width and height", "want at most %d, got %d and %d", maxWindow, r.GetWidth(), r.GetHeight())
		}
	case *ateomv1.CommitRequest:
		return checkCommit(r)
	}
	return nil
}

func checkCommit(r *ateomv1.CommitRequest) error {
	if len(r.GetStore()) > maxStore || strings.ContainsAny(r.GetStore(), "\x00\r\n") {
		return invalid("store", "want a name or URL of at most %d bytes", maxStore)
	}
	if len(r.GetImages()) > maxImages {
		return invalid("images", "%d are more than %d", len(r.GetImages()), maxImages)
	}
	for id, digest := range r.GetImages() {
		if len(id)+len(digest) > maxDigests || !utf8.ValidString(digest) {
			return invalid("images", "the digest of %.100q is too long", id)
		}
	}
	return nil
}

// checkName refuses what containerd would not take for an id.
func checkName(field, name string) error {
	if err := identifiers.Validate(name); err != nil {
		return invalid(field, "%.200s", err)
	}
	return nil
}

func invalid(field, format string, args ...any) error {
	return fmt.Errorf("%s: %s: %w", field, fmt.Sprintf(format, args...), errdefs.ErrInvalidArgument)
}
