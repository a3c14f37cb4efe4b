// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/sentry/memmap"
	"gvisor.dev/gvisor/pkg/sentry/state/stateio"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
)

const (
	// saveBytes is the largest write asked of runsc. On a busy machine each turn of
	// the protocol waits for a turn of the scheduler, too.
	saveBytes = 8 << 20
	// saveParallel writes may be under way. No buffer hangs on this number:
	// a worker copies one batch at a time.
	saveParallel = 16
	// saveWorkers store batches of pages. Most of them wait for the disk.
	saveWorkers = 8
	// batchBytes bounds a batch, which is one write to the disk where nothing of it
	// is zero: a megabyte, and what was carried over to it.
	batchBytes = 1<<20 + chunkSize
)

// A writer takes one file of a checkpoint. It implements stateio.AsyncWriter.
type writer struct {
	part   string
	image  *imageFile
	draft  *draft
	status *status

	clients clientFiles
	cut     cutter
	early   *writeback // nil if nobody waits for the disk
	tasks   chan saveTask
	done    chan stateio.Completion
	workers sync.WaitGroup

	mu     sync.Mutex
	chunks []savedChunk
	failed error

	stopped bool
}

// A saveTask is a batch of pieces, each beginning where the one before it ends,
// and the write that waits for it; op is nil if that write has already been
// answered.
type saveTask struct {
	batch []*piece
	op    *saveOp
}

// A saveOp is one write of runsc's, complete when all its batches are.
type saveOp struct {
	id      int
	n       uint64
	pending atomic.Int64
}

var _ stateio.AsyncWriter = (*writer)(nil)

// newWriter starts a writer of part into image, which it owns.
func newWriter(part string, image *os.File, d *draft, st *status) *writer {
	pages := part == artifacts.PartPages
	w := &writer{
		part:   part,
		image:  newImageFile(image, pages),
		draft:  d,
		status: st,
		cut:    cutter{pages: pages},
		tasks:  make(chan saveTask, saveParallel),
		done:   make(chan stateio.Completion, saveParallel),
	}
	if !d.scratch {
		w.early = newWriteback(image)
	}
	workers := 1
	if pages {
		workers = saveWorkers
	}
	for range workers {
		w.workers.Go(w.work)
	}
	return w
}

func (w *writer) MaxWriteBytes() uint64      { return saveBytes }
func (w *writer) MaxRanges() int             { return saveBytes / pageSize }
func (w *writer) MaxParallel() int           { return saveParallel }
func (w *writer) NeedRegisterSourceFD() bool { return true }

// Reserve notes the size to come. Nothing is allocated ahead: zero pages stay holes.
func (w *writer) Reserve(n uint64) { w.status.total(w.part, int64(n)) }

// RegisterSourceFD implements stateio.AsyncWriter.
func (w *writer) RegisterSourceFD(fd int32, _ uint64, _ []stateio.ClientFileRangeSetting) (stateio.SourceFile, error) {
	return w.clients.register(fd)
}

// AddWrite implements stateio.AsyncWriter.
func (w *writer) AddWrite(id int, src stateio.SourceFile, fr memmap.FileRange, _ []byte) {
	w.add(id, src, []memmap.FileRange{fr})
}

// AddWritev implements stateio.AsyncWriter.
func (w *writer) AddWritev(id int, _ uint64, src stateio.SourceFile, frs []memmap.FileRange, _ []unix.Iovec) {
	w.add(id, src, frs)
}

func (w *writer) add(id int, src stateio.SourceFile, frs []memmap.FileRange) {
	file := src.(*clientFile)
	op := &saveOp{id: id}
	op.pending.Store(1) // held by this function, so that no worker completes op early
	var batch []*piece
	room := batchBytes
	for _, fr := range frs {
		op.n += fr.Length()
		w.cut.add(file, fr, func(p *piece) {
			if p.n > room {
				w.submit(batch, op)
				batch, room = nil, batchBytes
			}
			batch = append(batch, p)
			room -= p.n
		})
	}
	w.fail(w.image.grow(w.cut.off))
	w.submit(batch, op)
	w.status.asked(int64(op.n), false)
	w.fail(w.cut.carry())
	w.early.reached(w.cut.off)
	w.finish(op)
}

// submit queues a batch on behalf of op.
func (w *writer) submit(batch []*piece, op *saveOp) {
	if len(batch) == 0 {
		return
	}
	if op != nil {
		op.pending.Add(1)
	}
	w.tasks <- saveTask{batch: batch, op: op}
}

// finish drops one hold on op and reports its completion with the last.
func (w *writer) finish(op *saveOp) {
	if op == nil || op.pending.Add(-1) > 0 {
		return
	}
	c := stateio.Completion{ID: op.id, N: op.n}
	if err := w.err(); err != nil {
		c = stateio.Completion{ID: op.id, Err: err}
	}
	w.done <- c
}

// work stores batches until the writer is closed. Once one has failed the rest
// are dropped.
func (w *writer) work() {
	var b []byte
	for t := range w.tasks {
		if b == nil {
			b = aligned(batchBytes)
		}
		if w.err() == nil {
			w.fail(w.store(t.batch, b))
		}
		for _, p := range t.batch {
			if p.carry != nil {
				p.carry.free()
			}
		}
		w.finish(t.op)
	}
}

// store hashes or sums a batch and writes what of it is neither zero nor known. It fills b.
func (w *writer) store(batch []*piece, b []byte) error {
	known := 0
	for _, p := range batch {
		start := len(b)
		var err error
		if b, err = p.appendTo(b); err != nil {
			return err
		}
		chunk := b[start:]
		rec := savedChunk{length: uint32(len(chunk))}
		switch {
		case w.draft.summed():
			rec.crc = job.SumOf(chunk).CRC
		case !zero(chunk):
			rec.digest = digestOf(chunk)
			if w.draft.known.has(rec.digest) {
				clear(chunk) // a hole in the image
				known += len(chunk)
			}
		}
		w.put(p.index, rec)
	}
	data := 0
	for start, end := range dataRuns(b) {
		if err := w.image.write(b[start:end], batch[0].off+int64(start)); err != nil {
			return err
		}
		data += end - start
	}
	w.status.moved(int64(data), int64(len(b)-data-known))
	return nil
}

// A savedChunk is a chunk of the recipe, of which a zero digest means zeros, or,
// in a draft that is summed, of the sums.
type savedChunk struct {
	length uint32
	crc    uint32
	digest artifacts.Digest
}

// put records a chunk of the recipe.
func (w *writer) put(index int, c savedChunk) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.chunks) <= index {
		w.chunks = append(w.chunks, savedChunk{})
	}
	w.chunks[index] = c
}

// fail records the first error. Everything after it fails too.
func (w *writer) fail(err error) {
	if err == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == nil {
		w.failed = err
		w.status.fail(fmt.Errorf("save %s: %w", w.part, err))
	}
}

func (w *writer) err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

// Wait implements stateio.AsyncWriter.
func (w *writer) Wait(cs []stateio.Completion, min int) ([]stateio.Completion, error) {
	return stateio.CompletionChanWait(w.done, cs, min)
}

// Finalize ends the stream: after it the image file, its recipe and the part's
// description are on disk.
func (w *writer) Finalize() error {
	w.cut.flush(func(p *piece) { w.submit([]*piece{p}, nil) })
	w.stop()
	err := w.err()
	if err == nil {
		err = w.seal()
		w.fail(err)
	}
	if err == nil {
		w.status.complete(w.part)
	}
	return err
}

// seal hands the finished image to the draft.
func (w *writer) seal() error {
	if w.draft.summed() {
		sums := make([]job.Sum, len(w.chunks))
		for i, c := range w.chunks {
			sums[i] = job.Sum{Length: c.length, CRC: c.crc}
		}
		return w.draft.sealSums(w.part, w.image.File, sums)
	}
	recipe := new(artifacts.Recipe)
	for _, c := range w.chunks {
		if err := recipe.Append(c.length, c.digest); err != nil {
			return fmt.Errorf("make recipe of part %s: %w", w.part, err)
		}
	}
	return w.draft.seal(w.part, w.image.File, recipe)
}

// stop ends the workers when they have stored what is queued.
func (w *writer) stop() {
	if !w.stopped {
		w.stopped = true
		close(w.tasks)
		w.early.stop()
	}
	w.workers.Wait()
}

// errAbandoned says that runsc closed a file before it was whole.
var errAbandoned = errors.New("closed before it was complete")

// Close implements stateio.AsyncWriter. What has not been finalized is
// abandoned: the draft has no description of the part and cannot be published.
func (w *writer) Close() error {
	if !w.stopped {
		w.fail(errAbandoned)
	}
	w.stop()
	w.clients.close()
	if err := w.image.Close(); err != nil {
		return fmt.Errorf("close image file: %w", err)
	}
	return nil
}
