// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"path"
	"strings"
)

// Cgroup returns the cgroup of the pod that a container's cgroup lies in, or the
// path as it is if it lies in none:
//
//	/kubepods/burstable/pod<uid>/<id>                     → /kubepods/burstable/pod<uid>
//
// The sandbox lives there, rather than in the pause container's own cgroup:
// what all containers use together is what the pod's limits bound. runsc has an
// annotation for that, but refuses to restore if it changes.
//
// systemd's names (slice:prefix:name) stay as they are: their scope lies below
// the pod's slice, whose limits hold for it.
func Cgroup(cgroupsPath string) string {
	if strings.Contains(path.Base(cgroupsPath), ":") {
		return cgroupsPath
	}
	for dir := path.Clean(cgroupsPath); dir != "/" && dir != "."; dir = path.Dir(dir) {
		if strings.HasPrefix(path.Base(dir), "pod") {
			return dir
		}
	}
	return cgroupsPath
}
