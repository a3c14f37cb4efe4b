// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sort"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
)

// A known is the content of a job.KnownFile, mapped: there is one digest for
// every chunk of a memory of any size. A nil one is empty.
type known []byte

const digestBytes = len(artifacts.Digest{})

// openKnown maps the file of that name in the draft, if there is one.
func openKnown(draft *os.Root) (known, error) {
	f, err := draft.Open(job.KnownFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open list of known chunks: %w", err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open list of known chunks: %w", err)
	}
	size := fi.Size()
	if !fi.Mode().IsRegular() || size == 0 || size%int64(digestBytes) != 0 {
		return nil, fmt.Errorf("open list of known chunks: %d bytes in a file of mode %v, want a multiple of %d: %w",
			size, fi.Mode(), digestBytes, errdefs.ErrInvalidArgument)
	}
	k, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("map list of known chunks: %w", err)
	}
	return k, nil
}

// has reports whether the chunk d is in the list.
func (k known) has(d artifacts.Digest) bool {
	at := func(i int) []byte { return k[i*digestBytes : (i+1)*digestBytes] }
	_, found := sort.Find(len(k)/digestBytes, func(i int) int { return bytes.Compare(d[:], at(i)) })
	return found
}

func (k known) close() {
	if k != nil {
		_ = unix.Munmap(k)
	}
}
