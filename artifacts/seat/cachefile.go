// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts"
)

// A cacheFile keeps the chunks of one part that have been fetched, each at its
// place in the part, for the next restore of the same bytes on this node. It
// holds nothing that could be wrong: what is read from it is compared with the
// recipe, and a hole is a chunk that has not been fetched. So any number of
// gofers may share it, and it may be cut, damaged or deleted at any time.
//
// A nil cacheFile is empty and stays so.
type cacheFile struct {
	f *os.File
}

// openCache opens the file of the part with recipe r in dir.
func openCache(dir string, r *artifacts.Recipe) (*cacheFile, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, r.Root().Hex()+".part"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	return &cacheFile{f: f}, nil
}

// read fills p with chunk c, if it is there.
func (c *cacheFile) read(chunk artifacts.Chunk, p []byte) bool {
	if c == nil || !c.has(chunk) {
		return false
	}
	if _, err := c.f.ReadAt(p, chunk.Offset); err != nil {
		return false
	}
	return checkChunk(chunk, p) == nil
}

// has reports whether there are bytes where chunk would be; read finds out
// whether they are the right ones.
func (c *cacheFile) has(chunk artifacts.Chunk) bool {
	if c == nil {
		return false
	}
	data, err := unix.Seek(int(c.f.Fd()), chunk.Offset, unix.SEEK_DATA)
	return err == nil && data < chunk.Offset+int64(chunk.Length)
}

// write keeps chunk, if there is room: a cache that cannot be written costs
// time, nothing else.
func (c *cacheFile) write(chunk artifacts.Chunk, p []byte) {
	if c != nil {
		_, _ = c.f.WriteAt(p, chunk.Offset)
	}
}

func (c *cacheFile) close() error {
	if c == nil {
		return nil
	}
	return c.f.Close()
}
