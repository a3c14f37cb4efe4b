// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// directBytes is the shortest run that is written around the page cache.
	// Each such write waits for the disk; short ones are better collected.
	directBytes = 64 << 10
	// growStep is how far ahead of its content an image is made longer: writes
	// inside of a file may run side by side, writes at its end may not.
	growStep = 64 << 20
)

// An imageFile takes the bytes of a part. Long runs go around the page cache:
// what is saved is memory about to be given up, and to have the kernel find as
// much memory again for a second copy costs more than to write it, above all
// in a virtual machine, whose free memory may not be there yet.
type imageFile struct {
	*os.File
	direct *os.File // the same file; nil if it cannot be written directly
	size   int64
}

// newImageFile makes f, which it owns, a file that is written directly where that
// can be done, or not.
func newImageFile(f *os.File, direct bool) *imageFile {
	i := &imageFile{File: f}
	if direct {
		i.direct = openDirect(f, os.O_WRONLY)
	}
	return i
}

// openDirect opens f once more, around the page cache. It returns nil where that
// cannot be done: not every file system can.
func openDirect(f *os.File, access int) *os.File {
	direct, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), access|unix.O_DIRECT, 0)
	if err != nil {
		return nil
	}
	return direct
}

// grow makes room for content up to end.
func (i *imageFile) grow(end int64) error {
	if i.direct == nil || end <= i.size {
		return nil
	}
	i.size = (end + growStep - 1) / growStep * growStep
	if err := i.Truncate(i.size); err != nil {
		return fmt.Errorf("make %s longer: %w", i.Name(), err)
	}
	return nil
}

// write puts p, which begins at a multiple of pageSize in memory, at off.
func (i *imageFile) write(p []byte, off int64) error {
	if i.direct != nil && len(p) >= directBytes && len(p)%pageSize == 0 && off%pageSize == 0 {
		_, err := i.direct.WriteAt(p, off)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EINVAL) { // this disk wants other alignments
			return fmt.Errorf("write %s: %w", i.Name(), err)
		}
	}
	if _, err := i.WriteAt(p, off); err != nil {
		return fmt.Errorf("write %s: %w", i.Name(), err)
	}
	return nil
}

func (i *imageFile) Close() error {
	if i.direct != nil {
		i.direct.Close()
	}
	return i.File.Close()
}

// aligned returns an empty slice with room for n bytes that begins at a
// multiple of pageSize.
func aligned(n int) []byte {
	b := make([]byte, n+pageSize)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (pageSize - 1)
	return b[skip : skip : skip+n]
}
