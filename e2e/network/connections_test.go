// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package network

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/images"
)

// listen accepts one connection from the guest, which it has been told to open.
func listen(t *testing.T, guest string) (_ *peer, name string) {
	t.Helper()
	host, err := net.Dial("udp", net.JoinHostPort(guest, "1")) // finds the test's own address
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	l, err := net.Listen("tcp", net.JoinHostPort(host.LocalAddr().(*net.UDPAddr).IP.String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ask(t, guest, "/dial", url.Values{"to": {l.Addr().String()}}, nil)
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	p := newPeer(conn)
	p.wantEcho(t)
	return p, "to " + l.Addr().String()
}

// Whoever is connected with a sandbox that is paused is told at once, whichever
// side has opened the connection and though neither says a word; so is whoever
// connects meanwhile. The program hears of it when it is back; what it has with
// itself goes on.
func TestPauseClosesConnections(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	network := harness.NewNetwork(t)
	ip := network.IP.String()
	task := run(t, n, network, nil)
	ask(t, ip, "/dial", url.Values{"to": {"127.0.0.1:9000"}}, nil)
	ctx := n.Context(t)
	for range 2 {
		in := dial(t, ip)
		out, outName := listen(t, ip)
		if err := task.Pause(ctx); err != nil {
			t.Fatal(err)
		}
		in.wantEnded(t)
		out.wantEnded(t)
		if _, err := net.DialTimeout("tcp", net.JoinHostPort(ip, echoPort), 5*time.Second); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("connecting to a paused sandbox: %v, want a refusal", err)
		}
		if err := task.Resume(ctx); err != nil {
			t.Fatal(err)
		}
		wantEnd(t, ip, "from "+in.LocalAddr().String())
		wantEnd(t, ip, outName)
		dial(t, ip).Close()
		ask(t, ip, "/send", url.Values{"name": {"to 127.0.0.1:9000"}}, nil)
	}
	ends := map[string]string{}
	ask(t, ip, "/ends", nil, &ends)
	if end := ends["to 127.0.0.1:9000"]; end != "" {
		t.Errorf("the connection over the loopback ended: %s", end)
	}
}

// With Keep a connection goes on where it was, and what was sent meanwhile
// arrives.
func TestKeptConnectionsGoOn(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	network := harness.NewNetwork(t)
	ip := network.IP.String()
	task := run(t, n, network, map[string]string{"ateom.dev/connections": "Keep"})
	in := dial(t, ip)
	out, outName := listen(t, ip)
	ctx := n.Context(t)
	for range 3 {
		if err := task.Pause(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintln(in, "are you asleep?"); err != nil {
			t.Fatal(err)
		}
		if err := task.Resume(ctx); err != nil {
			t.Fatal(err)
		}
		in.wantLine(t)
		in.wantEcho(t)
		out.wantEcho(t)
		ask(t, ip, "/send", url.Values{"name": {outName}}, nil)
		out.wantLine(t)
	}
}

// A commit leaves the connections of its sandbox alone; the copy, which has
// other addresses, hears that it has none, whatever the annotation says.
func TestACopyHasNoConnections(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	for _, policy := range []string{"Close", "Keep"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			network := harness.NewNetwork(t)
			ip := network.IP.String()
			annotations := map[string]string{"ateom.dev/connections": policy}
			task := run(t, n, network, annotations)
			in := dial(t, ip)
			out, outName := listen(t, ip)
			id := harness.LastLine(n.Ateom(t, "tasks", "commit", "--scope", "Full", task.ID))

			elsewhere := harness.NewNetwork(t)
			annotations["ateom.dev/restore-from"], annotations["ateom.dev/store"] = id, "dir"
			n.Run(t, harness.GuestContainer(t, "./guest", elsewhere, annotations))
			wantEnd(t, elsewhere.IP.String(), "from "+in.LocalAddr().String())
			wantEnd(t, elsewhere.IP.String(), outName)
			dial(t, elsewhere.IP.String())
			listen(t, elsewhere.IP.String())

			in.wantOpen(t)
			in.wantEcho(t)
			out.wantEcho(t)
		})
	}
}

// counter counts in its memory and in a file on a DurableDir that it has mapped,
// and says so if they do not agree.
const counter = `
import mmap, sys
f = open("/data/count", "w+b"); f.truncate(8)
m = mmap.mmap(f.fileno(), 8)
count = 0
print("counting", flush=True)
while True:
    there = int.from_bytes(m[:8], "little")
    if there != count:
        print("the file has", there, "and memory", count, flush=True)
        sys.exit(3)
    count += 1
    m[:8] = count.to_bytes(8, "little")
`

// To close its connections a sandbox is killed after its memory was saved. Not
// an instruction of its programs runs in between: their files would be ahead of
// their memory.
func TestNothingRunsAfterASave(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	task := n.Run(t, harness.Container{
		Image: images.Debian, Args: []string{"python3", "-c", counter}, Network: harness.NewNetwork(t),
		Annotations: map[string]string{"ateom.dev/durable-dirs": `[{"name":"data","mountPath":"/data"}]`},
	})
	task.AwaitLog(t, "counting")
	ctx := n.Context(t)
	for range 5 {
		if err := task.Pause(ctx); err != nil {
			t.Fatal(err)
		}
		if err := task.Resume(ctx); err != nil {
			t.Fatal(err)
		}
	}
	task.WantState(t, client.Running)
	if log := task.Log(t); strings.TrimSpace(log) != "counting" {
		t.Errorf("the program says: %s", log)
	}
}
