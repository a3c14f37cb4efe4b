// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/ateom/ateom/runsc"
)

// Blink freezes the sandbox and thaws it at once, with the two calls on its
// control socket that a Commit makes, and nothing between them.
func (s *ateomSandbox) Blink(ctx context.Context) error {
	pattern := filepath.Join(s.peer.dir, "run", "runsc", "*", "runsc-"+s.id+".sock")
	sockets, err := filepath.Glob(pattern)
	if err != nil || len(sockets) != 1 {
		return fmt.Errorf("find control socket: %d match %s (%v)", len(sockets), pattern, err)
	}
	c := (&runsc.Runsc{Root: filepath.Dir(sockets[0])}).Control(s.id)
	if err := c.Freeze(ctx); err != nil {
		return err
	}
	return errors.Join(c.Thaw(ctx), ctx.Err())
}
