// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshots

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/urfave/cli/v2"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/transfer"
	"github.com/ateom/ateom/cmd/ctr-ateom/node"
	"github.com/ateom/ateom/cmd/ctr-ateom/view"
)

// A verdict is an entry of the JSON list of verify.
type verdict struct {
	ID    artifacts.ID `json:"id"`
	Store string       `json:"store"`
	OK    bool         `json:"ok"`
	// Error says what is damaged, or why that could not be found out.
	Error string `json:"error,omitempty"`
}

// verifyCommand compares snapshots with their manifests.
func verifyCommand() *cli.Command {
	return leaf(cli.Command{
		Name:      "verify",
		Usage:     "Check that snapshots are complete and undamaged; without an ID all of them",
		ArgsUsage: "[ID...]",
		Description: "Reads the manifests and recipes and asks for the sizes of the objects. With --deep every byte is\n" +
			"read and compared with its digest. A damaged snapshot is named with the object, and the exit code is 6.",
		Action: func(c *cli.Context) error {
			want, err := ids(c, 0, 0)
			if err != nil {
				return err
			}
			stores, err := node.OpenStores(c.Context, c)
			if err != nil {
				return err
			}
			var targets []node.Found
			which := named
			if len(want) == 0 {
				which = listed
				targets, err = stores.List(c.Context)
			}
			for _, id := range want {
				f, err := stores.Find(c.Context, id)
				if err != nil {
					return err
				}
				targets = append(targets, f)
			}
			return verify(c, targets, which, err)
		},
	}, &cli.BoolFlag{Name: "deep", Usage: "Read and compare every byte"})
}

// A choice says how it was chosen what is verified.
type choice bool

const (
	// listed: it is what there was a moment ago. Sandboxes that wake up, are paused again or
	// are deleted remove snapshots meanwhile, which is no damage.
	listed choice = false
	// named: somebody asks for it.
	named choice = true
)

// verify looks at every copy of the targets. listErr is about snapshots that
// could not even be listed.
func verify(c *cli.Context, targets []node.Found, which choice, listErr error) error {
	depth := transfer.Shallow
	if c.Bool("deep") {
		depth = transfer.Deep
	}
	verdicts, bad, worst := judge(c.Context, targets, which, depth)
	if worst == nil || listErr != nil && !errdefs.IsDataLoss(worst) {
		worst = listErr
	}
	if len(verdicts) > 0 || worst == nil {
		if err := showVerdicts(c, verdicts); err != nil {
			return err
		}
	}
	if bad > 1 {
		return fmt.Errorf("%d copies of snapshots are not as they should be, one of them: %w", bad, worst)
	}
	return worst
}

// judge verifies every copy of the targets, and returns how many are bad with the worst error.
func judge(ctx context.Context, targets []node.Found, which choice, depth transfer.Depth) (verdicts []verdict, bad int, worst error) {
	verdicts = make([]verdict, 0, len(targets))
	for _, f := range targets {
		for _, s := range f.In {
			v := verdict{ID: f.Manifest.ID, Store: s.Name(), OK: true}
			err := watched(string(v.ID), func(p *transfer.Meter) error { return s.Verify(ctx, v.ID, depth, p) })
			if err != nil && which == listed {
				if _, getErr := s.Get(ctx, v.ID); errdefs.IsNotFound(getErr) {
					continue
				}
			}
			if err != nil {
				v.OK, v.Error = false, err.Error()
				bad++
				if worst == nil || errdefs.IsDataLoss(err) {
					worst = err
				}
			}
			verdicts = append(verdicts, v)
		}
	}
	return verdicts, bad, worst
}

func showVerdicts(c *cli.Context, verdicts []verdict) error {
	if c.Bool("json") {
		return view.JSON(c.App.Writer, verdicts)
	}
	rows := make([][]string, 0, len(verdicts))
	for _, v := range verdicts {
		result := "ok"
		if !v.OK {
			result = v.Error
		}
		rows = append(rows, []string{string(v.ID), v.Store, result})
	}
	return view.Table(c.App.Writer, []string{"ID", "STORE", "RESULT"}, rows)
}
