// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/durabledir/treetest"
)

// What a person reads says what was refused, where, and what to do.
func TestMessages(t *testing.T) {
	dir := t.TempDir()
	restore := func(archive []byte, opts RestoreOptions) error {
		_, err := Restore(context.Background(), bytes.NewReader(archive), dir, opts)
		return err
	}
	full := t.TempDir()
	treetest.Write(t, filepath.Join(full, "kept"), "")
	_, notEmpty := Restore(context.Background(), bytes.NewReader(nil), full, RestoreOptions{})
	mounted := t.TempDir()
	must(t, unix.Mount("none", subdir(t, mounted, "inside"), "tmpfs", 0, ""))
	defer unix.Unmount(filepath.Join(mounted, "inside"), unix.MNT_DETACH)
	_, mount := Capture(context.Background(), mounted, &bytes.Buffer{}, CaptureOptions{})
	_, missing := Capture(context.Background(), "/no/such/volume", &bytes.Buffer{}, CaptureOptions{})
	must(t, os.Mkdir(filepath.Join(full, "volume"), 0o700))
	treetest.Write(t, filepath.Join(full, "volume/data"), "")
	for want, got := range map[string]error{
		`read archive at byte 512, entry "f": sizes disagree: a FIFO with 1 bytes of content`: restore(
			tarOf(dirEntry("d"), raw{flag: '6', name: "f", body: "x"}), RestoreOptions{}),
		`read archive at byte 0: illegal name: "../x" has the element ".."`:                                                      restore(tarOf(fileEntry("../x", "")), RestoreOptions{}),
		`read archive at byte 512: truncated archive`:                                                                            restore(noEnd(dirEntry("d")), RestoreOptions{}),
		`restore "f": the name is taken by an earlier entry`:                                                                     restore(tarOf(dirEntry("f"), fileEntry("f", "")), RestoreOptions{}),
		`restore "f": more than the limit: more than 2 bytes`:                                                                    restore(tarOf(fileEntry("f", "xyz")), RestoreOptions{MaxBytes: 2}),
		`restore "s/f": no earlier entry makes its directory: not a directory`:                                                   restore(tarOf(symlinkEntry("s", "."), fileEntry("s/f", "")), RestoreOptions{}),
		`restore "` + full + `": the directory is not empty: it holds "kept"; restore into a new one`:                            notEmpty,
		`scan "inside": something is mounted inside the volume; unmount it, or make it a volume of its own: failed precondition`: mount,
		`open volume /no/such/volume: no such file or directory`:                                                                 missing,
	} {
		if got == nil || got.Error() != want {
			t.Errorf("message %q, want %q", got, want)
		}
	}
}

// FuzzIndex reads damaged indexes behind a right checksum.
func FuzzIndex(f *testing.F) {
	index := newIndex()
	index.add(&entry{node: &node{parent: &node{}, name: "file", stat: stat{ino: 7, size: 5}}}, placed{512, 1024, 5})
	index.add(&entry{node: &node{}}, placed{0, 512, 0})
	data, err := index.MarshalBinary()
	must(f, err)
	f.Add(data[len(indexMagic) : len(data)-crc32.Size])
	f.Fuzz(func(t *testing.T, body []byte) {
		data := append([]byte(indexMagic), body...)
		data = binary.LittleEndian.AppendUint32(data, crc32.Checksum(data, castagnoli))
		var first, second Index
		if first.UnmarshalBinary(data) != nil {
			return
		}
		again, err := first.MarshalBinary()
		must(t, err)
		must(t, second.UnmarshalBinary(again))
		if len(first.entries) != len(second.entries) {
			t.Errorf("%d entries, written and read again %d", len(first.entries), len(second.entries))
		}
	})
}
