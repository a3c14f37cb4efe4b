// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package endure

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ateom/ateom/e2e/harness"
)

// What differs from one life of a service to the next: ids of snapshots, digests, numbers.
var (
	snapshotIDs = regexp.MustCompile(`\b[0-9a-hjkmnp-tv-z]{26}\b`)
	digests     = regexp.MustCompile(`\b[0-9a-f]{16,64}\b`)
	inSnapshot  = regexp.MustCompile(`/(snapshots|drafts)/[^/]+/`)
	numbers     = regexp.MustCompile(`\b[0-9]+\b`)
)

// holds counts what the node holds by kind; what is of the service that runs, and of no
// other one, is called alike in all its lives.
func (v *victim) holds(t *testing.T) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, thing := range v.node.Belongings(t) {
		switch {
		case strings.Contains(thing, "/cache/") || strings.Contains(thing, "/lost"):
			continue // copies, which are bounded, and what was set aside for somebody to look at
		case strings.HasSuffix(thing, "-status.json.tmp"):
			continue // a side-car that is ended in mid-write leaves this to the next, which writes over it
		case strings.Contains(thing, unlocked):
			continue // see wantNothingLeft
		case inSnapshot.MatchString(thing):
			continue // it goes with the snapshot, which is counted
		}
		// A process may have other arguments than its like in the life before.
		if args, ok := strings.CutPrefix(thing, "process "); ok && strings.Contains(args, v.ID) {
			program, _, _ := strings.Cut(args, " ")
			thing = "process " + filepath.Base(program) + " of ID"
		}
		thing = strings.ReplaceAll(thing, v.ID, "ID")
		thing = snapshotIDs.ReplaceAllString(thing, "SNAPSHOT")
		thing = digests.ReplaceAllString(thing, "DIGEST")
		counts[numbers.ReplaceAllString(thing, "N")]++
	}
	counts[openFiles] = v.openFiles(t)
	return counts
}

// unlocked begins the names of drafts whose maker was killed before it had locked them: nobody
// sweeps them in their first minute.
const unlocked = "/drafts/making-"

// openFiles are those of the shim of the service that runs, see slack.
const openFiles = "open file of the shim"

func (v *victim) openFiles(t *testing.T) (n int) {
	t.Helper()
	for _, pid := range v.find(t, shim) {
		open, err := os.ReadDir(filepath.Join("/proc", fmt.Sprint(pid), "fd"))
		if err := ignoreGone(err); err != nil {
			t.Fatal(err)
		}
		n += len(open)
	}
	return n
}

// learn notes what the node holds as usual.
func (v *victim) learn(t *testing.T) {
	t.Helper()
	for thing, count := range v.holds(t) {
		v.usual[thing] = max(v.usual[thing], count)
	}
}

// wantNothingMore waits until the node holds no more than usual.
func (v *victim) wantNothingMore(t *testing.T) {
	t.Helper()
	harness.Eventually(t, func() error {
		var more []string
		for thing, count := range v.holds(t) {
			usual := v.usual[thing]
			if thing == openFiles {
				usual += slack
			}
			if count > usual {
				more = append(more, fmt.Sprintf("%d × %s, usually %d", count, thing, usual))
			}
		}
		for _, task := range v.dead {
			if v.cutOff[task.ID] && !strings.Contains(harness.ReadFile(t, v.node.LogPath()), `msg="cleaning up dead shim" id=`+task.ID+" ") {
				// containerd had not connected to it yet, and runs no delete action: the next shim
				// at this address makes the socket its own.
				_ = os.Remove(task.ShimSocket(t))
			}
			if path := task.ShimSocket(t); exists(path) {
				more = append(more, "socket of the shim of "+task.ID)
			}
		}
		if slices.Sort(more); len(more) > 0 {
			return fmt.Errorf("the node holds more than usual:\n%s", strings.Join(more, "\n"))
		}
		return nil
	})
	v.dead = nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// wantNothingLeft removes the service, and looks for what killed processes left.
func (v *victim) wantNothingLeft(t *testing.T) {
	t.Helper()
	v.Remove(t)
	v.told.wantOnce(t)
	making, err := filepath.Glob(filepath.Join(v.node.Config.StateDir, unlocked+"*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, draft := range making {
		long := time.Now().Add(-time.Hour)
		if err := os.Chtimes(draft, long, long); err != nil {
			t.Fatal(err)
		}
	}
	// Whoever comes next sweeps.
	next := v.node.Run(t, harness.Container{Args: []string{"true"}})
	next.Remove(t)
	for _, dir := range []string{"drafts", "origins/*", "volumes/*"} {
		left, err := filepath.Glob(filepath.Join(v.node.Config.StateDir, dir, "*"))
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %q, %v", left, err)
		}
	}
}
