// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package programs

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/images"
	"github.com/ateom/ateom/shim/config"
)

// keys is how many keys the server holds.
const keys = 100_000

// redisContainer is a Redis server whose append-only file is in a DurableDir.
func redisContainer(network *lab.Net) harness.Container {
	return harness.Container{
		Image: images.Debian,
		Args: []string{"redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "",
			"--appendonly", "yes", "--appendfsync", "everysec", "--dir", home},
		Annotations: map[string]string{
			"ateom.dev/durable-dirs": homeAnnotation["ateom.dev/durable-dirs"],
			"ateom.dev/readiness":    `[{"tcpSocket":{"port":6379},"periodSeconds":1,"failureThreshold":60}]`,
		},
		Network: network,
	}
}

// A redis is a connection to a server.
type redis struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// connect connects to the server behind a network, which may still be starting.
func connect(t *testing.T, network *lab.Net) *redis {
	t.Helper()
	var r *redis
	harness.Eventually(t, func() error {
		conn, err := net.DialTimeout("tcp", net.JoinHostPort(network.IP.String(), "6379"), 50*time.Millisecond)
		if err != nil {
			return err
		}
		r = &redis{t: t, conn: conn, in: bufio.NewReader(conn)}
		// A server that still reads its file answers with an error.
		if answer := r.try("PING"); answer != "+PONG" {
			conn.Close()
			return fmt.Errorf("it says %q", answer)
		}
		return nil
	})
	t.Cleanup(func() { r.conn.Close() })
	return r
}

// try sends an inline command and returns the first line of the answer, or
// the error in words.
func (r *redis) try(command string) string {
	deadline := time.Now().Add(harness.Limit)
	if err := r.conn.SetDeadline(deadline); err != nil {
		return err.Error()
	}
	if _, err := fmt.Fprintf(r.conn, "%s\r\n", command); err != nil {
		return err.Error()
	}
	line, err := r.in.ReadString('\n')
	if err != nil {
		return err.Error()
	}
	line = strings.TrimSuffix(line, "\r\n")
	if strings.HasPrefix(line, "$") && line != "$-1" {
		if line, err = r.in.ReadString('\n'); err != nil {
			return err.Error()
		}
		line = strings.TrimSuffix(line, "\r\n")
	}
	return line
}

// want fails the test unless a command is answered so.
func (r *redis) want(command, answer string) {
	r.t.Helper()
	if got := r.try(command); got != answer {
		r.t.Errorf("%s: the server says %q, want %q", command, got, answer)
	}
}

// fill gives the server all its keys.
func (r *redis) fill() {
	r.t.Helper()
	script := fmt.Sprintf(`EVAL "for i = 1, %d do redis.call('SET', 'key:' .. i, 'value ' .. i) end return 1" 0`, keys)
	r.want(script, ":1")
}

// check fails the test unless the server holds all keys.
func (r *redis) check() {
	r.t.Helper()
	r.want("DBSIZE", fmt.Sprintf(":%d", keys))
	for _, i := range []int{1, 777, keys / 2, keys} {
		r.want(fmt.Sprintf("GET key:%d", i), fmt.Sprintf("value %d", i))
	}
}

// runID is drawn by the server when it starts.
func (r *redis) runID() string {
	r.t.Helper()
	if answer := r.try(`EVAL "return string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')" 0`); len(answer) == 40 {
		return answer
	}
	r.t.Fatal("the server tells no run_id")
	return ""
}

func TestRedisKeepsItsKeysThroughAPause(t *testing.T) {
	t.Parallel()
	network := harness.NewNetwork(t)
	task := harness.Shared(t).Run(t, redisContainer(network))
	before := connect(t, network)
	before.fill()
	id := before.runID()
	for range 2 {
		task.Node.Ctr(t, "task", "pause", task.ID)
		task.Node.Ctr(t, "task", "resume", task.ID)
		after := connect(t, network)
		after.check()
		if got := after.runID(); got != id {
			t.Errorf("the server is %s, it was %s: it has started anew", got, id)
		}
	}
}

func TestRedisMovesToAnotherNode(t *testing.T) {
	t.Parallel()
	a, b := nodes(t, "file://"+t.TempDir(), config.Gofer)
	network := harness.NewNetwork(t)
	spec := redisContainer(network)
	task := a.Run(t, spec)
	before := connect(t, network)
	before.fill()
	id := before.runID()
	full, data := commit(t, task, "Full"), commit(t, task, "Data")
	before.check()
	task.Remove(t)

	t.Run("Full: all in memory", func(t *testing.T) {
		c := spec
		c.Network = harness.NewNetwork(t)
		b.Wake(t, c, full, "s", false)
		after := connect(t, c.Network)
		after.check()
		if got := after.runID(); got != id {
			t.Errorf("the server is %s, it was %s: it has started anew", got, id)
		}
	})
	t.Run("Data: read from the append-only file", func(t *testing.T) {
		c := spec
		c.Network = harness.NewNetwork(t)
		b.Wake(t, c, data, "s", true)
		after := connect(t, c.Network)
		after.check()
		if got := after.runID(); got == id {
			t.Errorf("the server is still %s: its memory came along", got)
		}
	})
}
