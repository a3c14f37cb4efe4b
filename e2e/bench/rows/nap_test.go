// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/bench/peers"
)

// fake is a peer whose sandboxes are sleep processes and whose programs are
// handlers in this process. Its resume may cheat.
type fake struct {
	name    string
	cheat   string
	account *lab.Account
	dir     string
}

func newFake(t *testing.T, name, cheat string) *fake {
	t.Helper()
	a, err := lab.NewAccount(fmt.Sprintf("ateom-rows-test-%d-%s", os.Getpid(), name))
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{name: name, cheat: cheat, account: a, dir: t.TempDir()}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *fake) Name() string          { return f.name }
func (f *fake) Account() *lab.Account { return f.account }
func (f *fake) Close() error          { return f.account.Close() }

func (f *fake) Prepare(context.Context, peers.Workload) (peers.Sandbox, error) {
	b := &fakeBox{fake: f, state: lab.State{Nonce: "one", File: "f"}, memory: "m"}
	b.server = httptest.NewUnstartedServer(b)
	return b, nil
}

type fakeBox struct {
	*fake
	state  lab.State
	memory string
	kernel *exec.Cmd
	server *httptest.Server
}

func (b *fakeBox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/digest" {
		json.NewEncoder(w).Encode(map[string]string{"digest": b.memory})
		return
	}
	b.state.Counter++
	json.NewEncoder(w).Encode(b.state)
}

func (b *fakeBox) Start(context.Context) error {
	b.server.Start()
	b.kernel = exec.Command("sleep", "1000")
	return b.account.Start(b.kernel)
}

func (b *fakeBox) PID(context.Context) (int, error) { return b.kernel.Process.Pid, nil }

func (b *fakeBox) Pause(context.Context) error {
	if b.cheat == "refuses to pause" {
		return errors.New("not today")
	}
	if err := b.kernel.Process.Kill(); err != nil {
		return err
	}
	b.kernel.Wait()
	return nil
}

func (b *fakeBox) Resume(context.Context) error {
	switch b.cheat {
	case "starts anew":
		b.state = lab.State{Nonce: "two", File: "f"}
	case "goes back in time":
		b.state.Counter--
	case "loses a file":
		b.state.File = "g"
	case "mixes up memory":
		b.memory = "n"
	}
	b.kernel = exec.Command("sleep", "1000")
	return b.account.Start(b.kernel)
}

func (b *fakeBox) Poll() time.Duration { return time.Millisecond }
func (b *fakeBox) Addr() string        { return b.server.Listener.Addr().String() }
func (b *fakeBox) Share() string       { return b.dir }
func (b *fakeBox) Image() string       { return b.dir }

func (b *fakeBox) Close() error {
	b.server.Close()
	b.kernel.Process.Kill()
	b.kernel.Wait()
	return nil
}

func TestOnlyProvenResumesGiveSamples(t *testing.T) {
	cheats := map[string]string{
		"starts anew":       "another process",
		"goes back in time": "counter",
		"loses a file":      "file's digest",
		"mixes up memory":   "memory's digest",
		"refuses to pause":  "not today",
	}
	names := []string{"honest"}
	b := &Bench{
		Ground: &peers.Ground{Dir: t.TempDir()}, Log: t.Output(),
		Peers:   map[string]peers.Peer{"honest": newFake(t, "honest", "")},
		Missing: map[string]string{"absent": "not installed"},
	}
	for cheat := range cheats {
		name := strings.ReplaceAll(cheat, " ", "-")
		b.Peers[name] = newFake(t, name, cheat)
		names = append(names, name)
	}
	n := b.nap(t.Context(), peers.Workload{Name: "w"}, "what", append(names, "absent"), 3)
	for _, p := range places {
		if s := n[p.key]["honest"]; len(s.Samples) != 3 || s.Missing != "" {
			t.Errorf("%s the honest peer has %+v", p.name, s)
		}
	}
	if s := n[pausing]["honest"]; len(s.Samples) != 3*len(places) {
		t.Errorf("the honest peer has paused %d times, want once for every resume", len(s.Samples))
	}
	for cheat, why := range cheats {
		s := n[resuming][strings.ReplaceAll(cheat, " ", "-")]
		if pause := n[pausing][s.Peer]; cheat == "refuses to pause" && len(pause.Samples) != 0 {
			t.Errorf("a pause that was refused gave samples: %v", pause.Samples)
		}
		if len(s.Samples) != 0 || !strings.Contains(s.Missing, why) {
			t.Errorf("the peer that %s has %d samples and is missing for %q, want %q in it", cheat, len(s.Samples), s.Missing, why)
		}
	}
	if s := n[pausing]["absent"]; s.Missing != "not installed" {
		t.Errorf("the absent peer is missing for %q", s.Missing)
	}
}

func TestRowsThatShareMeasurementsMeasureOnce(t *testing.T) {
	b := &Bench{Ground: &peers.Ground{Dir: t.TempDir()}, Log: t.Output(),
		Peers: map[string]peers.Peer{"honest": newFake(t, "honest", "")}}
	w := peers.Workload{Name: "w"}
	first := b.nap(t.Context(), w, "", []string{"honest"}, 1)
	second := b.nap(t.Context(), w, "", []string{"honest"}, 1)
	if first[pausing]["honest"] != second[pausing]["honest"] {
		t.Error("one workload was measured twice")
	}
}

func TestEveryPeerGoesFirstInTurn(t *testing.T) {
	xs := []string{"a", "b", "c"}
	var first []string
	for i := range 4 {
		order := rotate(xs, i)
		first = append(first, order[0])
		if slices.Sort(order); !slices.Equal(order, xs) {
			t.Errorf("round %d runs %v", i, order)
		}
	}
	if want := []string{"a", "b", "c", "a"}; !slices.Equal(first, want) {
		t.Errorf("first were %v, want %v", first, want)
	}
	if got := rotate([]string(nil), 3); len(got) != 0 {
		t.Errorf("rotate(nothing) = %v", got)
	}
}
