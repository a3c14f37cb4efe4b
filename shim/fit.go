// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/ateom/ateom/shim/config"
	"github.com/ateom/ateom/shim/gofer"
	"github.com/ateom/ateom/shim/rundir"
)

// fitLimit bounds the proof, which takes some 20 ms, or 300 ms where runsc has
// to be tried.
const fitLimit = time.Minute

// A fit remembers who moves the bytes of a sandbox's checkpoints.
type fit struct {
	mu  sync.Mutex
	how config.CheckpointIO // "" while unknown
}

// checkpointIO says who moves the bytes of checkpoints: the gofer, unless the
// configuration says otherwise or runsc and it do not speak the same protocol.
func (s *sandbox) checkpointIO(ctx context.Context) config.CheckpointIO {
	s.fit.mu.Lock()
	defer s.fit.mu.Unlock()
	if s.fit.how != "" {
		return s.fit.how
	}
	how := s.cfg.CheckpointIO
	var err error
	if how == config.Gofer {
		err = s.proveFit(context.WithoutCancel(ctx))
	}
	switch {
	case errdefs.IsFailedPrecondition(err), errdefs.IsNotFound(err):
		log.G(ctx).WithError(err).Warn("runsc and the checkpoint side-car do not fit; plain files are used")
		how = config.Files
	case err != nil:
		log.G(ctx).WithError(err).Warn("find out whether runsc and the checkpoint side-car fit")
		return how // until it is known, they are believed to
	}
	s.fit.how = how
	return how
}

// proveFit has the gofer check itself against runsc, once on a node for these
// files: the outcome is kept in the run directory, empty for success.
func (s *sandbox) proveFit(ctx context.Context) error {
	binary, err := s.cfg.GoferPath()
	if err != nil {
		return err
	}
	sidecar, err := findSidecar(binary)
	if err != nil {
		return fmt.Errorf("%w: %w", err, errdefs.ErrNotFound)
	}
	note, err := fitNote(s.cfg.RunDir, s.runsc.Binary, sidecar, binary)
	if err != nil {
		return err
	}
	if reason, err := os.ReadFile(note); err == nil {
		if len(reason) > 0 {
			return fmt.Errorf("%s: %w", reason, errdefs.ErrFailedPrecondition)
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, fitLimit)
	defer cancel()
	checks := rundir.Checks(s.cfg.RunDir)
	if err := os.MkdirAll(checks, 0o700); err != nil {
		return fmt.Errorf("check gofer: %w", err)
	}
	err = gofer.Check(ctx, binary, s.runsc.Starter, s.runsc.Binary, checks)
	reason := ""
	if errdefs.IsFailedPrecondition(err) {
		reason = err.Error()
	} else if err != nil {
		return err
	}
	// A note that cannot be written costs time, nothing else.
	tmp := fmt.Sprintf("%s.%d", note, os.Getpid())
	if os.WriteFile(tmp, []byte(reason), 0o600) == nil {
		_ = os.Rename(tmp, note)
	}
	return err
}

// fitNote returns the path of the note about programs, which changes when one
// of them does.
func fitNote(dir string, programs ...string) (string, error) {
	key := sha256.New()
	for _, p := range programs {
		var st syscall.Stat_t
		if err := syscall.Stat(p, &st); err != nil {
			return "", fmt.Errorf("stat %s: %w", p, err)
		}
		fmt.Fprintln(key, st.Dev, st.Ino, st.Size, st.Ctim)
	}
	return filepath.Join(dir, fmt.Sprintf("fit-%x", key.Sum(nil)[:8])), nil
}
