// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
)

// Kubelet replaces the content of a configMap, a secret or a projected volume
// whole (kubernetes: pkg/volume/util/atomic_writer.go): each version lies in a
// directory of its own, which the link ..data leads to, and the older one is removed.
const dataLink = "..data"

// versioned are the kinds of volumes that it does so with: the name of the
// directory that a pod's volumes of that kind lie in. Others are the pod's to write.
var versioned = []string{"kubernetes.io~configmap", "kubernetes.io~secret", "kubernetes.io~projected", "kubernetes.io~downward-api"}

// versionName is how kubelet names a version: after the time, and by lot.
var versionName = regexp.MustCompile(`^\.\.\d{4}_\d{2}_\d{2}_\d{2}_\d{2}_\d{2}\.\d{1,20}$`)

// offerName is an offer on its way, which a crash may leave.
const offerName = "..ateom-offer"

// Version is the name of the directory that holds the content of a volume which
// kubelet replaces whole; "" for any other directory.
func Version(volume string) string {
	if !slices.Contains(versioned, path.Base(path.Dir(volume))) {
		return ""
	}
	name, err := os.Readlink(path.Join(volume, dataLink))
	if err != nil || !versionName.MatchString(name) {
		return ""
	}
	return name
}

// Offer has what a volume holds now be found under the name of another version
// too, if it is one that kubelet replaces whole. A sandbox that is restored opens
// the files that were open again by their names, and what they were in has
// another name in another pod, or after a change of the configMap. The files are the same
// ones; the directory goes with the volume.
func Offer(volume, version string) (err error) {
	now := Version(volume)
	if now == "" || now == version || !versionName.MatchString(version) {
		return nil
	}
	// Nothing in the volume can lead out of it.
	root, err := os.OpenRoot(volume)
	if err != nil {
		return fmt.Errorf("offer version %s of volume %s: %w", version, volume, err)
	}
	defer root.Close()
	if _, err := root.Lstat(version); err == nil {
		return nil
	}
	if err := offer(root, now, version); err != nil {
		return fmt.Errorf("offer version %s of volume %s: %w", version, volume, errors.Join(err, root.RemoveAll(offerName)))
	}
	return nil
}

func offer(root *os.Root, now, version string) error {
	if err := root.RemoveAll(offerName); err != nil {
		return err
	}
	from, err := root.OpenRoot(now)
	if err != nil {
		return err
	}
	defer from.Close()
	err = fs.WalkDir(from.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := path.Join(offerName, name)
		if !e.IsDir() {
			return root.Link(path.Join(now, name), to)
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if err := root.Mkdir(to, 0o700); err != nil {
			return err
		}
		return root.Chmod(to, info.Mode().Perm())
	})
	if err != nil {
		return err
	}
	return root.Rename(offerName, version)
}
