// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/ateom/ateom/e2e/bench/report"
)

// Measurements from the opening of a port: until a Resume returns that waited for it,
// and until a loop beside the sandbox has the answer of the same program.
const (
	noticing = "notice"
	asking   = "ask"
)

// asked is the peer of the loop: nobody's shim is between it and the program.
const asked = "loop"

// doors are the kinds of probe that ask a port.
var doors = []string{"tcpSocket", "httpGet", "grpc"}

// readyRow measures how soon readiness is noticed.
func readyRow(ctx context.Context, b *Bench) (report.Row, error) {
	r := report.Row{How: "A program that opens its port some time after it was resumed, and notes when by its own wall clock; " +
		"until the Resume, whose readiness probe waits for the port, returns. loop is the same program, awake, asked the same over its network by a loop " +
		"in the bench itself, with a millisecond between two attempts: what is beyond tcpSocket's is the program's time for its first answer."}
	r.Bound = noticingBound
	for _, kind := range doors {
		w := b.memhog(0)
		w.Name = "door-" + kind
		// Often enough to notice a pause; more would only take cores from what is measured.
		w.Program.Args = append(w.Program.Args, "-pulse=1ms", "-door=:8081")
		w.Annotations = map[string]string{"ateom.dev/readiness": fmt.Sprintf(`[{%q:{"port":8081},"periodSeconds":1,"failureThreshold":30}]`, kind)}
		step := func(ctx context.Context, c *contestant) error {
			if err := noticeOnce(ctx, c); err != nil {
				return err
			}
			return askOnce(ctx, c, kind)
		}
		got := contest{bench: b, workload: w, names: []string{ateom}, iterations: b.iterations(15, 50), what: kind,
			units: map[string]string{noticing: "ms", asking: "ms"}, step: step}.run(ctx)
		r.Series = append(r.Series, got.of(noticing, ateom)...)
		loop := got.of(asking, ateom)[0]
		loop.Peer = asked
		r.Series = append(r.Series, loop)
		r.ClaimAtMost(kind, ateom, 0.5, 2)
	}
	return r, ctx.Err()
}

// doze has the door open a while after the next pause, or after now.
func doze(ctx context.Context, c *contestant, how string) error {
	// Not always in the same place between two attempts of the probe.
	path := fmt.Sprintf("/doze?after=%d%s", 100+7*c.round%31, how)
	return c.client.Get(ctx, path, time.Millisecond, &struct{}{})
}

// sinceOpened notes how long after the door's opening it was at.
func sinceOpened(ctx context.Context, c *contestant, key string, asked, at time.Time) error {
	var opened struct{ Nanos int64 }
	if err := c.client.Get(ctx, "/opened", time.Millisecond, &opened); err != nil {
		return err
	}
	began := time.Unix(0, opened.Nanos)
	if began.Before(asked) {
		return fmt.Errorf("measure readiness: the door opened before it was asked to")
	}
	c.value(key, milliseconds(at.Sub(began)))
	return nil
}

// noticeOnce has the door open a while after a pause, resumes, and compares
// the time of the opening with that of the return.
func noticeOnce(ctx context.Context, c *contestant) error {
	if err := doze(ctx, c, ""); err != nil {
		return err
	}
	asked := time.Now()
	if err := c.pause(ctx); err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	if err := c.box.Resume(ctx); err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	return sinceOpened(ctx, c, noticing, asked, time.Now())
}

// askOnce has the door open while the program runs, and asks it in a loop.
func askOnce(ctx context.Context, c *contestant, kind string) error {
	asked := time.Now()
	if err := doze(ctx, c, "&awake=1"); err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(c.box.Addr())
	if err != nil {
		return err
	}
	door := net.JoinHostPort(host, "8081")
	for {
		next := time.After(time.Millisecond)
		if err := askDoor(ctx, kind, door); err == nil {
			return sinceOpened(ctx, c, asking, asked, time.Now())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-next:
		}
	}
}

// askDoor makes one attempt of a probe of that kind.
func askDoor(ctx context.Context, kind, door string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if kind == "tcpSocket" {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", door)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+door+"/", nil)
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(true)
	if kind == "grpc" {
		const emptyMessage = "\x00\x00\x00\x00\x00"
		req, err = http.NewRequestWithContext(ctx, http.MethodPost, "http://"+door+"/grpc.health.v1.Health/Check", strings.NewReader(emptyMessage))
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetUnencryptedHTTP2(true)
	}
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
