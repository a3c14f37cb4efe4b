// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
)

// listKnown tells the save that is to come which chunks its image need not have.
func (c *Commit) listKnown() error {
	if c.scope != artifacts.Full {
		return nil
	}
	digests := c.known.digests()
	if len(digests) == 0 {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(c.dir, job.KnownFile), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("list what the store has: %w", err)
	}
	w := bufio.NewWriter(f)
	for _, d := range digests {
		w.Write(d[:]) // its error is Flush's
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		return fmt.Errorf("list what the store has: %w", err)
	}
	return nil
}
