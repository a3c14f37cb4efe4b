// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/sentry/memmap"
	"gvisor.dev/gvisor/pkg/sentry/state/stateio"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
)

const (
	// restoreBytes is the largest read asked of runsc. Pages that a program
	// waits for come in requests of their own size; this bounds how long one
	// background read keeps them waiting.
	restoreBytes = 256 << 10
	// lazyBytes replaces it where the background is to trickle.
	lazyBytes = 128 << 10
)

// A reader serves one file of a checkpoint. It implements stateio.AsyncReader.
type reader struct {
	part     string
	src      source
	chunks   *verified
	pacer    *pacer
	status   *status
	maxBytes uint64
	served   atomic.Int64 // bytes, of all that the part has

	// hints, of pages, are told what a program waits for.
	hints *hints

	clients clientFiles
	order   order
	waited  chan *restoreOp
	ahead   chan *restoreOp
	// released are those of ahead whose turn it is.
	released chan *restoreOp
	done     chan stateio.Completion
	ctx      context.Context
	cancel   context.CancelFunc
	workers  sync.WaitGroup
}

// A restoreOp is one read of runsc's.
type restoreOp struct {
	id   int
	off  int64
	n    uint64
	file *clientFile
	frs  []memmap.FileRange
}

var _ stateio.AsyncReader = (*reader)(nil)

// newReader starts a reader of part from src, which it owns. Hints and a charger go with
// the pages, and with no other part.
func newReader(ctx context.Context, part string, src source, p *pacer, h *hints, c *charger, st *status) *reader {
	ctx, cancel := context.WithCancel(ctx)
	r := &reader{
		part:     part,
		src:      src,
		chunks:   newVerified(part, src, st),
		pacer:    p,
		status:   st,
		hints:    h,
		clients:  clientFiles{charger: c},
		maxBytes: restoreBytes,
		waited:   make(chan *restoreOp, src.depth()),
		ahead:    make(chan *restoreOp, src.depth()),
		released: make(chan *restoreOp),
		done:     make(chan stateio.Completion, src.depth()),
		ctx:      ctx,
		cancel:   cancel,
	}
	if p.get() == job.PaceLazy {
		r.maxBytes = lazyBytes
	}
	st.total(part, src.recipe().Size())
	if h != nil {
		h.begin(ctx, src)
	}
	r.workers.Go(r.pace)
	released := r.released
	if n := src.polite(); n > 0 {
		released = nil
		for range n {
			r.workers.Go(r.workPolitely)
		}
	}
	for range src.parallel() {
		r.workers.Go(func() { r.work(r.waited, released, false) })
	}
	return r
}

func (r *reader) MaxReadBytes() uint64            { return r.maxBytes }
func (r *reader) MaxRanges() int                  { return int(r.maxBytes / pageSize) }
func (r *reader) MaxParallel() int                { return r.src.depth() }
func (r *reader) NeedRegisterDestinationFD() bool { return true }

// RegisterDestinationFD implements stateio.AsyncReader.
func (r *reader) RegisterDestinationFD(fd int32, _ uint64, _ []stateio.ClientFileRangeSetting) (stateio.DestinationFile, error) {
	return r.clients.register(fd)
}

// AddRead implements stateio.AsyncReader.
func (r *reader) AddRead(id int, off int64, dst stateio.DestinationFile, fr memmap.FileRange, _ []byte) {
	r.add(&restoreOp{id: id, off: off, n: fr.Length(), file: dst.(*clientFile), frs: []memmap.FileRange{fr}})
}

// AddReadv implements stateio.AsyncReader.
func (r *reader) AddReadv(id int, off int64, total uint64, dst stateio.DestinationFile, frs []memmap.FileRange, _ []unix.Iovec) {
	r.add(&restoreOp{id: id, off: off, n: total, file: dst.(*clientFile), frs: frs})
}

// add queues op: in front if somebody waits for it. The kernel's own state is
// always waited for.
func (r *reader) add(op *restoreOp) {
	ahead := r.hints != nil && r.order.ahead(op.off, int64(op.n))
	inside := max(0, min(int64(op.n), r.src.recipe().Size()-op.off)) // runsc asks beyond the end, too
	r.status.asked(inside, !ahead)
	if ahead {
		r.ahead <- op
		return
	}
	if r.hints != nil {
		r.note(op)
	}
	r.pacer.wait(time.Now())
	r.waited <- op
}

// note records the chunks of op as needed.
func (r *reader) note(op *restoreOp) {
	recipe := r.src.recipe()
	i, ok := recipe.Find(op.off)
	for ; ok && i < recipe.Len() && recipe.Chunk(i).Offset < op.off+int64(op.n); i++ {
		r.hints.needed.need(i)
	}
}

// Wait implements stateio.AsyncReader.
func (r *reader) Wait(cs []stateio.Completion, min int) ([]stateio.Completion, error) {
	return stateio.CompletionChanWait(r.done, cs, min)
}

// politeness is the nice value of threads that read ahead of need: they get a
// tenth of what a program gets, so that verifying pages that nobody waits for
// delays neither this sandbox's start nor another's. A still lower priority
// would let a thread sleep for long with a lock that others wait for.
const politeness = 10

// workPolitely serves the reads that nobody waits for.
func (r *reader) workPolitely() {
	// Never unlocked: the thread, whose priority is no other goroutine's, ends.
	runtime.LockOSThread()
	if err := unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), politeness); err != nil {
		r.status.warn("lower the priority of reading ahead: %v", err)
	}
	r.work(nil, r.released, true)
}

// work serves reads from two queues, the first one first, until the reader is
// closed. A nil queue is none.
func (r *reader) work(first, second <-chan *restoreOp, politely bool) {
	for op := r.next(first, second); op != nil; op = r.next(first, second) {
		c := stateio.Completion{ID: op.id}
		n, err := r.serve(op, politely)
		c.N = n
		if r.served.Add(int64(n)) == r.src.recipe().Size() {
			r.status.complete(r.part)
		}
		if err != nil {
			c.Err = err
			if err != io.EOF && r.ctx.Err() == nil {
				r.status.fail(fmt.Errorf("restore: %w", err))
			}
		}
		r.done <- c
	}
}

// next returns the read to serve next, and nil when the reader is closed.
func (r *reader) next(first, second <-chan *restoreOp) *restoreOp {
	select {
	case op := <-first:
		return op
	default:
	}
	select {
	case op := <-first:
		return op
	case op := <-second:
		return op
	case <-r.ctx.Done():
		return nil
	}
}

// pace releases the reads that nobody waits for, one by one, until the reader
// is closed.
func (r *reader) pace() {
	for {
		select {
		case op := <-r.ahead:
			if !r.hold() {
				return
			}
			queue := r.released
			if r.pacer.get() == job.PaceUrgent {
				queue = r.waited
			}
			select {
			case queue <- op:
			case <-r.ctx.Done():
				return
			}
		case <-r.ctx.Done():
			return
		}
	}
}

// hold waits until the pacer lets a read through, and returns false when the
// reader is closed.
func (r *reader) hold() bool {
	for {
		delay, changed := r.pacer.delay(time.Now())
		if delay == 0 {
			return true
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-changed:
			timer.Stop()
		case <-r.ctx.Done():
			timer.Stop()
			return false
		}
	}
}

// serve moves the bytes of op into the sandbox's memory and returns how many
// there were: fewer than asked for only with an error, which is io.EOF behind
// the end of the file.
func (r *reader) serve(op *restoreOp, politely bool) (uint64, error) {
	recipe := r.src.recipe()
	i, ok := recipe.Find(op.off)
	if !ok {
		return 0, io.EOF
	}
	out := scatter{file: op.file, frs: op.frs, politely: politely}
	moved := uint64(0)
	for ; moved < op.n; i++ {
		if i == recipe.Len() {
			return moved, io.EOF
		}
		c := recipe.Chunk(i)
		skip := op.off + int64(moved) - c.Offset
		n := min(int64(c.Length)-skip, int64(op.n-moved))
		if err := r.serveChunk(&out, i, int(skip), int(n)); err != nil {
			return moved, err
		}
		moved += uint64(n)
	}
	return moved, nil
}

// serveChunk moves n bytes of chunk i, from skip on.
func (r *reader) serveChunk(out *scatter, i, skip, n int) error {
	if r.src.recipe().Chunk(i).Zero() {
		r.status.moved(0, int64(n))
		if r.part == artifacts.PartPages {
			// A memory file that is being loaded has holes there, which read as
			// zeros and cost no memory.
			out.skip(n)
			return nil
		}
		return out.write(make([]byte, n))
	}
	c, err := r.chunks.get(r.ctx, i)
	if err != nil {
		return err
	}
	err = out.write(c.buf.b[skip : skip+n])
	r.chunks.put(c, n)
	r.status.moved(int64(n), 0)
	return err
}

// Close implements stateio.AsyncReader.
func (r *reader) Close() error {
	r.cancel()
	r.workers.Wait()
	if r.hints != nil {
		// Pages that the program freed meanwhile are not asked for.
		r.hints.end(r.served.Load() >= r.src.recipe().Size()/10*9)
	}
	r.clients.close()
	if err := r.src.close(); err != nil {
		return fmt.Errorf("close part %s: %w", r.part, err)
	}
	return nil
}
