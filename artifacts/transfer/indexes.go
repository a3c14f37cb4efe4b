// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/durabledir"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// Indexes are the directory that keeps, from one commit of a sandbox to the
// next, what the last one knew of its volumes. Losing it costs time and nothing
// else; "" keeps nothing.
//
// A file of it is one zstd frame of: the device and inode of the volume's
// directory (8 bytes each, little endian), the root of the recipe of its
// archive (32), and the durabledir.Index of both.
type indexes string

// maxIndex bounds an index in memory, in bytes: some millions of files.
const maxIndex = 1 << 30

func (x indexes) path(volume string) string { return filepath.Join(string(x), volume+".index") }

// read returns the index of a volume if it is that of the archive which has
// the recipe, and nil otherwise.
func (x indexes) read(v job.Volume, recipe *artifacts.Recipe) *durabledir.Index {
	if x == "" || recipe == nil {
		return nil
	}
	packed, err := os.ReadFile(x.path(v.Name))
	if err != nil {
		return nil
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxIndex))
	if err != nil {
		return nil
	}
	defer decoder.Close()
	data, err := decoder.DecodeAll(packed, nil)
	if err != nil {
		return nil
	}
	head, err := indexHead(v, recipe.Root())
	if err != nil || !bytes.HasPrefix(data, head) {
		return nil
	}
	index := new(durabledir.Index)
	if index.UnmarshalBinary(data[len(head):]) != nil {
		return nil
	}
	return index
}

// write keeps the index of a volume that was sent as chunks, and removes the
// one of a volume that was not.
func (x indexes) write(v *volume) error {
	index := v.pass.Index()
	if x == "" || index == nil {
		return nil
	}
	if v.root.IsZero() {
		_ = os.Remove(x.path(v.Name)) // most often there is none
		return nil
	}
	data, err := indexHead(v.Volume, v.root)
	if err != nil {
		return err
	}
	body, err := index.MarshalBinary()
	if err != nil {
		return err
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return err
	}
	defer encoder.Close()
	packed := encoder.EncodeAll(append(data, body...), nil)
	if err := os.MkdirAll(string(x), 0o700); err != nil {
		return err
	}
	// Not synced: what a power cut makes of it is refused by its checksums.
	draft := x.path(v.Name) + ".new"
	if err := os.WriteFile(draft, packed, 0o600); err != nil {
		return err
	}
	return os.Rename(draft, x.path(v.Name))
}

// indexHead is what an index begins with.
func indexHead(v job.Volume, root artifacts.Digest) ([]byte, error) {
	var st unix.Stat_t
	if err := unix.Lstat(v.Path, &st); err != nil {
		return nil, fmt.Errorf("index volume %q: %w", v.Name, err)
	}
	head := binary.LittleEndian.AppendUint64(nil, st.Dev)
	head = binary.LittleEndian.AppendUint64(head, st.Ino)
	return append(head, root[:]...), nil
}
