// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"path/filepath"

	"github.com/ateom/ateom/e2e/spaces"
)

// room is where the bench measures. The directory's name is that of its cgroups.
var room = spaces.Spaces{Env: "ATEOM_BENCH", Prefix: "ab", Sweep: func(dir string) error { return sweep(filepath.Base(dir)) }}

// Inside reports whether this is a process that Enter started.
func Inside() bool { return room.Inside() }

// Dir is an empty directory for the process that measures. It is removed when all
// have ended, however they did, and so are the cgroups whose names begin with the
// directory's.
func Dir() string { return room.Dir() }

// Enter runs this program once more, with the same arguments, in PID, network
// and mount namespaces of its own. Only the process that shall measure comes back
// with done false; the others return its exit code. It needs root.
func Enter() (done bool, code int, err error) { return room.Enter() }

// sweep removes the cgroups called name and the accounts whose names begin
// with it, where the bench has not. Their processes have ended.
func sweep(name string) error {
	errs := []error{RemoveCgroups(name)}
	if root, err := cgroup2Root(); err == nil {
		left, err := filepath.Glob(filepath.Join(root, name+"-*"))
		errs = append(errs, err)
		for _, path := range left {
			errs = append(errs, (&Account{path: path}).Close())
		}
	}
	return errors.Join(errs...)
}
