// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshots

import (
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/urfave/cli/v2"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/cmd/ctr-ateom/exit"
	"github.com/ateom/ateom/cmd/ctr-ateom/node"
	"github.com/ateom/ateom/cmd/ctr-ateom/sandbox"
	"github.com/ateom/ateom/cmd/ctr-ateom/view"
)

// A removal is an entry of the JSON list of rm.
type removal struct {
	ID    artifacts.ID `json:"id"`
	Store string       `json:"store"`
}

// rmCommand removes snapshots. It never guesses which of several copies is meant.
func rmCommand() *cli.Command {
	cmd := leaf(cli.Command{
		Name:      "rm",
		Aliases:   []string{"remove"},
		Usage:     "Remove snapshots",
		ArgsUsage: "ID [ID...]",
		Description: "Packs that no snapshot uses any more are freed later, by snapshots gc.\n" +
			"A snapshot that several stores have is removed only from the one that --store names,\n" +
			"and one that a paused sandbox would be resumed from not at all.",
		Action: func(c *cli.Context) error {
			want, err := ids(c, 1, 0)
			if err != nil {
				return err
			}
			stores, err := node.OpenStores(c.Context, c)
			if err != nil {
				return err
			}
			targets, err := choose(c, stores, want)
			if err != nil {
				return err
			}
			return remove(c, targets)
		},
	})
	cmd.Flags = append(cmd.Flags, sandbox.Flags...)
	return cmd
}

// checkFree refuses a local snapshot that is a sandbox's only memory.
func checkFree(c *cli.Context, f node.Found) error {
	if f.In[0].Name() != node.Local {
		return nil
	}
	held, err := isHeld(c, f.Manifest)
	if err != nil {
		return fmt.Errorf("remove snapshot %s: %w", f.Manifest.ID, err)
	}
	if held {
		return exit.WithHint(fmt.Errorf("remove snapshot %s: sandbox %q is paused and would be resumed from it: %w",
			f.Manifest.ID, f.Manifest.Sandbox.ID, errdefs.ErrFailedPrecondition), "resume or delete the sandbox first")
	}
	return nil
}

// isHeld reports whether a paused sandbox would be resumed from a snapshot of
// the local store.
func isHeld(c *cli.Context, m *artifacts.Manifest) (bool, error) {
	held, err := sandbox.Holds(c, m.Sandbox, m.ID)
	if err != nil {
		return false, fmt.Errorf("find out whether it is in use: %w", err)
	}
	return held, nil
}

// choose finds every snapshot before any is removed.
func choose(c *cli.Context, stores node.Stores, want []artifacts.ID) ([]node.Found, error) {
	targets := make([]node.Found, 0, len(want))
	for _, id := range want {
		f, err := stores.Find(c.Context, id)
		if err != nil {
			return nil, err
		}
		if len(f.In) > 1 {
			return nil, exit.WithHint(fmt.Errorf("remove snapshot %s: it is in %s: %w", id, f.In.Names(), errdefs.ErrFailedPrecondition),
				"say which copy with --store")
		}
		if err := checkFree(c, f); err != nil {
			return nil, err
		}
		targets = append(targets, f)
	}
	return targets, nil
}

func remove(c *cli.Context, targets []node.Found) error {
	removed := make([]removal, 0, len(targets))
	for _, f := range targets {
		s := f.In[0]
		if err := s.Remove(c.Context, f.Manifest.ID); err != nil {
			return fmt.Errorf("remove snapshot %s from %s: %w", f.Manifest.ID, s.Name(), err)
		}
		removed = append(removed, removal{ID: f.Manifest.ID, Store: s.Name()})
		if !c.Bool("json") {
			fmt.Fprintln(c.App.Writer, f.Manifest.ID)
		}
	}
	if c.Bool("json") {
		return view.JSON(c.App.Writer, removed)
	}
	return nil
}
