// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshots

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"
	"github.com/urfave/cli/v2"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/cmd/ctr-ateom/exit"
	"github.com/ateom/ateom/cmd/ctr-ateom/node"
	"github.com/ateom/ateom/cmd/ctr-ateom/view"
	"github.com/ateom/ateom/cmd/ctr-ateom/volume"
)

// exportCommand writes a DurableDir as a plain tar archive.
func exportCommand() *cli.Command {
	return leaf(cli.Command{
		Name:        "export",
		Usage:       "Write a DurableDir of a snapshot as a plain tar archive, to a file or to standard output",
		ArgsUsage:   "ID [VOLUME]",
		Description: "VOLUME may be left out where there is only one. An output file is written whole or not at all.",
		Action:      export,
	}, &cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "Write to `FILE`"})
}

func export(c *cli.Context) error {
	if c.NArg() < 1 || c.NArg() > 2 {
		return exit.WithHint(exit.Usagef("export: want ID [VOLUME], got %d arguments", c.NArg()), "flags go before the id")
	}
	output := c.String("output")
	if output == "" && (c.Bool("json") || view.IsTerminal(os.Stdout)) {
		return exit.WithHint(exit.Usagef("export: the archive needs a place to go to"), "name a file with --output, or use a pipe without --json")
	}
	id, err := parseID(c, c.Args().First())
	if err != nil {
		return err
	}
	s, m, err := inBucket(c, id)
	if err != nil {
		return err
	}
	p, err := chooseVolume(m, c.Args().Get(1))
	if err != nil {
		return err
	}
	if output == "" {
		return copyVolume(c.Context, s, id, p, c.App.Writer)
	}
	if err := exportFile(c.Context, s, id, p, output); err != nil {
		return err
	}
	if c.Bool("json") {
		return view.JSON(c.App.Writer, struct {
			ID    artifacts.ID `json:"id"`
			Part  string       `json:"part"`
			File  string       `json:"file"`
			Bytes int64        `json:"bytes"`
		}{id, p.Name, output, p.Size})
	}
	return nil
}

func chooseVolume(m *artifacts.Manifest, name string) (artifacts.Part, error) {
	var found []artifacts.Part
	for _, p := range m.Parts {
		if v, ok := p.Durable(); ok && (name == "" || name == v) {
			found = append(found, p)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case name != "":
		return artifacts.Part{}, exit.WithHint(fmt.Errorf("snapshot %s has no DurableDir %q: %w", m.ID, name, errdefs.ErrNotFound), "it has: %s", volumes(m))
	case len(found) == 0:
		return artifacts.Part{}, fmt.Errorf("snapshot %s has no DurableDir: %w", m.ID, errdefs.ErrNotFound)
	}
	return artifacts.Part{}, exit.WithHint(exit.Usagef("export: snapshot %s has several DurableDirs", m.ID), "name one of: %s", volumes(m))
}

func copyVolume(ctx context.Context, s *node.BucketStore, id artifacts.ID, p artifacts.Part, w io.Writer) error {
	r, err := volume.Open(ctx, s.Store, id, p)
	if err != nil {
		return err
	}
	defer r.Close()
	n, err := io.Copy(w, r)
	if err != nil {
		return fmt.Errorf("export part %s of snapshot %s: %w", p.Name, id, err)
	}
	if n != p.Size {
		return fmt.Errorf("export part %s of snapshot %s: it has %d bytes instead of %d: %w", p.Name, id, n, p.Size, errdefs.ErrDataLoss)
	}
	return nil
}

// exportFile writes beside the file first: nobody finds half of an archive.
func exportFile(ctx context.Context, s *node.BucketStore, id artifacts.ID, p artifacts.Part, path string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".ctr-ateom-export")
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	err = copyVolume(ctx, s, id, p, f)
	if closeErr := f.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("export: %w", closeErr)
	}
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}
