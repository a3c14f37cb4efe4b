// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package portforward

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/shim/network"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// outside is an address in the namespace that is not on the loopback.
const outside = "192.0.2.1"

// newNetns makes a network namespace with addresses and returns its path.
func newNetns(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ns")
	if err := network.New(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { network.Remove(path) })
	err := network.In(path, func(*os.File) error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.AddrAdd(lo, &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(outside), Mask: net.CIDRMask(32, 32)}})
	})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// connect connects to an address in a namespace.
func connect(netns, address string) (conn net.Conn, err error) {
	err = network.In(netns, func(*os.File) (err error) {
		conn, err = net.Dial("tcp", address)
		return err
	})
	if err == nil {
		err = conn.SetDeadline(time.Now().Add(10 * time.Second))
	}
	return conn, err
}

// A sandbox listens on port 80 and answers what it has heard to the end, and
// holds connections to port 81.
func sandbox(t *testing.T) Dialer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			heard, _ := io.ReadAll(conn)
			_, _ = conn.Write(append([]byte("heard "), heard...))
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return func(ctx context.Context, port uint16) (net.Conn, error) {
		switch port {
		case 80:
			var d net.Dialer
			return d.DialContext(ctx, "tcp", l.Addr().String())
		case 81:
			inner, outer := net.Pipe()
			t.Cleanup(func() { outer.Close() })
			return inner, nil
		default:
			return nil, unix.ECONNREFUSED
		}
	}
}

func TestConnectionsReachTheSandbox(t *testing.T) {
	netns := newNetns(t)
	f, err := Open(netns, sandbox(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, address := range []string{"127.0.0.1:80", "127.1.2.3:80", "[::1]:80"} {
		conn, err := connect(netns, address)
		if err != nil {
			t.Errorf("connect to %s: %v", address, err)
			continue
		}
		if _, err := conn.Write([]byte("word")); err != nil {
			t.Error(err)
		}
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Error(err)
		}
		if b, err := io.ReadAll(conn); err != nil || string(b) != "heard word" {
			t.Errorf("%s answers %q, %v", address, b, err)
		}
		conn.Close()
	}
	conn, err := connect(netns, "127.0.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a port where nobody listens: read %d, %v", n, err)
	}
}

func TestOnlyTheLoopbackIsForwarded(t *testing.T) {
	netns := newNetns(t)
	f, err := Open(netns, sandbox(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if conn, err := connect(netns, outside+":80"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("connect to an address of the outside: %v, %v", conn, err)
	}
}

func TestCloseEndsConnections(t *testing.T) {
	netns := newNetns(t)
	f, err := Open(netns, sandbox(t))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := connect(netns, "127.0.0.1:81")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	f.Close()
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection outlived Close: %v", err)
	}
	if conn, err := connect(netns, "127.0.0.1:80"); err == nil {
		conn.Close()
		t.Error("a port is forwarded after Close")
	}
}
