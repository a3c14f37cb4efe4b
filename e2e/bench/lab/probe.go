// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// A State is what a workload says of itself at its root URL.
type State struct {
	// Nonce was drawn when the program started and exists only in its memory.
	Nonce string `json:"nonce"`
	// Counter counts the calls, this one included.
	Counter int64 `json:"counter"`
	// File is the SHA-256 of a file that the program wrote into its rootfs.
	File string `json:"file"`
	// Began is when it began to listen, in nanoseconds since 1970.
	Began int64 `json:"began"`
}

// connectTimeout is after how long a connection attempt is given up and made
// anew. A SYN that arrives before the sandbox's stack is up is lost, and the
// kernel repeats it only after a second; a live sandbox answers in well under
// a millisecond.
const connectTimeout = 10 * time.Millisecond

// A Client asks one workload. Every request has a connection of its own, as
// connections do not outlive a pause.
type Client struct {
	base string
	http http.Client
}

// NewClient returns a client for the workload that listens on addr ("ip:port").
func NewClient(addr string) *Client {
	dial := net.Dialer{Timeout: connectTimeout}
	return &Client{base: "http://" + addr, http: http.Client{
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial.DialContext},
	}}
}

// Get asks for path until it is answered with 200, with at least period
// between the beginnings of two attempts, and decodes the answer into v.
func (c *Client) Get(ctx context.Context, path string, period time.Duration, v any) error {
	var last error
	for {
		next := time.After(period)
		err := c.once(ctx, path, v)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s%s: %w (last answer: %w)", c.base, path, ctx.Err(), last)
		case <-next:
		}
	}
}

func (c *Client) once(ctx context.Context, path string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d: %s", resp.StatusCode, body)
	}
	return json.Unmarshal(body, v)
}

// SameProcess returns an error unless after is the same program as before,
// answering its next call, with the same file.
func SameProcess(before, after State) error {
	switch {
	case before.Nonce == "":
		return fmt.Errorf("prove the restore: the program named no nonce before")
	case before.Nonce != after.Nonce:
		return fmt.Errorf("prove the restore: the nonce was %s and is %s: this is another process", before.Nonce, after.Nonce)
	case after.Counter != before.Counter+1:
		return fmt.Errorf("prove the restore: the counter was %d and is %d, want one more", before.Counter, after.Counter)
	case before.File != after.File:
		return fmt.Errorf("prove the restore: the file's digest was %s and is %s", before.File, after.File)
	}
	return nil
}
