// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshots

import (
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/cmd/ctr-ateom/exit"
	"github.com/ateom/ateom/cmd/ctr-ateom/node"
	"github.com/ateom/ateom/cmd/ctr-ateom/view"
)

// An entry is a snapshot in the JSON list of ls.
type entry struct {
	ID      artifacts.ID    `json:"id"`
	Created time.Time       `json:"created"`
	Scope   artifacts.Scope `json:"scope"`
	Stores  []string        `json:"stores"`
	// Bytes is the size before compression.
	Bytes   int64    `json:"bytes"`
	Sandbox string   `json:"sandbox"`
	Images  []string `json:"images,omitempty"`
	Parent  string   `json:"parent,omitempty"`
}

// lsCommand lists snapshots, oldest first.
func lsCommand() *cli.Command {
	return leaf(cli.Command{
		Name:    "ls",
		Aliases: []string{"list"},
		Usage:   "List snapshots, oldest first",
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return exit.WithHint(exit.Usagef("ls: unexpected argument %q", c.Args().First()), "show one snapshot with: ctr-ateom snapshots inspect ID")
			}
			stores, err := node.OpenStores(c.Context, c)
			if err != nil {
				return err
			}
			found, err := stores.List(c.Context)
			if err != nil && (c.Bool("json") || len(found) == 0) {
				return err // a partial list would look whole to a program
			}
			if showErr := show(c, found); showErr != nil {
				return showErr
			}
			return err
		},
	}, &cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "Print only the ids"})
}

func show(c *cli.Context, found []node.Found) error {
	if c.Bool("json") {
		list := make([]entry, 0, len(found))
		for _, f := range found {
			list = append(list, newEntry(f))
		}
		return view.JSON(c.App.Writer, list)
	}
	if c.Bool("quiet") {
		for _, f := range found {
			fmt.Fprintln(c.App.Writer, f.Manifest.ID)
		}
		return nil
	}
	rows := make([][]string, 0, len(found))
	for _, f := range found {
		e := newEntry(f)
		rows = append(rows, []string{
			string(e.ID), view.Time(e.Created), string(e.Scope), strings.Join(e.Stores, ","),
			view.Bytes(e.Bytes), view.Dash(e.Sandbox), view.Dash(strings.Join(e.Images, ",")),
		})
	}
	return view.Table(c.App.Writer, []string{"ID", "CREATED", "SCOPE", "STORE", "SIZE", "SANDBOX", "IMAGE"}, rows)
}

func newEntry(f node.Found) entry {
	m := f.Manifest
	e := entry{ID: m.ID, Created: m.Created, Scope: m.Scope, Sandbox: m.Sandbox.ID, Parent: string(m.Parent)}
	for _, s := range f.In {
		e.Stores = append(e.Stores, s.Name())
	}
	for _, p := range m.Parts {
		e.Bytes += p.Size
	}
	for _, ct := range m.Sandbox.Containers {
		if ct.Image != "" {
			e.Images = append(e.Images, ct.Image)
		}
	}
	return e
}
