// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pause

import (
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/shim/config"
)

const (
	// held is what the program holds, in MiB.
	held = 256
	// spare is what its limit leaves above all that the sandbox has in use. Half of it is what
	// gVisor's kernel was seen to need for a save.
	spare = 16 << 20
)

// A sandbox that has little room below its memory limit is committed, paused and resumed
// without ever reaching it: neither the page cache is charged to it nor what bytes pass through
// on their way. What it is resumed with is charged to it: its limit still holds.
func TestASavedAndResumedSandboxIsChargedWhatItHolds(t *testing.T) {
	for _, how := range []config.CheckpointIO{config.Gofer, config.Files} {
		t.Run(string(how), func(t *testing.T) {
			t.Parallel()
			name := "tight-" + string(how)
			cgroup, err := harness.MakeCgroup(name)
			if err != nil {
				t.Fatal(err)
			}
			n := harness.NewNode(t, harness.Config{Config: config.Config{CheckpointIO: how}})
			c := harness.ServiceContainer(harness.NewNetwork(t), held, map[string]string{
				"ateom.dev/durable-dirs": `[{"name":"home","mountPath":"/home"}]`,
			}, "/home")
			c.Opts = append(c.Opts, oci.WithCgroup("/"+cgroup+"/box"))
			s := n.RunService(t, c)

			usage := func() int64 {
				t.Helper()
				bytes, err := harness.CgroupMemory(name)
				if err != nil {
					t.Fatal(err)
				}
				return bytes
			}
			running := usage()
			if running < held<<20 {
				t.Fatalf("the cgroup has %d bytes while the program holds %d MiB: it is not the sandbox's", running, held)
			}
			if err := harness.LimitCgroup(cgroup, running+spare); err != nil {
				t.Fatal(err)
			}
			var last harness.Pressure
			// since returns what came of the limit since the last call.
			since := func(what string) harness.Pressure {
				t.Helper()
				now, err := harness.PressureOf(cgroup)
				if err != nil {
					t.Fatal(err)
				}
				p := harness.Pressure{Hits: now.Hits - last.Hits, Kills: now.Kills - last.Kills}
				last = now
				t.Logf("after %s: %.1f MiB, %+v", what, float64(usage())/(1<<20), p)
				return p
			}
			want := func(what string) {
				t.Helper()
				if p := since(what); p != (harness.Pressure{}) {
					t.Errorf("%s made the sandbox reach its limit, %d MiB above what it had in use: %+v", what, spare>>20, p)
				}
			}
			for _, scope := range []artifacts.Scope{artifacts.Full, artifacts.Data} {
				n.Ateom(t, "tasks", "commit", "--scope", string(scope), s.ID)
				want("a commit of scope " + string(scope))
			}
			for range 2 {
				n.Ateom(t, "tasks", "pause", s.ID)
				want("a pause")
				n.Ateom(t, "tasks", "resume", s.ID)
				s.WantSame(t, s.Last()) // which reads all of its memory
				harness.Eventually(t, func() error {
					if status := n.Ateom(t, "tasks", "status", s.ID); strings.Contains(status, "remaining") {
						return fmt.Errorf("memory is on its way: %s", status)
					}
					return nil
				})
				if how == config.Files {
					// The sandbox reads its image itself: it has the page cache of that, and
					// gives it up again where it needs room, from now on.
					if p := since("a resume"); p.Kills > 0 {
						t.Errorf("a resume killed %d processes", p.Kills)
					}
					break
				}
				want("a resume")
				if resumed := usage(); resumed < held<<20 {
					t.Errorf("a resumed sandbox is charged %d bytes, and its program holds %d MiB", resumed, held)
				}
			}
		})
	}
}
