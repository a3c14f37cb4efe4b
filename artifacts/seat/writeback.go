// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"os"

	"golang.org/x/sys/unix"
)

const (
	// writebackStep is how much of an image is sent to the disk at a time.
	writebackStep = 8 << 20
	// writebackLag is how far that stays behind what has been queued, so that
	// most of a step has been written to the page cache when its turn comes.
	writebackLag = (saveParallel + saveWorkers) * batchBytes
)

// A writeback has the disk work while pages still arrive: the sync at the end
// of a save, which a pause waits for, then finds little to do.
type writeback struct {
	file  *os.File
	steps chan int64
	next  int64
	done  chan struct{}
}

func newWriteback(f *os.File) *writeback {
	w := &writeback{file: f, steps: make(chan int64, 1), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for off := range w.steps {
			// A hint: what it does not start, the sync will.
			_ = unix.SyncFileRange(int(f.Fd()), off, writebackStep, unix.SYNC_FILE_RANGE_WRITE)
		}
	}()
	return w
}

// reached notes that the image has been queued up to end. It never blocks: a
// disk that cannot follow is left to the sync.
func (w *writeback) reached(end int64) {
	if w == nil {
		return
	}
	for w.next+writebackStep+writebackLag <= end {
		select {
		case w.steps <- w.next:
			w.next += writebackStep
		default:
			return
		}
	}
}

// stop ends it.
func (w *writeback) stop() {
	if w == nil {
		return
	}
	close(w.steps)
	<-w.done
}
