// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package readiness

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// interval is the pause between two attempts, so that a port that opens is
// noticed within a millisecond or two.
const interval = time.Millisecond

// maxBody bounds what is read of an answer, as kubelet does (10 KiB).
const maxBody = 10 << 10

// A Target is the container that probes are tried on.
type Target interface {
	// Dial connects to a TCP port inside the sandbox.
	Dial(ctx context.Context, port uint16) (net.Conn, error)
	// Exec runs a command in the container and returns its exit status.
	Exec(ctx context.Context, command []string) (status int, err error)
}

// A NotReadyError says which probe did not succeed in time.
type NotReadyError struct {
	Probe *Probe
	// Last is the error of the last attempt.
	Last error
}

func (e *NotReadyError) Error() string {
	return fmt.Sprintf("readiness probe %s did not succeed within %s: %v", e.Probe, e.Probe.Limit(), e.Last)
}

func (e *NotReadyError) Unwrap() error { return e.Last }

// Wait returns when every probe has succeeded on the target, or with a
// *NotReadyError of the first that ran out of time, or when ctx ends.
func Wait(ctx context.Context, probes []Probe, target Target) error {
	g, ctx := errgroup.WithContext(ctx)
	for i := range probes {
		g.Go(func() error { return wait(ctx, &probes[i], target) })
	}
	return g.Wait()
}

func wait(ctx context.Context, p *Probe, target Target) error {
	limit, cancel := context.WithTimeout(ctx, p.Limit())
	defer cancel()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var last error
	for successes := 0; ; {
		err := try(limit, p, target)
		switch {
		case err == nil:
			if successes++; successes >= p.SuccessThreshold {
				return nil
			}
		case limit.Err() == nil || last == nil:
			last, successes = err, 0 // not the one that merely ran out of time, if there is another
		}
		select {
		case <-limit.Done():
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return &NotReadyError{Probe: p, Last: last}
		case <-tick.C:
		}
	}
}

// try makes one attempt.
func try(ctx context.Context, p *Probe, target Target) error {
	ctx, cancel := context.WithTimeout(ctx, p.Timeout())
	defer cancel()
	switch {
	case p.TCPSocket != nil:
		conn, err := target.Dial(ctx, uint16(p.TCPSocket.Port))
		if err != nil {
			return err
		}
		return conn.Close()
	case p.HTTPGet != nil:
		return httpGet(ctx, p.HTTPGet, target)
	default:
		status, err := target.Exec(ctx, p.Exec.Command)
		if err == nil && status != 0 {
			err = fmt.Errorf("exit status %d", status)
		}
		return err
	}
}

// httpGet succeeds on a status from 200 to 399, as kubelet does.
func httpGet(ctx context.Context, a *HTTPGetAction, target Target) error {
	u, err := a.url()
	if err != nil {
		return err
	}
	req := (&http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}}).WithContext(ctx)
	for _, h := range a.HTTPHeaders {
		if http.CanonicalHeaderKey(h.Name) == "Host" {
			req.Host = h.Value
			continue
		}
		req.Header.Add(h.Name, h.Value)
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "ateom-probe")
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return target.Dial(ctx, uint16(a.Port)) },
		// As with kubelet, a probe says that something answers, not who it is.
		TLSClientConfig:        &tls.Config{InsecureSkipVerify: true},
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxBody,
	}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req) // not a Client: no redirects, no cookies
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody)); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if resp.StatusCode < 200 || resp.StatusCode >= 400 {
		return fmt.Errorf("status %s", resp.Status)
	}
	return nil
}
