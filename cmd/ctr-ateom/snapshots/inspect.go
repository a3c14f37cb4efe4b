// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshots

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/urfave/cli/v2"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/cmd/ctr-ateom/chart"
	"github.com/ateom/ateom/cmd/ctr-ateom/node"
	"github.com/ateom/ateom/cmd/ctr-ateom/view"
)

// An inspection is what inspect prints with --json.
type inspection struct {
	Stores   []string            `json:"stores"`
	Manifest *artifacts.Manifest `json:"manifest"`
	// Measures are of the first of the stores.
	Measures []node.Measure `json:"measures"`
	// Command is the shell command that would start a task from the snapshot.
	Command string `json:"command"`
}

// inspectCommand tells what is known of one snapshot without reading its parts.
func inspectCommand() *cli.Command {
	return leaf(cli.Command{
		Name:      "inspect",
		Usage:     "Show what a snapshot holds, what made it, and the command that would run it",
		ArgsUsage: "ID",
		Action: func(c *cli.Context) error {
			want, err := ids(c, 1, 1)
			if err != nil {
				return err
			}
			stores, err := node.OpenStores(c.Context, c)
			if err != nil {
				return err
			}
			f, err := stores.Find(c.Context, want[0])
			if err != nil {
				return err
			}
			in := inspection{Manifest: f.Manifest, Command: runLine(f)}
			if in.Measures, err = f.In[0].Measure(c.Context, f.Manifest); err != nil {
				return err
			}
			for _, s := range f.In {
				in.Stores = append(in.Stores, s.Name())
			}
			if path := c.String("html"); path != "" {
				if err := writePage(c.Context, f, in, path); err != nil {
					return err
				}
			}
			if c.Bool("json") {
				return view.JSON(c.App.Writer, in)
			}
			return in.show(c.App.Writer)
		},
	}, &cli.StringFlag{Name: "html", Usage: "Also write a page with a picture of its sizes, generation by generation, to `FILE`"})
}

// maxGenerations bounds how far a page follows the parents.
const maxGenerations = 40

// writePage draws the snapshot and its ancestors.
func writePage(ctx context.Context, f node.Found, in inspection, path string) error {
	page := chart.Page{Manifest: in.Manifest, Command: in.Command}
	s, m := f.In[0], f.Manifest
	for range maxGenerations {
		measures, err := s.Measure(ctx, m)
		if err != nil {
			return err
		}
		page.Generations = append(page.Generations, chart.Generation{ID: string(m.ID), Created: m.Created, Scope: string(m.Scope), Measures: measures})
		if m.Parent == "" {
			break
		}
		m, err = s.Get(ctx, m.Parent)
		if errdefs.IsNotFound(err) {
			break // removed, or in another store
		}
		if err != nil {
			return err
		}
	}
	slices.Reverse(page.Generations)
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	err = page.Write(file)
	if closeErr := file.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("write the page: %w", closeErr)
	}
	return err
}

func (in inspection) show(w io.Writer) error {
	m := in.Manifest
	fields := [][2]string{
		{"snapshot", string(m.ID)},
		{"created", view.Time(m.Created)},
		{"scope", string(m.Scope)},
		{"format", m.Format},
		{"parent", string(m.Parent)},
		{"stores", strings.Join(in.Stores, ", ")},
		{"sandbox", m.Sandbox.ID},
		{"namespace", m.Sandbox.Namespace},
	}
	if r := m.Runtime; r != nil {
		fields = append(fields, [2]string{"runtime", fmt.Sprintf("%s %s (sha256 %s)", r.Name, r.Version, r.SHA256)})
	}
	if mc := m.Machine; mc != nil {
		fields = append(fields, [2]string{"machine", fmt.Sprintf("%s, pages of %s, %d CPU features", mc.Arch, view.Bytes(int64(mc.PageSize)), len(mc.CPUFeatures))})
	}
	if err := view.Fields(w, fields...); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if err := view.Table(w, []string{"CONTAINER", "NAME", "IMAGE", "IMAGE DIGEST", "ARGS"}, containerRows(m)); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if err := view.Table(w, []string{"PART", "ENCODING", "SIZE", "STORED", "NEW", "FILES", "DIGEST"}, partRows(m, in.Measures)); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nrun it with:\n  %s\n", in.Command)
	return err
}

func containerRows(m *artifacts.Manifest) [][]string {
	var rows [][]string
	for _, ct := range m.Sandbox.Containers {
		rows = append(rows, []string{ct.ID, view.Dash(ct.Name), view.Dash(ct.Image), view.Dash(ct.ImageDigest), quote(ct.Args)})
	}
	return rows
}

func partRows(m *artifacts.Manifest, measures []node.Measure) [][]string {
	var rows [][]string
	for i, p := range m.Parts {
		stored, added, files := view.Bytes(measures[i].Stored), view.Bytes(measures[i].New), "-"
		if p.Files > 0 {
			files = fmt.Sprint(p.Files)
		}
		rows = append(rows, []string{p.Name, string(p.Encoding), view.Bytes(p.Size), stored, added, files, p.Digest.String()})
	}
	return rows
}

// runLine returns the command that would start a task from a snapshot. It is
// text for a person: names in a manifest are quoted, never trusted.
func runLine(f node.Found) string {
	image, name := "IMAGE", "NAME"
	if cs := f.Manifest.Sandbox.Containers; len(cs) > 0 && cs[0].Image != "" {
		image = quote([]string{cs[0].Image})
	}
	line := "ctr-ateom run -d --from " + string(f.Manifest.ID)
	for _, s := range f.In {
		if s.Name() != node.Local {
			line += " --store " + quote([]string{s.Name()})
			break
		}
	}
	line += " " + image + " " + name
	if cs := f.Manifest.Sandbox.Containers; len(cs) > 0 && len(cs[0].Args) > 0 && f.Manifest.Scope == artifacts.Data {
		line += " " + quote(cs[0].Args) // those of scope Full are found in the snapshot
	}
	return line
}

// quote returns words as a POSIX shell takes them, unprintable characters replaced.
func quote(words []string) string {
	quoted := make([]string, 0, len(words))
	for _, w := range words {
		w = view.Clean(w)
		if w == "" || strings.ContainsFunc(w, func(r rune) bool { return !strings.ContainsRune(plain, r) }) {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		quoted = append(quoted, w)
	}
	return strings.Join(quoted, " ")
}

// plain are the characters that mean themselves to every shell.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@%+,="
