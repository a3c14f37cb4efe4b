// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshots

import (
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/urfave/cli/v2"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/transfer"
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
			var sources []source
			for _, id := range want {
				s, m, err := inBucket(c, id)
				if err != nil {
					return err
				}
				sources = append(sources, source{s, m})
			}
			to, err := node.OpenStore(c.Context, c, c.String("to"))
			if err != nil {
				return err
			}
			b, ok := to.(*node.BucketStore)
			if !ok {
				return fmt.Errorf("copy to the node's local store: it takes only what was saved on this node: %w", errdefs.ErrNotImplemented)
			}
			return copyAll(c, sources, b)
		},
	}, &cli.StringFlag{Name: "to", Usage: "`NAME` of a store in the node's configuration, or a URL"})
}

// A source is a snapshot that is to be copied, and where it lies.
type source struct {
	store    *node.BucketStore
	manifest *artifacts.Manifest
}

func copyAll(c *cli.Context, sources []source, to *node.BucketStore) error {
	made := make([]duplicate, 0, len(sources))
	for _, s := range sources {
		id := s.manifest.ID
		bytes, err := copyOne(c, s, to)
		if err != nil {
			return err
		}
		made = append(made, duplicate{ID: id, From: s.store.Name(), To: to.Name(), Bytes: bytes})
		if !c.Bool("json") {
			fmt.Fprintln(c.App.Writer, id)
		}
	}
	if c.Bool("json") {
		return view.JSON(c.App.Writer, made)
	}
	return nil
}

// copyOne copies one snapshot, with a progress bar on a terminal.
func copyOne(c *cli.Context, s source, to *node.BucketStore) (bytes int64, err error) {
	err = watched(string(s.manifest.ID), func(p *transfer.Meter) error {
		_, err := transfer.Copy(c.Context, s.store.Store, to.Store, s.manifest.ID, p)
		_, bytes, _ = p.Read()
		return err
	})
	return bytes, err
}
