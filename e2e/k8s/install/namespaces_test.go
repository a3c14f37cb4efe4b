// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ateom/ateom/e2e/k8s/cluster"
)

// keepNamespacesApart lets pods of one namespace try everything to start from a
// snapshot of another one, whose own pods can. What tells the reason is an event.
func keepNamespacesApart(t *testing.T, k *cluster.Cluster, servers map[string]*server) {
	t.Helper()
	theirs := servers[teamA].full
	tries := []struct{ name, from, store, want string }{
		{"same-name", theirs, "dir", "get snapshot " + theirs + ": not in store"},
		{"their-part", theirs, "dir/" + teamA, "want the name of a store"},
		{"up-and-down", theirs, "dir/../" + teamA, "want the name of a store"},
		{"up", theirs, "..", `has no store ".."`},
		{"directory", theirs, "file:///var/lib/ateom/store", "want the name of a store"},
		{"part-in-id", "../../" + teamA + "/snapshots/" + theirs, "dir", "restore-from"},
		{"rest-of-name", strings.TrimPrefix(teamAB, teamA) + "/" + theirs, "dir", "restore-from"},
	}
	var all []string
	for _, c := range tries {
		all = append(all, restored(c.name, c.from, c.store))
	}
	k.ApplyIn(t, teamAB, strings.Join(all, "---"))
	k.ApplyIn(t, teamA, restored("heir", theirs, "dir"))
	for _, c := range tries {
		k.AwaitWarning(t, teamAB, c.name, c.want)
	}
	k.Await(t, "wait", "-n", teamA, "--for=condition=Ready", "pod/heir")
	heir := &server{Cluster: k, namespace: teamA, name: "heir", word: servers[teamA].word}
	heir.wantMemory(t)
}

// restored is a pod as those of the Deployment that goes on from a snapshot.
func restored(name, from, store string) string {
	return webPod(name, fmt.Sprintf("ateom.dev/restore-from: %q, ateom.dev/store: %q", from, store))
}
