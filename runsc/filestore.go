// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package runsc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// filestorePrefix begins the name of the file in a container's root file system
// that holds what is written over it; gVisor's fsutil.SelfFilestorePrefix.
const filestorePrefix = ".gvisor.filestore."

// ClearFilestore removes what a runsc that was killed has left of a sandbox in a
// root file system, where no container could be made again. No container of
// it may be alive.
func ClearFilestore(rootfs, sandbox string) error {
	err := os.Remove(filepath.Join(rootfs, filestorePrefix+sandbox))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove what a killed runsc has left: %w", err)
	}
	return nil
}
