// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"math/rand/v2"
	"os"
	"testing"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/sentry/memmap"
	"gvisor.dev/gvisor/pkg/sentry/state/stateio"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
)

// newMemory returns a memory file of size random bytes.
func newMemory(t testing.TB, size int) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("memory", unix.MFD_CLOEXEC)
	must(t, err)
	f := os.NewFile(uintptr(fd), "memory")
	t.Cleanup(func() { f.Close() })
	random := rand.NewChaCha8([32]byte{1})
	buf := make([]byte, 1<<20)
	for off := 0; off < size; off += len(buf) {
		buf = buf[:min(len(buf), size-off)]
		_, err := random.Read(buf)
		must(t, err)
		_, err = f.WriteAt(buf, int64(off))
		must(t, err)
	}
	return f
}

// stream writes the first size bytes of memory through w as runsc does.
func stream(t testing.TB, w *writer, memory *os.File, size int) {
	t.Helper()
	src, err := w.RegisterSourceFD(int32(memory.Fd()), uint64(size), nil)
	must(t, err)
	var cs []stateio.Completion
	free := make([]int, 0, saveParallel)
	for id := range saveParallel {
		free = append(free, id)
	}
	for off := uint64(0); off < uint64(size) || len(free) < saveParallel; {
		for len(free) > 0 && off < uint64(size) {
			fr := memmap.FileRange{Start: off, End: min(off+saveBytes, uint64(size))}
			w.AddWrite(free[0], src, fr, nil)
			free, off = free[1:], fr.End
		}
		cs, err = w.Wait(cs[:0], 1)
		must(t, err)
		for _, c := range cs {
			must(t, c.Err)
			free = append(free, c.ID)
		}
	}
	must(t, w.Finalize())
	must(t, w.Close())
}

// BenchmarkStream measures a save without a sandbox: copy, hash, write, sync.
func BenchmarkStream(b *testing.B) {
	const size = 512 << 20
	memory := newMemory(b, size)
	b.SetBytes(size)
	for b.Loop() {
		d, err := openDraft(privateDir(b), false)
		must(b, err)
		image, err := d.create("pages.img")
		must(b, err)
		stream(b, newWriter(artifacts.PartPages, image, d, newStatus("", job.Save)), memory, size)
		must(b, d.root.RemoveAll("image"))
		d.close()
	}
}
