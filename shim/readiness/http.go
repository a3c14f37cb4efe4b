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
)

// maxBody bounds what is read of an answer, as kubelet does (10 KiB).
const maxBody = 10 << 10

// userAgent is who asks, where the probe does not say.
const userAgent = "ateom-probe"

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
		req.Header.Set("User-Agent", userAgent)
	}
	transport := newTransport(target, a.Port)
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
		return notYet("status %s", resp.Status)
	}
	return nil
}

// newTransport returns a transport for one request to a port of the target,
// whatever host its URL names. It knows no proxy. The caller hangs up, by
// CloseIdleConnections: a server that was told to close would keep the connection in
// TIME_WAIT for a minute, on its port, and if it has closed the port by the next Resume,
// gVisor drops what another attempt from the same port sends there, and waits for an
// answer with the lock that every other attempt wants.
func newTransport(target Target, port Port) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return target.Dial(ctx, uint16(port)) },
		// As with kubelet, a probe says that something answers, not who it is.
		TLSClientConfig:        &tls.Config{InsecureSkipVerify: true},
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxBody,
	}
}
