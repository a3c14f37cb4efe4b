// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package view

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/containerd/console"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// Progress shows long work that goes through phases. Update may be called with
// any frequency; End must be called once, before anything else is printed.
type Progress interface {
	// Update tells that phase has done so many of total bytes. A total of 0
	// means that it is not known.
	Update(phase string, done, total int64)
	// End closes the show. ok says whether the work succeeded.
	End(ok bool)
}

// NewProgress returns bars if f is a terminal, else one line for every phase
// that begins.
func NewProgress(f *os.File) Progress {
	if IsTerminal(f) {
		return &bars{container: mpb.New(mpb.WithOutput(f), mpb.WithWidth(40))}
	}
	return &lines{w: f}
}

// IsTerminal reports whether a person looks at f.
func IsTerminal(f *os.File) bool {
	_, err := console.ConsoleFromFile(f)
	return err == nil
}

// watchPeriod is how often Watch draws a terminal anew.
const watchPeriod = 100 * time.Millisecond

// Watch does work and meanwhile, if f is a terminal, shows what read says of
// its phase, the bytes done and those in all. An empty phase is not shown.
func Watch(f *os.File, read func() (phase string, done, total int64), work func() error) error {
	if !IsTerminal(f) {
		return work()
	}
	end := make(chan error, 1)
	go func() { end <- work() }()
	p := NewProgress(f)
	update := func() {
		if phase, done, total := read(); phase != "" {
			p.Update(phase, done, total)
		}
	}
	tick := time.NewTicker(watchPeriod)
	defer tick.Stop()
	for {
		select {
		case err := <-end:
			update()
			p.End(err == nil)
			return err
		case <-tick.C:
			update()
		}
	}
}

// Count does work that consists of so many steps, with a bar on a terminal.
func Count(f *os.File, phase string, total int, work func(step func()) error) error {
	if !IsTerminal(f) || total == 0 {
		return work(func() {})
	}
	container := mpb.New(mpb.WithOutput(f), mpb.WithWidth(40))
	bar := container.AddBar(int64(total),
		mpb.PrependDecorators(decor.Name(phase, decor.WC{W: 12, C: decor.DindentRight})),
		mpb.AppendDecorators(decor.CountersNoUnit("%d / %d")))
	err := work(bar.Increment)
	if err != nil {
		bar.Abort(false)
	}
	container.Wait()
	return err
}

// lines is Progress for logs and pipes.
type lines struct {
	w     io.Writer
	phase string
}

func (l *lines) Update(phase string, _, total int64) {
	if phase == l.phase {
		return
	}
	l.phase = phase
	if total > 0 {
		fmt.Fprintf(l.w, "%s: %s\n", phase, Bytes(total))
		return
	}
	fmt.Fprintln(l.w, phase)
}

func (l *lines) End(bool) {}

// bars is Progress for a terminal: a bar a phase, the finished ones stay.
type bars struct {
	container *mpb.Progress
	phase     string
	bar       *mpb.Bar
}

func (b *bars) Update(phase string, done, total int64) {
	if b.bar == nil || phase != b.phase {
		b.finish()
		b.phase = phase
		b.bar = b.container.AddBar(0,
			mpb.PrependDecorators(decor.Name(phase, decor.WC{W: 12, C: decor.DindentRight})),
			mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f"), decor.Name("  "),
				decor.AverageSpeed(decor.SizeB1024(0), "% .1f")))
	}
	b.bar.SetTotal(max(total, done), false)
	b.bar.SetCurrent(done)
}

// finish completes the bar of the phase that ended.
func (b *bars) finish() {
	if b.bar != nil {
		b.bar.SetTotal(-1, true)
	}
}

func (b *bars) End(ok bool) {
	if ok {
		b.finish()
	} else if b.bar != nil {
		b.bar.Abort(false)
	}
	b.container.Wait()
}
