// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"
	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/ateom/ateom/e2e/harness"
)

var streams = []check{
	{"a command has streams", execStreams},
	{"a container is attached to", attachStreams},
	{"a port is forwarded", portIsForwarded},
}

// Channels of an exec's or an attach's WebSocket: the first byte of a message
// (kubernetes: pkg/util/remotecommand, v4.channel.k8s.io).
const (
	stdin  = 0
	stdout = 1
	stderr = 2
	status = 3
)

// A stream is a WebSocket of containerd's streaming server.
type stream struct{ *websocket.Conn }

func open(t *testing.T, url string) *stream {
	t.Helper()
	config, err := websocket.NewConfig(strings.Replace(url, "http://", "ws://", 1), "http://localhost")
	if err != nil {
		t.Fatal(err)
	}
	config.Protocol = []string{"v4.channel.k8s.io"}
	conn, err := websocket.DialConfig(config)
	if err != nil {
		t.Fatalf("open %s: %v", url, err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(harness.Limit)); err != nil {
		t.Fatal(err)
	}
	conn.PayloadType = websocket.BinaryFrame
	return &stream{conn}
}

func (s *stream) send(t *testing.T, channel byte, data string) {
	t.Helper()
	if _, err := s.Write(append([]byte{channel}, data...)); err != nil {
		t.Fatalf("send %q: %v", data, err)
	}
}

// read reads messages until done, which gets what each channel has said so far.
func (s *stream) read(t *testing.T, done func(said map[byte]string) bool) map[byte]string {
	t.Helper()
	said := map[byte]string{}
	for !done(said) {
		var b []byte
		if err := websocket.Message.Receive(s.Conn, &b); err != nil {
			t.Fatalf("read, after %q: %v", said, err)
		}
		if len(b) > 0 {
			said[b[0]] += string(b[1:])
		}
	}
	return said
}

func execStreams(t *testing.T, n *node) {
	c := n.run(t).start(t, "app", "sleep 1000")
	for _, tty := range []bool{false, true} {
		answer := call(t, n, n.Exec, &criv1.ExecRequest{
			ContainerId: c.id, Cmd: []string{"sh", "-c", "read line; echo got $line; echo bad >&2; exit 3"},
			Stdin: true, Stdout: true, Stderr: !tty, Tty: tty,
		})
		s := open(t, answer.Url)
		s.send(t, stdin, "words\n")
		said := s.read(t, func(said map[byte]string) bool { return said[status] != "" })
		out := strings.ReplaceAll(said[stdout]+said[stderr], "\r", "")
		if !strings.Contains(out, "got words\n") || !strings.Contains(out, "bad\n") || !tty && said[stderr] != "bad\n" {
			t.Errorf("with tty %v: it says %q", tty, said)
		}
		var end struct {
			Reason  string
			Details struct {
				Causes []struct{ Reason, Message string }
			}
		}
		if err := json.Unmarshal([]byte(said[status]), &end); err != nil || end.Reason != "NonZeroExitCode" ||
			len(end.Details.Causes) != 1 || end.Details.Causes[0].Message != "3" {
			t.Errorf("with tty %v: its end is %s, %v", tty, said[status], err)
		}
	}
}

func attachStreams(t *testing.T, n *node) {
	c := n.run(t).start(t, "app", "while read line; do echo heard $line; done", func(c *criv1.ContainerConfig) {
		c.Stdin = true
	})
	s := open(t, call(t, n, n.Attach, &criv1.AttachRequest{ContainerId: c.id, Stdin: true, Stdout: true, Stderr: true}).Url)
	for i := range 3 {
		s.send(t, stdin, fmt.Sprintf("%d\n", i))
		s.read(t, func(said map[byte]string) bool { return strings.Contains(said[stdout], fmt.Sprintf("heard %d\n", i)) })
	}
	c.awaitLine(t, "heard 2")
}

func portIsForwarded(t *testing.T, n *node) {
	p := n.run(t)
	c := p.start(t, "web", "mkdir /www; echo hello > /www/x; busybox httpd -p 127.0.0.1:8080 -h /www; echo ready; sleep 1000")
	c.awaitLine(t, "ready")
	answer := call(t, n, n.PortForward, &criv1.PortForwardRequest{PodSandboxId: p.id, Port: []int32{8080}})
	s := open(t, answer.Url+"?port=8080")
	// Channel 0 is the port's, 1 its errors; both begin with its number.
	number := binary.LittleEndian.AppendUint16(nil, 8080)
	s.send(t, 0, "GET /x HTTP/1.0\r\n\r\n")
	said := s.read(t, func(said map[byte]string) bool { return strings.Contains(said[0], "hello\n") })
	if !bytes.HasPrefix([]byte(said[0]), number) || !strings.HasPrefix(said[0][2:], "HTTP/1.") {
		t.Errorf("the port says %q", said)
	}
}
