// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package runsc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// filestorePrefix begins the name of the file, in a directory that a sandbox
// covers, that holds what is written over it; gVisor's fsutil.SelfFilestorePrefix.
const filestorePrefix = ".gvisor.filestore."

// ClearFilestore removes what a runsc that was killed has left of a sandbox in a
// root file system, where no container could be made again. No container of
// it may be alive.
func ClearFilestore(rootfs, sandbox string) error {
	return removeLeft(filepath.Join(rootfs, filestorePrefix+sandbox))
}

// ClearControlSocket removes the control socket that a runsc that was killed has
// left of a sandbox in its directory: the next one of that name would put its own
// elsewhere. The sandbox may not be alive.
func (r *Runsc) ClearControlSocket(id string) error { return removeLeft(r.ControlSocket(id)) }

// ClearFilestores removes from a directory what any sandbox has left there, none
// of which may be alive.
func ClearFilestores(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), filestorePrefix) {
			err = errors.Join(err, removeLeft(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

func removeLeft(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove what a killed runsc has left: %w", err)
	}
	return nil
}
