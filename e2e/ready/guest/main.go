// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Command guest is the program whose readiness the tests probe. On ports
// 8081 to 8084 it speaks TCP, HTTP, HTTPS and gRPC; the first is open and the
// others say "ready" while it is ready, which POST /ready and POST /busy to port
// 8080 decide. "guest check" asks the same from inside the container.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "check" {
		os.Exit(check())
	}
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		os.Exit(1)
	}
}

// check exits with 0 if the guest is ready, and with 3 if not.
func check() int {
	resp, err := http.Get("http://127.0.0.1:8080/")
	if err != nil || resp.StatusCode != http.StatusOK {
		return 3
	}
	return 0
}

// A guest is ready or not.
type guest struct {
	health *health.Server

	mu    sync.Mutex
	ready bool
	door  net.Listener // open while ready
}

func serve() error {
	g := &guest{health: health.NewServer()}
	if err := g.set(true); err != nil {
		return err
	}
	certificate, err := selfSigned()
	if err != nil {
		return err
	}
	rpc := grpc.NewServer()
	healthpb.RegisterHealthServer(rpc, g.health)
	failed := make(chan error)
	start := func(port int, serve func(net.Listener) error) {
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		go func() {
			if err == nil {
				err = serve(l)
			}
			failed <- err
		}()
	}
	start(8080, func(l net.Listener) error { return http.Serve(l, g.control()) })
	start(8082, func(l net.Listener) error { return http.Serve(l, http.HandlerFunc(g.answer)) })
	start(8083, func(l net.Listener) error {
		return http.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate}}), http.HandlerFunc(g.answer))
	})
	start(8084, rpc.Serve)
	fmt.Println("serving")
	return <-failed
}

func (g *guest) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", g.answer)
	for path, ready := range map[string]bool{"/ready": true, "/busy": false} {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, _ *http.Request) {
			if err := g.set(ready); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
			fmt.Println("ready:", ready)
		})
	}
	return mux
}

func (g *guest) answer(w http.ResponseWriter, _ *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func (g *guest) set(ready bool) (err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ready == ready {
		return nil
	}
	g.ready = ready
	if !ready {
		g.health.SetServingStatus("door", healthpb.HealthCheckResponse_NOT_SERVING)
		return g.door.Close()
	}
	g.health.SetServingStatus("door", healthpb.HealthCheckResponse_SERVING)
	g.door, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", ":8081")
	return err
}

func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
