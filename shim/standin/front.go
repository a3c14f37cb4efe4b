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
	"math/big"
	"net"
	"sync"
	"time"
)

// maxConns bounds the connections of one port at a time; more wait in the
// kernel's queue.
const maxConns = 16

// A front lets a listener speak TLS with those who begin so: a probe with scheme
// HTTPS, which does not look at the certificate.
type front struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
}

func newFront(l net.Listener) *front {
	return &front{Listener: l, slots: make(chan struct{}, maxConns), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (f *front) Accept() (net.Conn, error) {
	select {
	case f.slots <- struct{}{}:
	case <-f.closed:
		return nil, net.ErrClosed
	}
	conn, err := f.Listener.Accept()
	if err != nil {
		<-f.slots
		return nil, err
	}
	return &greeted{Conn: conn, release: sync.OnceFunc(func() { <-f.slots })}, nil
}

// Close implements net.Listener.
func (f *front) Close() error {
	f.once.Do(func() { close(f.closed) })
	return f.Listener.Close()
}

// greeted is a connection of which the first byte tells what it speaks.
type greeted struct {
	net.Conn
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
