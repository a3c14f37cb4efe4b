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
	"github.com/ateom/ateom/cmd/ctr-ateom/sandbox"
	"github.com/ateom/ateom/cmd/ctr-ateom/view"
)

// A finding is an entry of the JSON list of fsck.
type finding struct {
	ID    artifacts.ID `json:"id"`
	Store string       `json:"store"`
	Error string       `json:"error"`
	// Moved is where a repair has put it.
	Moved string `json:"moved,omitempty"`
	// Kept says why a repair has left it where it is.
	Kept string `json:"kept,omitempty"`
}

// fsckCommand reads whole stores and sets aside what is damaged.
func fsckCommand() *cli.Command {
	cmd := leaf(cli.Command{
		Name:  "fsck",
		Usage: "Read whole stores and find damaged snapshots; with --repair set them aside",
		Description: "Every byte is read and compared with its digest. --repair moves damaged snapshots out of the way,\n" +
			"so that nobody wakes up from one and gc is not stopped by one. It deletes no byte: a directory moves to\n" +
			"damaged/ of the node's state directory, a manifest in a bucket to damaged/ID.json. A snapshot that a\n" +
			"paused sandbox would be resumed from is left alone. The exit code is 6 while damage is left unrepaired.",
		Action: fsck,
	}, &cli.BoolFlag{Name: "repair", Usage: "Set damaged snapshots aside"})
	cmd.Flags = append(cmd.Flags, sandbox.Flags...)
	return cmd
}

func fsck(c *cli.Context) error {
	if c.NArg() > 0 {
		return exit.WithHint(exit.Usagef("fsck: unexpected argument %q", c.Args().First()), "check one snapshot with: ctr-ateom snapshots verify --deep ID")
	}
	stores, err := node.OpenStores(c.Context, c)
	if err != nil {
		return err
	}
	findings := []finding{}
	var unknown, worst error
	for _, s := range stores {
		var damaged []transfer.Damage
		err := watched(s.Name(), func(p *transfer.Meter) (err error) {
			damaged, err = s.Fsck(c.Context, p)
			return err
		})
		if err != nil && unknown == nil {
			unknown = fmt.Errorf("check %s: %w", s.Name(), err)
		}
		for _, d := range damaged {
			f := finding{ID: d.ID, Store: s.Name(), Error: d.Err.Error()}
			if c.Bool("repair") {
				f.Moved, f.Kept = setAside(c, s, d.ID)
			}
			if f.Moved == "" && worst == nil {
				worst = d.Err
			}
			findings = append(findings, f)
		}
	}
	if err := showFindings(c, findings); err != nil {
		return err
	}
	if worst != nil && !c.Bool("repair") {
		return exit.WithHint(fmt.Errorf("damaged snapshots: %d, one of them: %w", len(findings), worst),
			"set them aside with: ctr-ateom snapshots fsck --repair")
	}
	if worst != nil {
		return fmt.Errorf("a damaged snapshot is where it was: %w", worst)
	}
	return unknown
}

// setAside moves one damaged snapshot, or says why not.
func setAside(c *cli.Context, s node.Store, id artifacts.ID) (moved, kept string) {
	if s.Name() == node.Local {
		// A manifest that cannot be read names no sandbox, and none can be resumed from it.
		if m, err := s.Get(c.Context, id); err == nil {
			held, err := isHeld(c, m)
			if err != nil {
				return "", err.Error()
			}
			if held {
				return "", fmt.Sprintf("sandbox %q is paused in it", m.Sandbox.ID)
			}
		}
	}
	moved, err := s.SetAside(c.Context, id)
	switch {
	case errdefs.IsNotFound(err):
		return "", "it was removed meanwhile"
	case err != nil:
		return "", err.Error()
	}
	return moved, ""
}

func showFindings(c *cli.Context, findings []finding) error {
	if c.Bool("json") {
		return view.JSON(c.App.Writer, findings)
	}
	if len(findings) == 0 {
		return nil
	}
	rows := make([][]string, 0, len(findings))
	for _, f := range findings {
		now := "where it was"
		switch {
		case f.Moved != "":
			now = f.Moved
		case f.Kept != "":
			now += ": " + f.Kept
		}
		rows = append(rows, []string{string(f.ID), f.Store, now, f.Error})
	}
	return view.Table(c.App.Writer, []string{"ID", "STORE", "IT IS NOW", "DAMAGE"}, rows)
}
