// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package link is the wire between the peers and a store: a TCP proxy that
// counts what passes, and slows it down to the shape of a real link.
//
// Each direction of a connection has a rate of its own, and all of them share
// the link's. The first byte that answers something waits, as it does when a
// bucket is in another building.
package link

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Shape is what a link is like. The zero Shape only counts.
type Shape struct {
	// FirstByte is how long an answer waits before its first byte.
	FirstByte time.Duration
	// PerConnection and Total are bytes a second; 0 is unlimited.
	PerConnection, Total float64
}

// The shapes of the table of targets.
var (
	B0 = Shape{}
	B1 = Shape{FirstByte: 20 * time.Millisecond, PerConnection: 100e6, Total: 1.25e9}
)

// A Link is a running proxy.
type Link struct {
	listener net.Listener
	target   string
	shape    atomic.Pointer[Shape]
	total    pacer
	sent     atomic.Int64
	received atomic.Int64

	wg     sync.WaitGroup
	mu     sync.Mutex
	conns  map[net.Conn]bool
	closed bool
}

// Listen starts a proxy on a loopback port in front of target ("ip:port").
func Listen(target string, s Shape) (*Link, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for link to %s: %w", target, err)
	}
	k := &Link{listener: l, target: target, conns: map[net.Conn]bool{}}
	k.Reshape(s)
	k.wg.Go(k.accept)
	return k, nil
}

// Addr is where the proxy listens.
func (k *Link) Addr() string { return k.listener.Addr().String() }

// Reshape changes the link; connections that are open follow.
func (k *Link) Reshape(s Shape) { k.shape.Store(&s) }

// Sent is how many bytes went to the target so far, and Received how many came
// from it, headers included.
func (k *Link) Sent() int64     { return k.sent.Load() }
func (k *Link) Received() int64 { return k.received.Load() }

// Close ends all connections.
func (k *Link) Close() error {
	k.mu.Lock()
	k.closed = true
	err := k.listener.Close()
	for c := range k.conns {
		c.Close()
	}
	k.mu.Unlock()
	k.wg.Wait()
	return err
}

func (k *Link) accept() {
	for {
		c, err := k.listener.Accept()
		if err != nil {
			return
		}
		k.wg.Go(func() { k.serve(c) })
	}
}

// keep registers a connection to be closed with the link; ok is false if it is
// closed already.
func (k *Link) keep(c net.Conn) (ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return false
	}
	k.conns[c] = true
	return true
}

func (k *Link) drop(c net.Conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.conns, c)
	c.Close()
}

// serve carries one connection until both sides have ended it.
func (k *Link) serve(client net.Conn) {
	defer k.drop(client)
	if !k.keep(client) {
		return
	}
	server, err := net.Dial("tcp", k.target)
	if err != nil {
		return // the client sees its connection closed
	}
	defer k.drop(server)
	if !k.keep(server) {
		return
	}
	var asked atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() { k.carry(server, client, &k.sent, func() { asked.Store(true) }) })
	wg.Go(func() {
		k.carry(client, server, &k.received, func() {
			if asked.Swap(false) {
				time.Sleep(k.shape.Load().FirstByte)
			}
		})
	})
	wg.Wait()
}

// carry copies from one side to the other at the link's rates, and calls
// before with every piece.
func (k *Link) carry(to, from net.Conn, count *atomic.Int64, before func()) {
	var own pacer
	piece := make([]byte, 64<<10)
	for {
		n, err := from.Read(piece)
		if n > 0 {
			before()
			s := k.shape.Load()
			own.pace(n, s.PerConnection)
			k.total.pace(n, s.Total)
			count.Add(int64(n))
			if _, err := to.Write(piece[:n]); err != nil {
				from.Close()
				return
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				to.Close()
			} else if tcp, ok := to.(*net.TCPConn); ok {
				// Half closed: the other direction goes on.
				_ = tcp.CloseWrite()
			}
			return
		}
	}
}

// slack is how far a pacer lets bytes run ahead: sleeps are no shorter than
// that, for timers are coarse.
const slack = 2 * time.Millisecond

// A pacer spaces bytes in time.
type pacer struct {
	mu   sync.Mutex
	next time.Time // when the byte after all so far may pass
}

// pace returns when n more bytes may pass at rate bytes a second.
func (p *pacer) pace(n int, rate float64) {
	if rate == 0 {
		return
	}
	p.mu.Lock()
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	p.next = p.next.Add(time.Duration(float64(n) / rate * float64(time.Second)))
	wait := p.next.Sub(now)
	p.mu.Unlock()
	if wait > slack {
		time.Sleep(wait)
	}
}
