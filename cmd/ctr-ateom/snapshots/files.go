// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshots

import (
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/urfave/cli/v2"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/cmd/ctr-ateom/exit"
	"github.com/ateom/ateom/cmd/ctr-ateom/node"
	"github.com/ateom/ateom/cmd/ctr-ateom/view"
	"github.com/ateom/ateom/cmd/ctr-ateom/volume"
)

// filesCommand lists what is in the DurableDirs of a snapshot.
func filesCommand() *cli.Command {
	return leaf(cli.Command{
		Name:      "files",
		Usage:     "List the files in a snapshot's DurableDirs",
		ArgsUsage: "ID",
		Action: func(c *cli.Context) error {
			want, err := ids(c, 1, 1)
			if err != nil {
				return err
			}
			s, m, err := inBucket(c, want[0])
			if err != nil {
				return err
			}
			files, err := volume.List(c.Context, s.Store, m, volume.Headers)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return view.JSON(c.App.Writer, files)
			}
			rows := make([][]string, 0, len(files))
			for _, f := range files {
				rows = append(rows, []string{f.Mode, fmt.Sprint(f.UID), fmt.Sprint(f.GID), fmt.Sprint(f.Size), view.Time(f.Modified), label(f)})
			}
			return view.Table(c.App.Writer, []string{"MODE", "UID", "GID", "SIZE", "MODIFIED", "FILE"}, rows)
		},
	})
}

// label is a file's name, and where it leads: "->" for symbolic links, "=" for
// further names of one file.
func label(f volume.File) string {
	switch {
	case f.Target == "":
		return f.Path
	case strings.HasPrefix(f.Mode, "L"):
		return f.Path + " -> " + f.Target
	}
	return f.Path + " = " + f.Target
}

// catCommand writes one file of a DurableDir to standard output.
func catCommand() *cli.Command {
	return leaf(cli.Command{
		Name:      "cat",
		Usage:     "Write a file of a snapshot's DurableDir to standard output",
		ArgsUsage: "ID VOLUME/PATH",
		Action: func(c *cli.Context) error {
			if c.NArg() != 2 || c.Bool("json") {
				return exit.WithHint(exit.Usagef("cat: want ID VOLUME/PATH and no --json"), "list the files with: ctr-ateom snapshots files ID")
			}
			id, err := parseID(c, c.Args().First())
			if err != nil {
				return err
			}
			s, m, err := inBucket(c, id)
			if err != nil {
				return err
			}
			err = volume.Cat(c.Context, s.Store, m, c.Args().Get(1), c.App.Writer)
			if errdefs.IsNotFound(err) {
				return exit.WithHint(err, "list the files with: ctr-ateom snapshots files %s", id)
			}
			return err
		},
	})
}

// inBucket finds a snapshot in a store that has its DurableDirs: the local
// store has none, they are directories of the node.
func inBucket(c *cli.Context, id artifacts.ID) (*node.BucketStore, *artifacts.Manifest, error) {
	stores, err := node.OpenStores(c.Context, c)
	if err != nil {
		return nil, nil, err
	}
	f, err := stores.Find(c.Context, id)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range f.In {
		if b, ok := s.(*node.BucketStore); ok {
			// The manifest of this copy: copies are encoded differently.
			m, err := b.Get(c.Context, id)
			return b, m, err
		}
	}
	return nil, nil, exit.WithHint(fmt.Errorf("snapshot %s is in this node's local store only, which has no DurableDirs: %w", id, errdefs.ErrFailedPrecondition),
		"commit the sandbox, or name another store with --store")
}

// volumes returns the names of a snapshot's DurableDirs, for messages.
func volumes(m *artifacts.Manifest) string {
	var names []string
	for _, p := range m.Parts {
		if name, ok := p.Durable(); ok {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
