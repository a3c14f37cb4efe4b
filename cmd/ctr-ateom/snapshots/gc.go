// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshots

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/ateom/ateom/artifacts/transfer"
	"github.com/ateom/ateom/cmd/ctr-ateom/exit"
	"github.com/ateom/ateom/cmd/ctr-ateom/node"
	"github.com/ateom/ateom/cmd/ctr-ateom/view"
)

// gcCommand frees what no snapshot refers to.
func gcCommand() *cli.Command {
	return leaf(cli.Command{
		Name:  "gc",
		Usage: "Free what no snapshot refers to: packs and recipes in stores, drafts of dead processes on the node",
		Description: "It is safe beside commits on any node, as long as no commit takes longer than the grace,\n" +
			"and may be killed at any point. A manifest that cannot be read stops it.",
		Action: gc,
	},
		&cli.BoolFlag{Name: "dry-run", Usage: "Only say what would be freed"},
		&cli.DurationFlag{Name: "grace", Value: transfer.DefaultGrace, Usage: "Spare what is younger than this"},
	)
}

// A sweep is an entry of the JSON list of gc.
type sweep struct {
	Store        string   `json:"store"`
	DryRun       bool     `json:"dryRun"`
	Deleted      []string `json:"deleted"`
	DeletedBytes int64    `json:"deletedBytes"`
	Kept         int64    `json:"kept"`
	KeptBytes    int64    `json:"keptBytes"`
}

func gc(c *cli.Context) error {
	if c.NArg() > 0 {
		return exit.Usagef("gc: unexpected argument %q", c.Args().First())
	}
	if g := c.Duration("grace"); g <= 0 {
		return exit.Usagef("gc: --grace %s: want a positive time", g)
	}
	stores, err := node.OpenStores(c.Context, c)
	if err != nil {
		return err
	}
	sweeps := make([]sweep, 0, len(stores))
	for _, s := range stores {
		o := transfer.SweepOptions{Grace: c.Duration("grace"), DryRun: c.Bool("dry-run")}
		r, err := s.Sweep(c.Context, o)
		if err != nil {
			return err
		}
		sw := sweep{Store: s.Name(), DryRun: o.DryRun, Deleted: r.Deleted, DeletedBytes: r.DeletedBytes, Kept: r.Kept, KeptBytes: r.KeptBytes}
		if sw.Deleted == nil {
			sw.Deleted = []string{}
		}
		sweeps = append(sweeps, sw)
	}
	if c.Bool("json") {
		return view.JSON(c.App.Writer, sweeps)
	}
	rows := make([][]string, 0, len(sweeps))
	for _, s := range sweeps {
		rows = append(rows, []string{s.Store, fmt.Sprint(len(s.Deleted)), view.Bytes(s.DeletedBytes), fmt.Sprint(s.Kept), view.Bytes(s.KeptBytes)})
	}
	freed := "FREED"
	if c.Bool("dry-run") {
		freed = "WOULD FREE"
	}
	return view.Table(c.App.Writer, []string{"STORE", freed, "SIZE", "KEPT", "SIZE"}, rows)
}
