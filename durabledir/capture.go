// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"context"
	"fmt"
	"io"
	"runtime"

	"github.com/containerd/errdefs"
)

var (
	// ErrChanged says that a volume was written to while it was captured: the
	// sandbox was not frozen.
	ErrChanged = fmt.Errorf("the volume changed while it was captured; freeze the sandbox first: %w", errdefs.ErrAborted)
	// ErrMount says that something is mounted inside a volume.
	ErrMount = fmt.Errorf("something is mounted inside the volume; unmount it, or make it a volume of its own: %w", errdefs.ErrFailedPrecondition)
)

// CaptureOptions shape a capture. The zero value is what most callers want.
type CaptureOptions struct {
	// Devices says that device nodes are kept; otherwise they are skipped and
	// listed.
	Devices bool
	// Readers is how many files are read at a time; 0 means as many as suit
	// the machine. It does not change the bytes.
	Readers int
	// SizeLimit, if it is not 0, is how many bytes of content the volume was
	// declared to hold. A volume with more is refused with ErrSizeLimit.
	SizeLimit int64
}

func (o *CaptureOptions) readers() int {
	if o.Readers > 0 {
		return o.Readers
	}
	// Reading waits for the disk more than it computes.
	return min(max(4, 2*runtime.GOMAXPROCS(0)), 16)
}

// A Report says what a capture or a restore has done.
type Report struct {
	// Files counts the archive's entries, directories and links included.
	Files int64
	// Bytes counts their content without holes.
	Bytes int64
	// Skipped lists what was left out on purpose, as in `"run/db.sock": socket`.
	Skipped []string
	// Warnings are sentences about what could not be kept exactly.
	Warnings []string
}

// maxListed bounds each list of a Report: a program in the sandbox decides how
// long it would be.
const maxListed = 100

// list adds a sentence to one of a Report's lists.
func list(to *[]string, format string, args ...any) {
	switch n := len(*to); {
	case n < maxListed:
		*to = append(*to, fmt.Sprintf(format, args...))
	case n == maxListed:
		*to = append(*to, "… and more")
	}
}

// Capture writes the volume dir to w as an archive of package paxtar. Nothing
// may write to the volume meanwhile. The same tree gives the same bytes on
// every machine: names are sorted as bytes, owners are numbers, and neither
// the clock nor the umask nor the number of readers matters.
//
// It keeps content, holes, hard links, symlinks, FIFOs, permission bits,
// owners, modification times in nanoseconds and all extended attributes that
// the process may read, ACLs and file capabilities among them. It skips and
// lists sockets and, without CaptureOptions.Devices, device nodes. Whatever
// else it meets is an error: ErrChanged, ErrMount, ErrSizeLimit, or the kernel's own. Names
// are resolved beneath dir without symlinks, so a program that still runs may
// spoil a capture but not make it read other files.
func Capture(ctx context.Context, dir string, w io.Writer, opts CaptureOptions) (Report, error) {
	r, err := openRoot(dir)
	if err != nil {
		return Report{}, err
	}
	defer r.close()
	top, err := scan(ctx, r, opts.readers(), false)
	if err != nil {
		return Report{}, err
	}
	entries, report := order(top, opts)
	if err := checkSize(entries, opts.SizeLimit); err != nil {
		return Report{}, err
	}
	e := emitter{root: r, entries: entries, readers: opts.readers(), out: w, report: &report}
	if err := e.run(ctx); err != nil {
		return Report{}, err
	}
	return report, nil
}
