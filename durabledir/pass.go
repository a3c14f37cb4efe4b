// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/durabledir/paxtar"
)

// PassOptions shape a Pass.
type PassOptions struct {
	CaptureOptions
	// Spool is a directory for one unnamed temporary file, which holds the
	// content of the volume until Finish returns. On the volume's own file
	// system, large files share their blocks with it where that system can. If
	// it is empty, Finish reads the volume itself: the sandbox must be frozen
	// until then.
	Spool string
	// KeepIndex says that Index will be asked for.
	KeepIndex bool

	// rest is for tests: see restingTime.
	rest *time.Duration
}

// restingTime is how long ago a file must have changed last to be read before
// the freeze. The kernel stamps a file's ctime first and takes the bytes of a
// write, or maps a page for storing, a little later: for this little, the
// ctime tells nothing of what is still to come.
const restingTime = 3 * time.Second

// A Pass captures a volume that is in use, so that the sandbox must be frozen
// only for what changes meanwhile:
//
//	pass, err := durabledir.Begin(ctx, dir, index, options)  // the sandbox runs
//	defer pass.Close()
//	err = pass.Settle(ctx)                                   // the sandbox is frozen
//	report, err := pass.Finish(ctx, w)                       // the sandbox runs again
//	index = pass.Index()                                     // for the next time
//
// The archive is, to the last byte, what Capture makes at the time of Settle.
// A Pass may not be used by several goroutines at the same time.
type Pass struct {
	root     root
	opts     PassOptions
	previous *Index
	kind     fileSystem
	// since is the time before which a file's last change must lie.
	since   paxtar.Time
	spool   *spool
	seen    int        // entries that Begin has found; 0 if it has not looked
	mu      sync.Mutex // guards kept
	kept    map[inode]*kept
	entries []entry
	report  Report
	settled bool
	index   *Index
}

// Begin opens the volume dir and reads what is at rest in it. index may be nil,
// or what the Pass before gave: then segments that did not change since are
// taken from the archive of that time, by the Segmenter that Finish is given.
// The caller closes the Pass.
func Begin(ctx context.Context, dir string, index *Index, opts PassOptions) (*Pass, error) {
	r, err := openRoot(dir)
	if err != nil {
		return nil, err
	}
	p := &Pass{root: r, opts: opts, previous: index, kept: map[inode]*kept{}}
	if err := p.begin(ctx); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (p *Pass) begin(ctx context.Context) (err error) {
	if p.kind, err = fileSystemOf(p.root.fd); err != nil {
		return fmt.Errorf("begin capture: %w", err)
	}
	if p.opts.Spool != "" {
		if p.spool, err = openSpool(p.opts.Spool); err != nil {
			return err
		}
	}
	if !p.kind.stampsStores {
		return nil // whatever was read now would have to be read again
	}
	if p.since, err = p.lastRest(); err != nil {
		return err
	}
	if p.spool == nil || !p.kind.syncsRanges {
		if err := unix.Syncfs(p.root.fd); err != nil {
			return fmt.Errorf("begin capture: sync: %w", err)
		}
	}
	if p.spool == nil {
		return nil
	}
	top, err := scan(ctx, p.root, p.opts.readers(), true)
	if err != nil {
		return err
	}
	entries, _ := order(top, p.opts.CaptureOptions)
	p.seen = len(entries)
	p.reuse(entries)
	if err := checkSize(entries, p.opts.SizeLimit); err != nil {
		return err
	}
	var resting []*entry
	for i := range entries {
		if e := &entries[i]; e.hasContent() && e.old.length == 0 && p.rests(&e.stat) {
			resting = append(resting, e)
		}
	}
	return p.keep(ctx, resting, true)
}

// lastRest returns the time before which a resting file has changed last.
func (p *Pass) lastRest() (paxtar.Time, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &now); err != nil {
		return paxtar.Time{}, fmt.Errorf("begin capture: %w", err)
	}
	rest := restingTime
	if p.opts.rest != nil {
		rest = *p.opts.rest
	}
	at := time.Unix(now.Unix()).Add(-rest)
	return paxtar.Time{Sec: at.Unix(), Nsec: int32(at.Nanosecond())}, nil
}

// rests reports whether every change of a file so far is known to be complete.
func (p *Pass) rests(s *stat) bool { return p.kind.stampsStores && before(s.ctime, p.since) }

// tells reports whether every change of an entry since this pass has read it
// will show in its ctime.
func (p *Pass) tells(e *entry) bool {
	return p.rests(&e.stat) && (!e.hasContent() || e.old.length > 0 || p.spool == nil || e.kept.writtenBack)
}

// reuse finds what the previous archive has.
func (p *Pass) reuse(entries []entry) {
	if p.previous == nil || !p.kind.stampsStores {
		return
	}
	p.previous.reuse(entries)
}

// keep reads the content of files into the spool. In a live volume, files that
// change meanwhile are left for later.
func (p *Pass) keep(ctx context.Context, files []*entry, live bool) error {
	if len(files) <= keepBatch {
		return p.keepFiles(files, live)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	todo := make(chan []*entry)
	var readers sync.WaitGroup
	for range min(p.opts.readers(), (len(files)+keepBatch-1)/keepBatch) {
		readers.Go(func() {
			for batch := range todo {
				if err := p.keepFiles(batch, live); err != nil {
					cancel(err)
				}
			}
		})
	}
	for len(files) > 0 && ctx.Err() == nil {
		n := min(keepBatch, len(files))
		todo <- files[:n]
		files = files[n:]
	}
	close(todo)
	readers.Wait()
	return context.Cause(ctx)
}

// keepFiles reads the content of some files, one after the other.
func (p *Pass) keepFiles(files []*entry, live bool) error {
	for _, e := range files {
		k, err := p.spool.keep(p.root, e, live && p.kind.syncsRanges)
		if live && err != nil && vanished(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("capture %q: %w", e.path(), err)
		}
		k.writtenBack = live
		p.mu.Lock()
		p.kept[inode{e.stat.dev, e.stat.ino}] = k
		p.mu.Unlock()
	}
	return nil
}

// keepBatch is how many files a reader takes at a time.
const keepBatch = 16

// Settle fixes the volume's state: it compares names and attributes with what
// Begin has read, and reads what changed. The sandbox must be frozen, and with a
// spool may be thawed as soon as Settle has returned.
func (p *Pass) Settle(ctx context.Context) error {
	if p.settled {
		return errors.New("settle capture: it is settled already")
	}
	top, err := scan(ctx, p.root, p.scanners(), false)
	if err != nil {
		return err
	}
	p.entries, p.report = order(top, p.opts.CaptureOptions)
	p.reuse(p.entries)
	if p.spool != nil {
		if err := p.keepChanged(ctx); err != nil {
			return err
		}
	}
	if err := checkSize(p.entries, p.opts.SizeLimit); err != nil {
		return err
	}
	p.settled = true
	return nil
}

// scanners returns how many goroutines look at the tree again. The kernel has
// it in memory by then, so that they only compute: for a small tree, one that
// is never waited for is the fastest, above all on a busy machine.
func (p *Pass) scanners() int {
	const small = 5000
	if p.seen > 0 && p.seen < small {
		return 1
	}
	return runtime.GOMAXPROCS(0)
}

// keepChanged reads what Begin did not, or what changed since.
func (p *Pass) keepChanged(ctx context.Context) error {
	var changed []*entry
	for i := range p.entries {
		e := &p.entries[i]
		if !e.hasContent() || e.old.length > 0 {
			continue
		}
		if k := p.kept[inode{e.stat.dev, e.stat.ino}]; k != nil && k.stat.unchanged(&e.stat) {
			e.kept = k
		} else {
			changed = append(changed, e)
		}
	}
	if err := p.keep(ctx, changed, false); err != nil {
		return err
	}
	for _, e := range changed {
		e.kept = p.kept[inode{e.stat.dev, e.stat.ino}]
	}
	return nil
}

// Finish writes the archive, after a Settle if there was none.
func (p *Pass) Finish(ctx context.Context, w io.Writer) (Report, error) {
	if !p.settled {
		if err := p.Settle(ctx); err != nil {
			return Report{}, err
		}
	}
	report := p.report
	e := emitter{root: p.root, entries: p.entries, readers: p.opts.readers(), out: w, report: &report}
	var index *Index
	if p.opts.KeepIndex {
		index = newIndex()
		e.mark = func(e *entry, at placed) {
			if p.tells(e) {
				index.add(e, at)
			}
		}
	}
	if err := e.run(ctx); err != nil {
		return Report{}, err
	}
	p.index = index
	return report, nil
}

// Index describes the archive that Finish wrote, for the next Begin on the same
// volume. It is nil before Finish has succeeded, and without
// PassOptions.KeepIndex.
func (p *Pass) Index() *Index { return p.index }

// Close frees the spool. It may be called at any time, and more than once.
func (p *Pass) Close() error {
	if p.root.fd < 0 {
		return nil
	}
	p.root.close()
	p.root.fd = -1
	if p.spool == nil {
		return nil
	}
	return p.spool.close()
}
