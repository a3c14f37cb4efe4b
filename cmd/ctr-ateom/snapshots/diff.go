// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshots

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/ateom/ateom/cmd/ctr-ateom/view"
	"github.com/ateom/ateom/cmd/ctr-ateom/volume"
)

// A difference is an entry of the JSON list of diff.
type difference struct {
	// Change is "added", "removed", "content" or "attributes".
	Change string       `json:"change"`
	Path   string       `json:"path"`
	Before *volume.File `json:"before,omitempty"`
	After  *volume.File `json:"after,omitempty"`
}

// signs are how a person sees the changes.
var signs = map[string]string{"added": "+", "removed": "-", "content": "M", "attributes": "a"}

// diffCommand compares the DurableDirs of two snapshots.
func diffCommand() *cli.Command {
	return leaf(cli.Command{
		Name:        "diff",
		Usage:       "Compare the files in the DurableDirs of two snapshots",
		ArgsUsage:   "ID ID",
		Description: "+ is only in the second, - only in the first, M has other content, a has other attributes.",
		Action: func(c *cli.Context) error {
			want, err := ids(c, 2, 2)
			if err != nil {
				return err
			}
			var trees [2]map[string]volume.File
			for i, id := range want {
				s, m, err := inBucket(c, id)
				if err != nil {
					return err
				}
				files, err := volume.List(c.Context, s.Store, m, volume.Digests)
				if err != nil {
					return err
				}
				trees[i] = make(map[string]volume.File, len(files))
				for _, f := range files {
					trees[i][f.Path] = f
				}
			}
			differences := compare(trees[0], trees[1])
			if c.Bool("json") {
				return view.JSON(c.App.Writer, differences)
			}
			for _, d := range differences {
				fmt.Fprintf(c.App.Writer, "%s %s\n", signs[d.Change], view.Clean(d.Path))
			}
			return nil
		},
	})
}

// compare returns the differences in the order of the paths.
func compare(before, after map[string]volume.File) []difference {
	all := maps.Clone(before)
	maps.Copy(all, after)
	differences := []difference{}
	for _, path := range slices.Sorted(maps.Keys(all)) {
		a, inBefore := before[path]
		b, inAfter := after[path]
		d := difference{Path: path, Before: &a, After: &b}
		switch {
		case !inBefore:
			d.Change, d.Before = "added", nil
		case !inAfter:
			d.Change, d.After = "removed", nil
		case a.Digest != b.Digest || a.Target != b.Target:
			d.Change = "content"
		case attributes(a) != attributes(b):
			d.Change = "attributes"
		default:
			continue
		}
		differences = append(differences, d)
	}
	return differences
}

// attributes returns f without what only follows from other differences: a
// directory's time and size change with its entries.
func attributes(f volume.File) volume.File {
	if strings.HasPrefix(f.Mode, "d") {
		f.Modified, f.Size = time.Time{}, 0
	}
	return f
}
