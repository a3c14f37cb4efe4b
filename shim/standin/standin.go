// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/ateom/ateom/shim/allports"
)

// patience bounds a connection: a probe takes a second by default and seldom
// more than ten.
const patience = 10 * time.Second

// A Standin answers in one network namespace.
type Standin struct {
	server *http.Server
	ports  *allports.Listener
	served sync.WaitGroup
}

// Open begins to answer in the network namespace at path, at whatever addresses
// it has. It calls answering for each connection, and what that returns when the
// connection is closed. Close must be called.
func Open(netns string, answering func() (done func())) (*Standin, error) {
	return open(netns, defaultGrace, answering)
}

func open(netns string, g grace, answering func() (done func())) (*Standin, error) {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // gRPC probes
	s := &Standin{server: &http.Server{
		Handler: http.HandlerFunc(answer), Protocols: protocols,
		ReadTimeout: patience, WriteTimeout: patience, IdleTimeout: patience,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       log.New(io.Discard, "", 0), // who hangs up is nobody's business
	}}
	var err error
	if s.ports, err = allports.Listen(netns, allports.Everywhere); err != nil {
		return nil, fmt.Errorf("stand in for a paused sandbox: %w", err)
	}
	s.served.Go(func() {
		front := newFront(s.ports, g, answering)
		// It ends with Close, which is no failure; a server that is closed before
		// it serves does not close the listener.
		_ = s.server.Serve(front)
		front.Close()
	})
	return s, nil
}

// Close stops answering and ends every connection. It returns when all is done.
func (s *Standin) Close() {
	// What these may complain of is gone either way.
	_ = s.ports.Close()
	_ = s.server.Close()
	s.served.Wait()
}

// probeAgent begins the User-Agent of kubelet's HTTP and gRPC probes.
const probeAgent = "kube-probe/"

// serving is a message of gRPC with a HealthCheckResponse whose status is
// SERVING: not compressed, two bytes, field 1 with value 1.
var serving = []byte{0, 0, 0, 0, 2, 8, 1}

func answer(w http.ResponseWriter, r *http.Request) {
	isGRPC := strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
	switch isProbe := strings.HasPrefix(r.UserAgent(), probeAgent); {
	case isProbe && isGRPC:
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
		_, _ = w.Write(serving)
	case isProbe:
		fmt.Fprintln(w, "paused")
	case isGRPC:
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Grpc-Status", "14") // UNAVAILABLE
		w.Header().Set("Grpc-Message", "the sandbox is paused")
	default:
		http.Error(w, "the sandbox is paused", http.StatusServiceUnavailable)
	}
}
