// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
)

// snapshots are the ids in a store.
func snapshots(t *testing.T, n *harness.Node, store string) []string {
	t.Helper()
	out := n.Ateom(t, "snapshots", "ls", "--json", "--store", store)
	var all []struct{ ID string }
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatalf("snapshots ls --json wrote %q: %v", out, err)
	}
	var ids []string
	for _, s := range all {
		ids = append(ids, s.ID)
	}
	return ids
}

// hasState reports whether the table that `ctr tasks ls` prints says state of id.
func hasState(table, id, state string) bool {
	for row := range strings.Lines(table) {
		if f := strings.Fields(row); len(f) == 3 && f[0] == id {
			return f[2] == state
		}
	}
	return false
}

type wrongState struct{ id, want, table string }

func (e *wrongState) Error() string {
	return fmt.Sprintf("%s is not %s:\n%s", e.id, e.want, e.table)
}
