// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/shim/config"
)

// runWith runs the guest on a node whose runsc has another kind of network.
func runWith(t *testing.T, kind string) (*harness.Task, *lab.Net) {
	t.Helper()
	n := harness.NewNode(t, harness.Config{Config: config.Config{RunscFlags: map[string]string{"network": kind}}})
	network := harness.NewNetwork(t)
	return run(t, n, network, nil), network
}

// askInside asks the guest from within its sandbox, by a process that is exec'd.
func askInside(t *testing.T, task *harness.Task, path string, query url.Values, v any) {
	t.Helper()
	u := url.URL{Scheme: "http", Host: "127.0.0.1:" + controlPort, Path: path, RawQuery: query.Encode()}
	r := task.Node.Do(t, harness.Command{Program: "ctr", Args: []string{"task", "exec", "--exec-id", harness.NewID(t), task.ID, "wget", "-q", "-O", "-", u.String()}})
	if r.Code != 0 {
		t.Fatalf("ask %s: exit code %d: %s", u.String(), r.Code, r.Stderr)
	}
	if v == nil {
		return
	}
	if err := json.Unmarshal([]byte(r.Stdout), v); err != nil {
		t.Fatalf("ask %s: %q: %v", u.String(), r.Stdout, err)
	}
}

// wantUntaken fails the test unless the namespace's interface has its address: of
// these sandboxes nobody takes any.
func wantUntaken(t *testing.T, network *lab.Net) {
	t.Helper()
	_, h := open(t, network)
	link, err := h.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	list, err := h.AddrList(link, netlink.FAMILY_V4)
	if err != nil || len(list) != 1 || !list[0].IP.Equal(network.IP) {
		t.Errorf("eth0 has %v, %v, want %s", list, err, network.IP)
	}
}

// A sandbox without a network has a loopback, whose connections go on, and nothing
// else; its namespace's interface stays as it is.
func TestASandboxWithoutANetworkSleeps(t *testing.T) {
	t.Parallel()
	task, network := runWith(t, "none")
	n, ctx := task.Node, task.Node.Context(t)
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	outside := net.JoinHostPort(testAddress(t, network), fmt.Sprint(l.Addr().(*net.TCPAddr).Port))
	look := func() {
		t.Helper()
		links := map[string]string{}
		askInside(t, task, "/links", nil, &links)
		if len(links) != 1 || !strings.Contains(links["lo"], "127.0.0.1/8") {
			t.Errorf("interfaces %q, want a loopback alone", links)
		}
		r := n.Do(t, harness.Command{Program: "ctr", Args: []string{"task", "exec", "--exec-id", harness.NewID(t), task.ID, "wget", "-q", "-O", "-", "http://" + outside}})
		if r.Code == 0 || !strings.Contains(r.Stderr, "unreachable") {
			t.Errorf("reaching %s: exit code %d: %s", outside, r.Code, r.Stderr)
		}
		wantUntaken(t, network)
	}
	look()
	askInside(t, task, "/dial", url.Values{"to": {"127.0.0.1:9000"}}, nil)
	for range 2 {
		if err := task.Pause(ctx); err != nil {
			t.Fatal(err)
		}
		wantUntaken(t, network)
		if err := task.Resume(ctx); err != nil {
			t.Fatal(err)
		}
		look()
		askInside(t, task, "/send", url.Values{"name": {"to 127.0.0.1:9000"}}, nil)
	}
	ends := map[string]string{}
	if askInside(t, task, "/ends", nil, &ends); ends["to 127.0.0.1:9000"] != "" {
		t.Errorf("the connection over the loopback ended: %q", ends)
	}
}

// testAddress is the test's own address in a network.
func testAddress(t *testing.T, network *lab.Net) string {
	t.Helper()
	conn, err := net.Dial("udp", net.JoinHostPort(network.IP.String(), "1"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).IP.String()
}

// Sockets of a sandbox with the host's network are those of its namespace: peers are
// told of a pause by Linux, which refuses whoever comes meanwhile, and its listeners
// come back.
func TestASandboxWithTheHostsNetworkSleeps(t *testing.T) {
	t.Parallel()
	task, network := runWith(t, "host")
	ctx := task.Node.Context(t)
	ip := network.IP.String()
	for range 2 {
		links := map[string]string{}
		ask(t, ip, "/links", nil, &links)
		if !strings.Contains(links["eth0"], ip+"/") {
			t.Errorf("interfaces %q, want eth0 with %s", links, ip)
		}
		wantUntaken(t, network)
		in := dial(t, ip)
		out, outName := listen(t, ip)
		if err := task.Pause(ctx); err != nil {
			t.Fatal(err)
		}
		in.wantEnded(t)
		out.wantEnded(t)
		wantUntaken(t, network)
		if _, err := net.DialTimeout("tcp", net.JoinHostPort(ip, echoPort), 5*time.Second); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("connecting to a paused sandbox: %v, want a refusal", err)
		}
		if err := task.Resume(ctx); err != nil {
			t.Fatal(err)
		}
		wantEnd(t, ip, "from "+in.LocalAddr().String())
		wantEnd(t, ip, outName)
		dial(t, ip).Close()
	}
	task.WantState(t, client.Running)
}
