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
	"time"
)

// maxConns bounds the connections at a time, to all ports together. Each is some
// 20 KiB of the shim's memory.
const maxConns = 64

// grace is how long a connection keeps its place when more want in: a probe
// speaks at once, is answered at once, and waits a second by default.
const grace = 50 * time.Millisecond

// A front bounds a listener's connections, and lets it speak TLS with those who
// begin so: a probe with scheme HTTPS, which does not look at the certificate.
//
// When there are too many, the oldest is closed. Clients of a protocol in which
// the server speaks first say nothing and stay; kubelet's probes, if they had to
// queue behind them, would fail, and kubelet would kill the container.
type front struct {
	net.Listener
	freed  chan struct{} // has an element if a connection was closed since the last look
	closed chan struct{}
	once   sync.Once

	mu   sync.Mutex
	open []*greeted // the oldest first
}

func newFront(l net.Listener) *front {
	return &front{Listener: l, freed: make(chan struct{}, 1), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (f *front) Accept() (net.Conn, error) {
	conn, err := f.Listener.Accept()
	if err != nil {
		return nil, err
	}
	g := &greeted{Conn: conn, since: time.Now()}
	g.release = func() { f.remove(g) }
	for {
		oldest, err := f.add(g)
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		if oldest == nil {
			return g, nil
		}
		late := time.NewTimer(time.Until(oldest.since.Add(grace)))
		select {
		case <-f.freed:
		case <-f.closed:
		case <-late.C:
			oldest.Close()
		}
		late.Stop()
	}
}

// add takes a connection in, or returns the oldest if there are too many.
func (f *front) add(g *greeted) (oldest *greeted, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.closed:
		return nil, net.ErrClosed
	default:
	}
	if len(f.open) >= maxConns {
		return f.open[0], nil
	}
	f.open = append(f.open, g)
	return nil, nil
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
	in      net.Conn // what is read from and written to
}

// greet waits for the first byte, on the goroutine that serves the connection.
func (g *greeted) greet() net.Conn {
	g.once.Do(func() {
		const handshake = 0x16 // TLS record type
		peeked := &buffered{Conn: g.Conn, r: bufio.NewReaderSize(g.Conn, 512)}
		g.in = peeked
		first, err := peeked.r.Peek(1)
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
