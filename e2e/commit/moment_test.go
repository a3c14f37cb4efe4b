// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/images"
)

// ledger counts without end, in the first bytes of a large file and then in the
// last bytes of another, each in a volume of its own. Whoever reads the one and
// then the other while it counts finds far more than one between them.
const ledger = `
import os
def make(name, size):
    fd = os.open(name, os.O_RDWR | os.O_CREAT)
    for at in range(0, size, 1 << 20):
        os.pwrite(fd, os.urandom(1 << 20), at)
    return fd
first, last, end = make("/first/big", 80 << 20), make("/last/big", 48 << 20), (48 << 20) - 8
n = 0
while True:
    n += 1
    os.pwrite(first, n.to_bytes(8, "little"), 0)
    os.pwrite(last, n.to_bytes(8, "little"), end)
    if n == 1:
        print("counting", flush=True)
`

const ledgerVolumes = `[{"name":"first","mountPath":"/first"},{"name":"last","mountPath":"/last"}]`

// All volumes of a snapshot are of one moment, whatever a program does to them.
func TestTheVolumesOfASnapshotAreOfOneMoment(t *testing.T) {
	n := harness.NewNode(t, harness.Config{})
	task := n.Run(t, harness.Container{
		Image: images.Debian, Args: []string{"python3", "-c", ledger}, Annotations: map[string]string{"ateom.dev/durable-dirs": ledgerVolumes},
	})
	task.AwaitLog(t, "counting")
	before := uint64(0)
	for i := range 4 {
		if i == 3 {
			n.Ctr(t, "tasks", "pause", task.ID)
		}
		id := commit(t, task, "--scope", "Data")
		woken := n.Run(t, harness.Container{Image: images.Debian, Args: []string{"sleep", "1000"},
			Annotations: map[string]string{"ateom.dev/durable-dirs": ledgerVolumes, "ateom.dev/restore-from": id, "ateom.dev/store": "dir"}})
		first, last := count(t, volumeDir(woken, "first"), 0), count(t, volumeDir(woken, "last"), 48<<20-8)
		if first != last && first != last+1 {
			t.Errorf("commit %d has %d in the volume that is written first and %d in the other: not of one moment", i, first, last)
		}
		if first <= before {
			t.Errorf("commit %d has counted to %d, the one before to %d", i, first, before)
		}
		before = first
		woken.Remove(t)
	}
	n.Ctr(t, "tasks", "resume", task.ID)
}

// count returns the number that ledger has written to a volume at off.
func count(t *testing.T, volume string, off int64) uint64 {
	t.Helper()
	f, err := os.Open(filepath.Join(volume, "big"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [8]byte
	if _, err := f.ReadAt(b[:], off); err != nil {
		t.Fatal(err)
	}
	return binary.LittleEndian.Uint64(b[:])
}
