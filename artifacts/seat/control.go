// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"sync"

	"github.com/ateom/ateom/artifacts/job"
)

// maxControlBytes bounds one instruction.
const maxControlBytes = 4096

// A control takes job.SeatControl lines on a unix socket.
type control struct {
	setPace  func(job.Pace) error
	status   *status
	listener *net.UnixListener

	mu    sync.Mutex
	conns map[net.Conn]struct{} // nil once closed
	wg    sync.WaitGroup
}

// listenControl listens at path, which is in a directory that only the shim
// can enter.
func listenControl(path string, setPace func(job.Pace) error, st *status) (*control, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen for control: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("listen for control: %w", err)
	}
	c := &control{setPace: setPace, status: st, listener: l, conns: make(map[net.Conn]struct{})}
	c.wg.Go(c.accept)
	return c, nil
}

func (c *control) accept() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.mu.Lock()
		if c.conns == nil {
			c.mu.Unlock()
			conn.Close()
			return
		}
		c.conns[conn] = struct{}{}
		c.wg.Go(func() { c.serve(conn) })
		c.mu.Unlock()
	}
}

// serve answers each line with the status after it has been obeyed. A line
// that is not understood ends the connection.
func (c *control) serve(conn net.Conn) {
	defer func() {
		conn.Close()
		c.mu.Lock()
		delete(c.conns, conn)
		c.mu.Unlock()
	}()
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, maxControlBytes)
	for lines.Scan() {
		var in job.SeatControl
		if err := json.Unmarshal(lines.Bytes(), &in); err != nil {
			return
		}
		if in.Pace != "" && c.setPace(in.Pace) != nil {
			return
		}
		if err := json.NewEncoder(conn).Encode(c.status.get()); err != nil {
			return
		}
	}
}

// close ends all connections and removes the socket.
func (c *control) close() {
	c.listener.Close()
	c.mu.Lock()
	for conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
	c.mu.Unlock()
	c.wg.Wait()
}
