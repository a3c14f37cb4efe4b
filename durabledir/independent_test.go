// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"bytes"
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/durabledir/treetest"
)

// A program that shares nothing with this package, not even the language, finds
// the restored tree to be the captured one.
func TestAnotherProgramFindsTheSameTree(t *testing.T) {
	for _, at := range places(t) {
		t.Run(at.name, func(t *testing.T) {
			from := subdir(t, at.dir, "from")
			treetest.Make(t, from)
			must(t, unix.Mknod(filepath.Join(from, "null"), unix.S_IFCHR|0o640, int(unix.Mkdev(1, 3))))
			must(t, unix.Mknod(filepath.Join(from, "loop"), unix.S_IFBLK|0o604, int(unix.Mkdev(7, 200_000))))
			makeSocket(t, filepath.Join(from, "socket"))
			want := slices.DeleteFunc(treetest.Walk(t, from), func(line string) bool { return strings.HasPrefix(line, "'socket' socket ") })
			if len(want) < 40 {
				t.Errorf("the tree has %d names, want one of everything", len(want))
			}

			opts := quick(t)
			opts.Devices = true
			atRest, _ := capture(t, from, opts.CaptureOptions)
			pass := begin(t, from, nil, opts)
			settle(t, pass)
			for how, archive := range map[string][]byte{"at rest": atRest, "in use": finish(t, pass)} {
				to := subdir(t, at.dir, how)
				_, err := Restore(context.Background(), bytes.NewReader(archive), to, RestoreOptions{AllXattrs: true, Devices: true})
				must(t, err)
				if diff := cmp.Diff(want, treetest.Walk(t, to)); diff != "" {
					t.Errorf("captured %s (-captured +restored):\n%s", how, diff)
				}
			}
		})
	}
}
