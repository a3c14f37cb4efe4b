// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package runsc

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// FileServer returns the pid of the process that serves a container its files,
// runsc's own gofer, as runsc has noted it in its state; 0 if it has none.
func (r *Runsc) FileServer(sandbox, container string) (pid int, err error) {
	// StateFile.statePath of gVisor's runsc/container.
	b, err := os.ReadFile(filepath.Join(r.Root, container+"_sandbox:"+sandbox+".state"))
	if err != nil {
		return 0, fmt.Errorf("find the file server of container %s: %w", container, err)
	}
	var state struct {
		GoferPid int `json:"goferPid"`
	}
	if err := json.Unmarshal(b, &state); err != nil {
		return 0, fmt.Errorf("find the file server of container %s: %w", container, err)
	}
	return state.GoferPid, nil
}
