// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A timeline tells what happens, line by line.
type timeline struct {
	w     io.Writer
	start time.Time
}

func newTimeline(w io.Writer) *timeline { return &timeline{w: w, start: time.Now()} }

// chapter begins a part of the story.
func (t *timeline) chapter(title string) { fmt.Fprintf(t.w, "\n%s\n", title) }

// tell writes what was done, how long it took, and notes below it.
func (t *timeline) tell(took time.Duration, what string, notes ...string) {
	fmt.Fprintf(t.w, "%7.2f s  %-44s %10s\n", time.Since(t.start).Seconds(), what, ms(took))
	for _, n := range notes {
		fmt.Fprintf(t.w, "%12s%s\n", "", n)
	}
}

// A verb is what ctr-ateom answers with --json.
type verb struct {
	Snapshot struct {
		ID    string `json:"id"`
		Bytes int64  `json:"bytes"`
	} `json:"snapshot"`
	Phases []struct {
		Name string        `json:"name"`
		Took time.Duration `json:"nanoseconds"`
	} `json:"phases"`
	Took      time.Duration `json:"nanoseconds"`
	BytesSent int64         `json:"bytesSent"`
}

// phases lists the phases of v in one line.
func (v verb) phases() string {
	var words []string
	for _, p := range v.Phases {
		words = append(words, p.Name+" "+ms(p.Took))
	}
	return strings.Join(words, " · ")
}

// downtime is how long the program did not run during a commit.
func (v verb) downtime() (d time.Duration) {
	for _, p := range v.Phases {
		switch p.Name {
		case "freeze", "capture", "thaw":
			d += p.Took
		}
	}
	return d
}

// ms and mib format for people; the demonstration's times and sizes all fit.
func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }
func mib(n int64) string        { return fmt.Sprintf("%.2f MiB", float64(n)/(1<<20)) }

func (f footprint) String() string {
	if f.Processes == 0 {
		return "no process, no memory"
	}
	return fmt.Sprintf("%d processes, %s of memory", f.Processes, mib(f.Bytes))
}

// sizeBelow adds up the files below dir.
func sizeBelow(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		total += info.Size()
		return nil
	})
	return total, err
}
