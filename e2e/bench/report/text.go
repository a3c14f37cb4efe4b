// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteVerdicts writes one line for each claim, for a terminal.
func WriteVerdicts(w io.Writer, r *Report) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "ROW\tWHAT\tTARGET\tFOUND\t95 %\tVERDICT")
	for _, row := range r.Rows {
		for _, c := range row.Claims {
			fmt.Fprintf(t, "%d\t%s, %s\t%s\t%s\t%s\t%s\n", row.ID, row.Title, c.What, c.Text, c.found(), c.interval(), c.Verdict)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, row := range r.Rows {
		for _, s := range row.Series {
			if s.Missing == "" {
				continue
			}
			if _, err := fmt.Fprintf(w, "row %d: %s, %s is missing: %s\n", row.ID, s.Peer, s.What, s.Missing); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintln(w, r.Summary())
	return err
}

// Summary counts the verdicts in one sentence.
func (r *Report) Summary() string {
	n := map[Verdict]int{}
	total := 0
	for _, row := range r.Rows {
		for _, c := range row.Claims {
			n[c.Verdict]++
			total++
		}
	}
	return fmt.Sprintf("%d of %d targets met, %d more likely, %d missed, %d not measured.",
		n[Meets], total, n[Likely], n[Misses], n[NotMeasured])
}

func (c Claim) found() string {
	if c.Verdict == NotMeasured {
		return "–"
	}
	return Amount(c.Found.Point, c.Unit)
}

func (c Claim) interval() string {
	if c.Verdict == NotMeasured {
		return "–"
	}
	return Range(c.Found, c.Unit)
}

// Miss says by how much a missed target is missed, and what bounds it.
func (r Row) Miss(c Claim) string {
	if c.Verdict != Misses {
		return ""
	}
	text := fmt.Sprintf("%s, %s: %s where %s is the target, %.0f %% above it.",
		r.Title, c.What, Amount(c.Found.Point, c.Unit), c.Text, 100*(c.Found.Point/c.Target-1))
	if s := r.Find(c.Peer, c.What); s != nil {
		text += s.longest()
	}
	return strings.TrimSpace(text + " " + r.Bound)
}

// WriteMarkdown writes the page that stands in the project's documentation.
func (r *Report) WriteMarkdown(w io.Writer) error {
	// Nothing fails before the bytes are there, so errors are checked once.
	b := &bytes.Buffer{}
	fmt.Fprintf(b, "# Performance\n\n<!-- Written by `make bench`; edits are lost. -->\n\n")
	mode := "full"
	if r.Quick {
		mode = "quick"
	}
	fmt.Fprintf(b, "A %s run of `make bench` on %s, version %s. %s\n\n", mode,
		r.Started.Format(time.DateOnly), r.Version, r.Summary())
	m := r.Machine
	fmt.Fprintf(b, "Machine: %s, %d cores, %s of memory, %s, %s, cgroup %s; runsc %s.\n\n",
		m.CPU, m.Cores, Amount(float64(m.Memory), "bytes"), m.Kernel, m.Disk, m.Cgroup, m.Runsc)
	if busy := m.Busy(); busy != "" {
		fmt.Fprintf(b, "%s\n\n", busy)
	}
	fmt.Fprintf(b, "Peers are measured in one run, interleaved, after a warm-up. Every sample of a Resume is one that was proven: "+
		"the nonce in memory, a counter and the digests of file and memory are those of before. "+
		"Ratios are of medians; intervals hold with 95 %% (bootstrap over pairs).\n\n")
	fmt.Fprintf(b, "## Targets\n\n| row | what | target | found | 95 %% | verdict |\n|---|---|---|---|---|---|\n")
	for _, row := range r.Rows {
		for _, c := range row.Claims {
			fmt.Fprintf(b, "| %d | %s, %s | %s | %s | %s | %s |\n", row.ID, row.Title, c.What, c.Text, c.found(), c.interval(), c.Verdict)
		}
	}
	r.writeMisses(b)
	fmt.Fprintf(b, "\n## The roof\n\nWhat this machine does at best, measured first.\n\n| what | rate |\n|---|---|\n")
	for _, x := range r.Roof {
		fmt.Fprintf(b, "| %s | %s |\n", x.Name, Amount(x.Value, x.Unit))
	}
	for _, row := range r.Rows {
		row.writeMarkdown(b)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func (r *Report) writeMisses(b *bytes.Buffer) {
	heading := "\n## Missed\n\n"
	for _, row := range r.Rows {
		for _, c := range row.Claims {
			if miss := row.Miss(c); miss != "" {
				fmt.Fprintf(b, "%s- %s\n", heading, miss)
				heading = ""
			}
		}
	}
}

func (r Row) writeMarkdown(b *bytes.Buffer) {
	fmt.Fprintf(b, "\n## Row %d: %s\n\n%s\n\n", r.ID, r.Title, r.How)
	fmt.Fprintf(b, "| what | peer | n | median | 95 %% | p99 | CPU | bytes | peak RSS |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, s := range r.Series {
		c := s.Cells()
		fmt.Fprintf(b, "| %s | %s | %s |\n", s.What, s.Peer, strings.Join(c[:], " | "))
		if s.Missing != "" {
			fmt.Fprintf(b, "| | | | missing: %s | | | | | |\n", strings.ReplaceAll(s.Missing, "\n", " "))
		}
	}
	for _, s := range r.Series {
		if spent := s.Spent(); spent != "" {
			fmt.Fprintf(b, "\n%s, %s, by its own account: %s.\n", s.Peer, s.What, spent)
		}
	}
	for _, n := range r.Notes {
		fmt.Fprintf(b, "\n%s\n", n)
	}
}
