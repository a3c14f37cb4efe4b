// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package network

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/harness"
)

const (
	echoPort    = "9000"
	controlPort = "8080"
)

// run runs the guest and waits until it serves.
func run(t *testing.T, n *harness.Node, network *lab.Net, annotations map[string]string) *harness.Task {
	t.Helper()
	task := n.Run(t, harness.GuestContainer(t, "./guest", network, annotations))
	task.AwaitLog(t, "serving")
	return task
}

// ask asks the guest at an address, and decodes the answer into v unless that is nil.
func ask(t *testing.T, ip, path string, query url.Values, v any) {
	t.Helper()
	if err := tryAsk(t, ip, path, query, v); err != nil {
		t.Fatal(err)
	}
}

func tryAsk(t *testing.T, ip, path string, query url.Values, v any) error {
	ctx, cancel := context.WithTimeout(t.Context(), harness.Limit)
	defer cancel()
	u := url.URL{Scheme: "http", Host: net.JoinHostPort(ip, controlPort), Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask %s: %s %s %w", u.String(), resp.Status, body, err)
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(body, v)
}

// wantEnd waits until the guest has noticed the end of a connection.
func wantEnd(t *testing.T, ip, name string) {
	t.Helper()
	harness.Eventually(t, func() error {
		ends := map[string]string{}
		if err := tryAsk(t, ip, "/ends", nil, &ends); err != nil {
			return err
		}
		if ends[name] == "" {
			return fmt.Errorf("the guest has not noticed the end of the connection %s: %q", name, ends)
		}
		return nil
	})
}

// A peer is the test's end of a connection with the guest.
type peer struct {
	net.Conn
	lines chan string // what was read; closed at the end
	end   error
}

func newPeer(conn net.Conn) *peer {
	p := &peer{Conn: conn, lines: make(chan string, 100)}
	go func() {
		defer close(p.lines)
		for r := bufio.NewReader(conn); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				p.end = err
				return
			}
			p.lines <- line
		}
	}()
	return p
}

// dial connects to the guest's echo.
func dial(t *testing.T, ip string) *peer {
	t.Helper()
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(ip, echoPort), harness.Limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	p := newPeer(conn)
	p.wantEcho(t)
	return p
}

// wantEcho fails the test unless the guest echoes.
func (p *peer) wantEcho(t *testing.T) {
	t.Helper()
	if _, err := fmt.Fprintln(p, "hello"); err != nil {
		t.Fatal(err)
	}
	p.wantLine(t)
}

func (p *peer) wantLine(t *testing.T) {
	t.Helper()
	select {
	case _, ok := <-p.lines:
		if !ok {
			t.Fatalf("the connection ended: %v", p.end)
		}
	case <-time.After(harness.Limit):
		t.Fatal("the guest echoes nothing")
	}
}

// wantEnded fails the test unless the connection has ended. That nobody has
// answered for a while is no end.
func (p *peer) wantEnded(t *testing.T) {
	t.Helper()
	select {
	case line, ok := <-p.lines:
		if ok {
			t.Fatalf("the connection says %q", line)
		}
		var timeout net.Error
		if errors.As(p.end, &timeout) && timeout.Timeout() {
			t.Errorf("the connection timed out: %v", p.end)
		}
	case <-time.After(5 * time.Second):
		t.Error("the peer was told nothing within 5 s")
	}
}

// wantOpen fails the test if the connection has ended.
func (p *peer) wantOpen(t *testing.T) {
	t.Helper()
	select {
	case _, ok := <-p.lines:
		if !ok {
			t.Errorf("the connection ended: %v", p.end)
		}
	default:
	}
}
