// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// writer makes the content of a volume: half random, half repeating, and never
// the same twice for two seeds.
type writer struct {
	rng   *rand.ChaCha8
	block []byte
}

func newWriter(seed int) *writer {
	w := &writer{rng: rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)}), block: make([]byte, 8<<10)}
	for i := len(w.block) / 2; i < len(w.block); {
		i += copy(w.block[i:], "the same words again and again; ")
	}
	return w
}

// file writes size bytes to path, whatever was there.
func (w *writer) file(path string, size int) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	return w.write(f, size)
}

func (w *writer) write(to io.Writer, size int) error {
	for size > 0 {
		w.rng.Read(w.block[:len(w.block)/2])
		n := min(size, len(w.block))
		if _, err := to.Write(w.block[:n]); err != nil {
			return err
		}
		size -= n
	}
	return nil
}

// tree writes count files of size bytes below dir, a hundred to a directory.
func (w *writer) tree(dir string, count, size int) error {
	for i := range count {
		sub := filepath.Join(dir, fmt.Sprintf("dir-%03d", i/100))
		if i%100 == 0 {
			if err := os.MkdirAll(sub, 0o755); err != nil {
				return err
			}
		}
		if err := w.file(filepath.Join(sub, fmt.Sprintf("file-%05d", i)), size); err != nil {
			return err
		}
	}
	return nil
}

// sparse writes a file of size bytes that has data in it in pieces of 1 MiB,
// evenly spread, and holes between.
func (w *writer) sparse(path string, size, data int64) (err error) {
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	if err := f.Truncate(size); err != nil {
		return err
	}
	const piece = 1 << 20
	pieces := data / piece
	for i := range pieces {
		if _, err := f.Seek(i*(size/pieces), io.SeekStart); err != nil {
			return err
		}
		if err := w.write(f, piece); err != nil {
			return err
		}
	}
	return nil
}
