// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"runtime/debug"
	"slices"
)

// gVisorModule is where the protocol comes from.
const gVisorModule = "gvisor.dev/gvisor"

// GVisorVersion returns the version of gVisor whose protocol this program
// speaks, and "" if it was built without module information.
func GVisorVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	return gVisorVersion(info)
}

// gVisorVersion returns the version of gVisor that the program with this build
// information holds: it is either built from that module or depends on it.
func gVisorVersion(info *debug.BuildInfo) string {
	if info.Main.Path == gVisorModule {
		return info.Main.Version
	}
	i := slices.IndexFunc(info.Deps, func(m *debug.Module) bool { return m.Path == gVisorModule })
	if i < 0 {
		return ""
	}
	return info.Deps[i].Version
}
