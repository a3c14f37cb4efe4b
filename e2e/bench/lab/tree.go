// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// TreeDigest returns a SHA-256 over the names, modes, sizes and contents of
// everything below dir. Blocks of zeros count by their absence, so that a hole
// and a file full of zeros are the same and neither takes long.
func TreeDigest(dir string) (string, error) {
	sum := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			// A directory's size is its file system's business.
			fmt.Fprintf(sum, "%q %v\n", rel, info.Mode())
			return nil
		}
		fmt.Fprintf(sum, "%q %v %d\n", rel, info.Mode(), info.Size())
		return sumFile(sum, path)
	})
	return hex.EncodeToString(sum.Sum(nil)), err
}

// zeros is a block without content.
var zeros [64 << 10]byte

// sumFile adds the blocks of a file that are not zeros, with their places.
func sumFile(sum hash.Hash, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, len(zeros))
	for at := uint64(0); ; at += uint64(len(block)) {
		n, err := io.ReadFull(f, block)
		if n > 0 && !bytes.Equal(block[:n], zeros[:n]) {
			sum.Write(binary.LittleEndian.AppendUint64(nil, at))
			sum.Write(block[:n])
		}
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return fmt.Errorf("read %s: %w", path, err)
		}
	}
}
