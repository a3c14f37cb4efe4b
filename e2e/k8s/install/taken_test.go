// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// besideOurs is a file that containerd reads after our drop-in, and only if the
// import of that is there: what it says is what stands in an install's way.
const besideOurs = "/etc/containerd/conf.d/ateomx.toml"

// noTOML keeps containerd from starting.
const noTOML = "[plugins\n"

// containerd's own words decide whether an install has succeeded: one that does not
// start, one without its plugin for Kubernetes, and one that has another runtime of
// that name. Whichever it is, the node is as it was.
func TestAnInstallThatContainerdDoesNotTake(t *testing.T) {
	k := shared.Cluster(t)
	for _, c := range []struct{ name, theirs, want string }{
		{"does not start", noTOML, "restart containerd"},
		{"without CRI", "version = 3\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n", "ask containerd's CRI plugin"},
		{"replaced", "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.ateom]\nruntime_type = \"io.containerd.runc.v2\"\n", "Type:io.containerd.runc.v2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			putBesideOurs(t, c.theirs)
			before, restarts := nodeFiles(t), k.Restarts()
			err := k.Machine.Install()
			if err == nil || !strings.Contains(err.Error(), "the node is as it was") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("install = %v, want %q", err, c.want)
			}
			if diff := cmp.Diff(before, nodeFiles(t)); diff != "" {
				t.Errorf("the node (-want +got):\n%s", diff)
			}
			if n := k.Restarts() - restarts; n != 2 {
				t.Errorf("containerd was restarted %d times, want once with the drop-in and once without", n)
			}
		})
	}
}

// putBesideOurs writes a file that is in an install's way, until the test ends.
func putBesideOurs(t *testing.T, text string) (remove func()) {
	t.Helper()
	dir := filepath.Dir(besideOurs)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(besideOurs, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	remove = func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(remove)
	return remove
}
