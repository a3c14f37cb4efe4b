// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// places are where a node's programs write, whatever they are told.
var places = []string{"/etc", "/opt", "/var/lib", "/var/log", "/usr/local"}

// coverPlaces mounts an overlay over each place: the machine's files can be
// read, and what is written lands in dir.
func coverPlaces(dir string) error {
	for _, place := range places {
		name := strings.ReplaceAll(strings.Trim(place, "/"), "/", "-")
		upper, work := filepath.Join(dir, name), filepath.Join(dir, name+".work")
		for _, d := range []string{upper, work} {
			if err := os.MkdirAll(d, 0o755); err != nil {
				return err
			}
		}
		options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", place, upper, work)
		if err := unix.Mount("overlay", place, "overlay", 0, options); err != nil {
			return fmt.Errorf("mount an overlay over %s: %w", place, err)
		}
	}
	if err := os.MkdirAll(runDir, 0o711); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", runDir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=711"); err != nil {
		return fmt.Errorf("mount %s: %w", runDir, err)
	}
	return nil
}

// runDir is where the runtime keeps what is volatile.
const runDir = "/run/ateom"

// uncoverPlaces undoes coverPlaces, with all that was mounted on top.
func uncoverPlaces() error {
	var errs []error
	for _, place := range append([]string{runDir}, places...) {
		if err := unix.Unmount(place, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, fmt.Errorf("unmount the overlay over %s: %w", place, err))
		}
	}
	return errors.Join(errs...)
}
