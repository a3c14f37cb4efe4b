// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/runsc"
	"github.com/ateom/ateom/shim/config"
)

// identify returns which build of runsc lies at a path.
func (s *sandbox) identify(ctx context.Context, path string) (runsc.Identity, error) {
	return runsc.Identify(ctx, path, filepath.Join(s.cfg.RunDir, "runsc-id"))
}

// madeBy returns the build that the sandbox's processes were made with. It is
// noted when they are: the file may be another one by the time of a save.
func (s *sandbox) madeBy(ctx context.Context) (runsc.Identity, error) {
	if s.build.SHA256 == "" {
		var err error
		if s.build, err = s.identify(ctx, s.runsc.Binary); err != nil {
			return runsc.Identity{}, err
		}
	}
	return s.build, nil
}

// useBuild makes the build that a snapshot needs the sandbox's, if the node has
// it. The sandbox has no processes then.
func (s *sandbox) useBuild(ctx context.Context, want runsc.Identity) error {
	path, err := s.findBuild(ctx, want)
	if err != nil {
		return err
	}
	s.runsc.Binary, s.build = path, want
	return nil
}

// findBuild returns the path of a build: the sandbox's own runsc, the node's
// default, one of runsc-builds, or one that the installer has kept. The
// configuration is read anew before the search is given up: who has just upgraded
// a node puts there what it had.
func (s *sandbox) findBuild(ctx context.Context, want runsc.Identity) (path string, err error) {
	own, err := s.identify(ctx, s.runsc.Binary)
	if err == nil && own.SHA256 == want.SHA256 {
		return s.runsc.Binary, nil
	}
	if path, err := s.searchBuilds(ctx, s.cfg, want); path != "" || err != nil {
		return path, err
	}
	if s.reload != nil {
		cfg, err := s.reload()
		if err != nil {
			return "", err
		}
		if path, err := s.searchBuilds(ctx, cfg, want); path != "" || err != nil {
			return path, err
		}
	}
	return "", &BuildError{Want: want, Has: own}
}

// searchBuilds looks for a build in a configuration; "" is not there.
func (s *sandbox) searchBuilds(ctx context.Context, cfg *config.Config, want runsc.Identity) (path string, err error) {
	for _, b := range cfg.RunscBuilds {
		if b.SHA256 != want.SHA256 {
			continue
		}
		is, err := s.identify(ctx, b.Path)
		if err != nil {
			return "", fmt.Errorf("find runsc %s (sha256 %s): %w: %w", want.Version, want.SHA256, err, errdefs.ErrFailedPrecondition)
		}
		if is.SHA256 != b.SHA256 {
			return "", fmt.Errorf("find runsc %s: %s has sha256 %s, and runsc-builds says %s: %w", want.Version, b.Path, is.SHA256, b.SHA256, errdefs.ErrFailedPrecondition)
		}
		return b.Path, nil
	}
	if path, err := cfg.RunscPath(); err == nil {
		for _, path := range []string{path, keptBuild(path, want.SHA256)} {
			if is, err := s.identify(ctx, path); err == nil && is.SHA256 == want.SHA256 {
				return path, nil
			}
		}
	}
	return "", nil
}

// keptBuild is where the installer puts a build before it replaces it at a path,
// DIR/bin/runsc (cmd/installer/node/programs.go).
func keptBuild(path, sum string) string {
	if b, err := hex.DecodeString(sum); err != nil || len(b) != sha256.Size {
		return path // no name of a file: what a snapshot says may be anything
	}
	return filepath.Join(filepath.Dir(filepath.Dir(path)), "builds", sum, "runsc")
}

// A BuildError is a build of runsc that is wanted and that the node does not have.
type BuildError struct {
	Want runsc.Identity
	// Has is the build that the node has at its place, if any.
	Has runsc.Identity
}

func (e *BuildError) Error() string {
	return fmt.Sprintf("it needs runsc %s (sha256 %s), and this node has %s (sha256 %s); install that build beside it and name it in runsc-builds of the node's configuration",
		e.Want.Version, e.Want.SHA256, e.Has.Version, e.Has.SHA256)
}

// Unwrap makes errors.Is(err, errdefs.ErrFailedPrecondition) true.
func (e *BuildError) Unwrap() error { return errdefs.ErrFailedPrecondition }

// sentryBinary is what runsc starts as the sandbox's process, if it finds it
// where its side-cars are.
const sentryBinary = "gvisor_sentry"

// sidecars returns a directory that holds the side-car and the sentry that
// belongs to the sandbox's build of runsc: the one where the side-car lies, or
// one that is made of links, if runsc lies elsewhere.
func (s *sandbox) sidecars(sidecar string) (string, error) {
	own := filepath.Join(filepath.Dir(s.runsc.Binary), "gvisor-bin")
	if own == filepath.Dir(sidecar) {
		return own, nil
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{own, sidecar}, "\x00")))
	dir := filepath.Join(s.cfg.RunDir, "runsc-bin", fmt.Sprintf("%x", sum[:8]))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("gather side-cars: %w", err)
	}
	links := map[string]string{job.SeatBinary: sidecar}
	// Without one, runsc is the sandbox's process itself.
	if _, err := os.Stat(filepath.Join(own, sentryBinary)); err == nil {
		links[sentryBinary] = filepath.Join(own, sentryBinary)
	}
	for name, to := range links {
		// Every sandbox of the build makes the same ones.
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrExist) {
			return "", fmt.Errorf("gather side-cars: %w", err)
		}
	}
	return dir, nil
}
