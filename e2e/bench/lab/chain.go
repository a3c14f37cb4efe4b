// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
)

// What the arguments of a process are that is a hop.
const (
	hopWord     = "hop"
	lastHopWord = "last-hop"
)

// A Chain is some processes that sleep until a request comes, of which each asks the
// next: what it costs to be heard at its end is the machine's own, whoever asks.
type Chain struct {
	conn net.Conn
	hops []*exec.Cmd
}

// StartChain starts a chain of n processes of this program, whose main calls Hop first.
// The caller closes it.
func StartChain(n int) (_ *Chain, err error) {
	c := &Chain{}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start a chain of processes: %w", err), c.Close())
		}
	}()
	here, next, err := socketPair()
	if err != nil {
		return nil, err
	}
	c.conn, err = net.FileConn(here)
	here.Close()
	for i := 0; i < n && err == nil; i++ {
		hop := exec.Command("/proc/self/exe", lastHopWord)
		hop.ExtraFiles = []*os.File{next}
		asked := next
		if next = nil; i < n-1 {
			if here, next, err = socketPair(); err != nil {
				asked.Close()
				return nil, err
			}
			hop.Args[1] = hopWord
			hop.ExtraFiles = append(hop.ExtraFiles, here)
		}
		if err = hop.Start(); err == nil {
			c.hops = append(c.hops, hop)
		}
		for _, f := range hop.ExtraFiles {
			f.Close()
		}
	}
	if next != nil {
		next.Close()
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Ask returns how long after now the last process has heard of it.
func (c *Chain) Ask() (time.Duration, error) {
	asked := time.Now()
	heard, err := pass(c.conn)
	if err != nil {
		return 0, fmt.Errorf("ask a chain of processes: %w", err)
	}
	return time.Unix(0, heard).Sub(asked), nil
}

// Close ends the processes: each ends when the one before it has.
func (c *Chain) Close() error {
	var errs []error
	if c.conn != nil {
		errs = append(errs, c.conn.Close())
	}
	for _, hop := range c.hops {
		errs = append(errs, hop.Wait())
	}
	return errors.Join(errs...)
}

// Hop serves as a process of a chain if this process was started as one, and says so.
func Hop() (done bool, err error) {
	if len(os.Args) != 2 || os.Args[1] != hopWord && os.Args[1] != lastHopWord {
		return false, nil
	}
	asked, err := net.FileConn(os.NewFile(3, "asked"))
	if err != nil {
		return true, err
	}
	defer asked.Close()
	var next net.Conn
	if os.Args[1] == hopWord {
		if next, err = net.FileConn(os.NewFile(4, "next")); err != nil {
			return true, err
		}
		defer next.Close()
	}
	for {
		var request [1]byte
		if _, err := io.ReadFull(asked, request[:]); err != nil {
			return true, nil // the one before has ended
		}
		heard := time.Now().UnixNano()
		if next != nil {
			if heard, err = pass(next); err != nil {
				return true, err
			}
		}
		if _, err := asked.Write(binary.NativeEndian.AppendUint64(nil, uint64(heard))); err != nil {
			return true, err
		}
	}
}

// pass sends a request and returns when the last process heard of it, in nanoseconds.
func pass(to net.Conn) (heard int64, err error) {
	var answer [8]byte
	if _, err := to.Write([]byte{0}); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(to, answer[:]); err != nil {
		return 0, err
	}
	return int64(binary.NativeEndian.Uint64(answer[:])), nil
}

func socketPair() (a, b *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "socket"), os.NewFile(uintptr(fds[1]), "socket"), nil
}
