// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxConns bounds the connections at a time, to all ports together. Each is some
// 20 KiB of the shim's memory.
const maxConns = 64

// A grace is how long connections keep their places when more want in. A probe
// speaks at once, is answered at once, and waits a second by default.
type grace struct {
	silent time.Duration // of who has said nothing
	spoken time.Duration // of who has, and whom a busy node did not answer yet
}

var defaultGrace = grace{silent: 50 * time.Millisecond, spoken: 500 * time.Millisecond}

// A front bounds a listener's connections, and lets it speak TLS with those who
// begin so: a probe with scheme HTTPS, which does not look at the certificate.
//
// When there are too many, the one whose grace ends first is closed. Clients of a
// protocol in which the server speaks first say nothing and stay; kubelet's
// probes, if they had to queue behind them, would fail, and kubelet would kill
// the container.
type front struct {
	net.Listener
	answering func() (done func())
	grace     grace
	freed     chan struct{} // has an element if a connection was closed since the last look
	closed    chan struct{}
	once      sync.Once

	mu   sync.Mutex
	open []*greeted // the oldest first
}

func newFront(l net.Listener, g grace, answering func() (done func())) *front {
	return &front{Listener: l, answering: answering, grace: g, freed: make(chan struct{}, 1), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (f *front) Accept() (net.Conn, error) {
	conn, err := f.Listener.Accept()
	if err != nil {
		return nil, err
	}
	g := &greeted{Conn: conn, since: time.Now()}
	done := f.answering()
	g.release = sync.OnceFunc(func() {
		f.remove(g)
		done()
	})
	for {
		next, err := f.add(g)
		if err != nil {
			return nil, errors.Join(err, g.Close())
		}
		if next == nil {
			return g, nil
		}
		left := time.Until(f.ends(next))
		if left <= 0 {
			next.Close()
			continue
		}
		late := time.NewTimer(left)
		select {
		case <-f.freed:
		case <-f.closed:
		case <-late.C: // unless it has spoken meanwhile
		}
		late.Stop()
	}
}

// add takes a connection in, or returns the next one to close if there are too
// many.
func (f *front) add(g *greeted) (next *greeted, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.closed:
		return nil, net.ErrClosed
	default:
	}
	if len(f.open) >= maxConns {
		return slices.MinFunc(f.open, func(a, b *greeted) int { return f.ends(a).Compare(f.ends(b)) }), nil
	}
	f.open = append(f.open, g)
	return nil, nil
}

// ends tells when a connection's grace ends.
func (f *front) ends(g *greeted) time.Time {
	if g.hasSpoken() {
		return g.since.Add(f.grace.spoken)
	}
	return g.since.Add(f.grace.silent)
}

func (f *front) remove(g *greeted) {
	f.mu.Lock()
	f.open = slices.DeleteFunc(f.open, func(o *greeted) bool { return o == g })
	f.mu.Unlock()
	select {
	case f.freed <- struct{}{}:
	default:
	}
}

// Close implements net.Listener. It closes the connections too: a server does
// not know yet of one that was accepted just now.
func (f *front) Close() error {
	f.once.Do(func() { close(f.closed) })
	f.mu.Lock()
	open := slices.Clone(f.open)
	f.mu.Unlock()
	for _, g := range open {
		g.Close()
	}
	return f.Listener.Close()
}

// greeted is a connection of which the first byte tells what it speaks.
type greeted struct {
	net.Conn
	since   time.Time
	release func()
	once    sync.Once
	in      net.Conn    // what is read from and written to
	heard   atomic.Bool // whether the first byte was read
}

// hasSpoken tells whether a byte has come, read or not: on a busy node the
// goroutine that serves the connection is late.
func (g *greeted) hasSpoken() bool {
	if g.heard.Load() {
		return true
	}
	raw, err := g.Conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return false
	}
	var unread int
	err = raw.Control(func(fd uintptr) { unread, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return err == nil && unread > 0
}

// greet waits for the first byte, on the goroutine that serves the connection.
func (g *greeted) greet() net.Conn {
	g.once.Do(func() {
		const handshake = 0x16 // TLS record type
		peeked := &buffered{Conn: g.Conn, r: bufio.NewReaderSize(g.Conn, 512)}
		g.in = peeked
		first, err := peeked.r.Peek(1)
		g.heard.Store(err == nil)
		if err != nil || first[0] != handshake {
			return
		}
		if config, err := certificate(); err == nil {
			g.in = tls.Server(peeked, config)
		}
	})
	return g.in
}

func (g *greeted) Read(p []byte) (int, error)  { return g.greet().Read(p) }
func (g *greeted) Write(p []byte) (int, error) { return g.greet().Write(p) }

func (g *greeted) Close() error {
	g.release()
	return g.Conn.Close()
}

type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// certificate is made when the first probe wants TLS, for this process alone.
var certificate = sync.OnceValues(func() (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Now().AddDate(100, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, nil
})
