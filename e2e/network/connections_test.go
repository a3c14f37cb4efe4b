// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package network

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/e2e/harness"
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
