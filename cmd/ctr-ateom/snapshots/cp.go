// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshots

import (
	"fmt"
	"os"

	"github.com/containerd/errdefs"
	"github.com/urfave/cli/v2"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/cmd/ctr-ateom/exit"
	"github.com/ateom/ateom/cmd/ctr-ateom/node"
	"github.com/ateom/ateom/cmd/ctr-ateom/view"
)

// A duplicate is an entry of the JSON list of cp.
type duplicate struct {
	ID    artifacts.ID `json:"id"`
	From  string       `json:"from"`
	To    string       `json:"to"`
	Bytes int64        `json:"bytes"`
}

// cpCommand copies snapshots between stores.
func cpCommand() *cli.Command {
	return leaf(cli.Command{
		Name:      "cp",
		Aliases:   []string{"copy"},
		Usage:     "Copy snapshots to another store",
		ArgsUsage: "ID [ID...]",
		Description: "The copies have the ids of the originals. Every object is checked on the way, and a snapshot\n" +
			"becomes visible when it is complete. Those that are in the node's local store only are not copied: commit the sandbox.",
		Action: func(c *cli.Context) error {
			want, err := ids(c, 1, 0)
			if err != nil {
				return err
			}
			if c.String("to") == "" {
				return exit.Usagef("cp: --to is missing: where do the snapshots go to?")
			}
			var copies []*node.Copy
			for _, id := range want {
				s, m, err := inBucket(c, id)
				if err != nil {
					return err
				}
				copies = append(copies, &node.Copy{From: s, Manifest: m})
			}
			to, err := node.OpenStore(c.Context, c, c.String("to"))
			if err != nil {
				return err
			}
			b, ok := to.(*node.BucketStore)
			if !ok {
				return fmt.Errorf("copy to the node's local store: it takes only what was saved on this node: %w", errdefs.ErrNotImplemented)
			}
			return copyAll(c, copies, b)
		},
	}, &cli.StringFlag{Name: "to", Usage: "`NAME` of a store in the node's configuration, or a URL"})
}

func copyAll(c *cli.Context, copies []*node.Copy, to *node.BucketStore) error {
	made := make([]duplicate, 0, len(copies))
	for _, cp := range copies {
		cp.To = to
		read := func() (string, int64, int64) {
			done, total := cp.Progress()
			return string(cp.Manifest.ID), done, total
		}
		if err := view.Watch(os.Stderr, read, func() error { return cp.Run(c.Context) }); err != nil {
			return err
		}
		done, _ := cp.Progress()
		made = append(made, duplicate{ID: cp.Manifest.ID, From: cp.From.Name(), To: to.Name(), Bytes: done})
		if !c.Bool("json") {
			fmt.Fprintln(c.App.Writer, cp.Manifest.ID)
		}
	}
	if c.Bool("json") {
		return view.JSON(c.App.Writer, made)
	}
	return nil
}
