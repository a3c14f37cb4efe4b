// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshots

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/urfave/cli/v2"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/transfer"
	"github.com/ateom/ateom/cmd/ctr-ateom/exit"
	"github.com/ateom/ateom/cmd/ctr-ateom/node"
	"github.com/ateom/ateom/cmd/ctr-ateom/view"
)

// A pruning is an entry of the JSON list of prune.
type pruning struct {
	ID      artifacts.ID `json:"id"`
	Store   string       `json:"store"`
	Created time.Time    `json:"created"`
	Sandbox string       `json:"sandbox"`
	DryRun  bool         `json:"dryRun"`
}

// pruneCommand removes the snapshots of a store that a retention does not keep.
func pruneCommand() *cli.Command {
	return leaf(cli.Command{
		Name:  "prune",
		Usage: "Remove old snapshots from a store: all that no rule keeps",
		Description: "A snapshot stays if any rule that is given keeps it. Without a rule nothing is removed. It may run beside\n" +
			"commits and be killed at any point. The node's own store is never pruned: what it holds nobody else has.\n" +
			"The space comes back with snapshots gc.",
		Action: prune,
	},
		&cli.IntFlag{Name: "keep-last", Usage: "Keep the newest `N` snapshots of each sandbox"},
		&cli.StringFlag{Name: "keep-within", Usage: "Keep what is younger than `AGE`, as in 36h, 30d or 8w"},
		&cli.BoolFlag{Name: "dry-run", Usage: "Only say what would be removed"},
	)
}

func prune(c *cli.Context) error {
	if c.NArg() > 0 {
		return exit.WithHint(exit.Usagef("prune: unexpected argument %q", c.Args().First()), "remove one snapshot with: ctr-ateom snapshots rm ID")
	}
	keep, err := retention(c)
	if err != nil {
		return err
	}
	s, err := prunable(c)
	if err != nil {
		return err
	}
	// A store of which not all can be read is not pruned: the newest snapshot of
	// a sandbox may be what could not.
	all, err := s.List(c.Context)
	if err != nil {
		return exit.WithHint(fmt.Errorf("prune %s: nothing was removed: %w", s.Name(), err), "look at it with: ctr-ateom snapshots fsck --store %s", s.Name())
	}
	expired := keep.Expired(all, time.Now())
	pruned := make([]pruning, 0, len(expired))
	for _, m := range expired {
		pruned = append(pruned, pruning{ID: m.ID, Store: s.Name(), Created: m.Created, Sandbox: m.Sandbox.ID, DryRun: c.Bool("dry-run")})
	}
	if !c.Bool("dry-run") {
		if err := removeAll(c, s, expired); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		return view.JSON(c.App.Writer, pruned)
	}
	return showPruned(c, s, pruned, len(all))
}

func showPruned(c *cli.Context, s node.Store, pruned []pruning, all int) error {
	rows := make([][]string, 0, len(pruned))
	for _, p := range pruned {
		rows = append(rows, []string{string(p.ID), view.Time(p.Created), view.Dash(p.Sandbox)})
	}
	if len(rows) > 0 {
		if err := view.Table(c.App.Writer, []string{"ID", "CREATED", "SANDBOX"}, rows); err != nil {
			return err
		}
	}
	done := "removed"
	if c.Bool("dry-run") {
		done = "would be removed"
	}
	_, err := fmt.Fprintf(c.App.Writer, "%d of %d snapshots in %s %s\n", len(pruned), all, s.Name(), done)
	return err
}

// removeAll removes snapshots one by one, oldest first.
func removeAll(c *cli.Context, s node.Store, expired []*artifacts.Manifest) error {
	done := 0
	return view.Count(os.Stderr, "prune", len(expired), func(step func()) error {
		for _, m := range expired {
			// Another prune may have been faster.
			if err := s.Remove(c.Context, m.ID); err != nil && !errdefs.IsNotFound(err) {
				return fmt.Errorf("prune %s: %d of %d are removed: %w", s.Name(), done, len(expired), err)
			}
			done++
			step()
		}
		return nil
	})
}

// retention reads the rules.
func retention(c *cli.Context) (r transfer.Retention, err error) {
	if !c.IsSet("keep-last") && !c.IsSet("keep-within") {
		return r, exit.WithHint(exit.Usagef("prune: no rule says what stays"), "give --keep-last, --keep-within or both")
	}
	if c.IsSet("keep-last") {
		if r.KeepLast = c.Int("keep-last"); r.KeepLast < 1 {
			return r, exit.WithHint(exit.Usagef("prune: --keep-last %d: want at least 1", r.KeepLast), "remove all of a sandbox's snapshots with: ctr-ateom snapshots rm ID...")
		}
	}
	if c.IsSet("keep-within") {
		if r.KeepWithin, err = parseAge(c.String("keep-within")); err != nil {
			return r, exit.Usagef("prune: --keep-within %s: %v", c.String("keep-within"), err)
		}
	}
	return r, nil
}

// parseAge reads a time.Duration, or a whole number of days or weeks.
func parseAge(text string) (time.Duration, error) {
	const day = 24 * time.Hour
	var age time.Duration
	var err error
	for unit, length := range map[string]time.Duration{"d": day, "w": 7 * day} {
		if number, ok := strings.CutSuffix(text, unit); ok {
			n, err := strconv.ParseInt(number, 10, 32)
			if err != nil || n > int64((1<<63-1)/length) {
				return 0, fmt.Errorf("want a number before the %q", unit)
			}
			age = time.Duration(n) * length
		}
	}
	if age == 0 {
		age, err = time.ParseDuration(text)
	}
	if err != nil || age <= 0 {
		return 0, fmt.Errorf("want a positive time such as 36h, 30d or 8w")
	}
	return age, nil
}

// prunable opens the one store that is meant: the named one or the default one.
func prunable(c *cli.Context) (node.Store, error) {
	stores, err := node.OpenStores(c.Context, c)
	if err != nil {
		return nil, err
	}
	s := stores[len(stores)-1]
	if s.Name() == node.Local {
		return nil, exit.WithHint(fmt.Errorf("prune: the node's own store holds what nobody else has: %w", errdefs.ErrFailedPrecondition),
			"name a store with --store, or remove local snapshots one by one: ctr-ateom snapshots rm --store local ID")
	}
	return s, nil
}
