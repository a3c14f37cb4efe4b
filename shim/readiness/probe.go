// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package readiness

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/containerd/errdefs"
)

// Annotation holds the probes: a JSON list of Probe.
const Annotation = "ateom.dev/readiness"

// Defaults of corev1.Probe.
const (
	defaultTimeout          = 1
	defaultPeriod           = 10
	defaultFailureThreshold = 3
)

// maxProbes bounds a list, and maxSeconds every number of seconds in it.
const (
	maxProbes  = 64
	maxSeconds = 3600
)

// A Probe has corev1.Probe's fields that make sense for a resume. Exactly one
// of HTTPGet, TCPSocket and Exec is set.
//
// corev1 spaces attempts by PeriodSeconds; here an attempt follows the last
// one within milliseconds, and PeriodSeconds × FailureThreshold is how long
// attempts go on.
type Probe struct {
	// Container is the name of the container that the probe belongs to; it may
	// be empty in a sandbox of one.
	Container string           `json:"container,omitempty"`
	HTTPGet   *HTTPGetAction   `json:"httpGet,omitempty"`
	TCPSocket *TCPSocketAction `json:"tcpSocket,omitempty"`
	Exec      *ExecAction      `json:"exec,omitempty"`

	TimeoutSeconds   int `json:"timeoutSeconds,omitempty"`
	PeriodSeconds    int `json:"periodSeconds,omitempty"`
	FailureThreshold int `json:"failureThreshold,omitempty"`
	SuccessThreshold int `json:"successThreshold,omitempty"`
}

// An HTTPGetAction is corev1.HTTPGetAction. The host is always the sandbox.
type HTTPGetAction struct {
	Path        string       `json:"path,omitempty"`
	Port        Port         `json:"port"`
	Scheme      string       `json:"scheme,omitempty"`
	HTTPHeaders []HTTPHeader `json:"httpHeaders,omitempty"`
}

// An HTTPHeader is corev1.HTTPHeader.
type HTTPHeader struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// A TCPSocketAction is corev1.TCPSocketAction without a host.
type TCPSocketAction struct {
	Port Port `json:"port"`
}

// An ExecAction is corev1.ExecAction.
type ExecAction struct {
	Command []string `json:"command"`
}

// A Port is a number; named ports would need the pod's spec.
type Port uint16

// UnmarshalJSON implements json.Unmarshaler.
func (p *Port) UnmarshalJSON(b []byte) error {
	var n int64
	if err := json.Unmarshal(b, &n); err != nil {
		return fmt.Errorf("port: want a number from 1 to 65535, got %s", b)
	}
	if n < 1 || n > 65535 {
		return fmt.Errorf("port: want a number from 1 to 65535, got %d", n)
	}
	*p = Port(n)
	return nil
}

// Parse reads the annotation's value; an empty one means no probes. Errors
// name the field and are errdefs.ErrInvalidArgument.
func Parse(text string) ([]Probe, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var probes []Probe
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&probes); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", Annotation, err, errdefs.ErrInvalidArgument)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: something follows the list: %w", Annotation, errdefs.ErrInvalidArgument)
	}
	if len(probes) > maxProbes {
		return nil, fmt.Errorf("%s: %d probes are more than %d: %w", Annotation, len(probes), maxProbes, errdefs.ErrInvalidArgument)
	}
	for i := range probes {
		if err := probes[i].complete(); err != nil {
			return nil, fmt.Errorf("%s[%d]%w: %w", Annotation, i, err, errdefs.ErrInvalidArgument)
		}
	}
	return probes, nil
}

// complete checks the probe and fills in the defaults. Its errors start with
// the path of the field.
func (p *Probe) complete() error {
	actions := 0
	if a := p.HTTPGet; a != nil {
		actions++
		if err := a.complete(); err != nil {
			return fmt.Errorf(".httpGet%w", err)
		}
	}
	if a := p.TCPSocket; a != nil {
		actions++
		if a.Port == 0 {
			return fmt.Errorf(".tcpSocket.port: missing")
		}
	}
	if a := p.Exec; a != nil {
		actions++
		if len(a.Command) == 0 {
			return fmt.Errorf(".exec.command: missing")
		}
	}
	if actions != 1 {
		return fmt.Errorf(": want exactly one of httpGet, tcpSocket, exec, got %d", actions)
	}
	for _, f := range []struct {
		name     string
		value    *int
		fallback int
	}{
		{"timeoutSeconds", &p.TimeoutSeconds, defaultTimeout},
		{"periodSeconds", &p.PeriodSeconds, defaultPeriod},
		{"failureThreshold", &p.FailureThreshold, defaultFailureThreshold},
		{"successThreshold", &p.SuccessThreshold, 1},
	} {
		if *f.value < 0 || *f.value > maxSeconds {
			return fmt.Errorf(".%s: want 1 to %d, got %d", f.name, maxSeconds, *f.value)
		}
		if *f.value == 0 {
			*f.value = f.fallback
		}
	}
	return nil
}

func (a *HTTPGetAction) complete() error {
	if a.Port == 0 {
		return fmt.Errorf(".port: missing")
	}
	switch a.Scheme {
	case "":
		a.Scheme = "HTTP"
	case "HTTP", "HTTPS":
	default:
		return fmt.Errorf(".scheme: want HTTP or HTTPS, got %q", a.Scheme)
	}
	if a.Path == "" {
		a.Path = "/"
	}
	if !strings.HasPrefix(a.Path, "/") {
		return fmt.Errorf(".path: want an absolute path, got %q", a.Path)
	}
	if _, err := a.url(); err != nil {
		return fmt.Errorf(".path: %w", err)
	}
	for i, h := range a.HTTPHeaders {
		if h.Name == "" || strings.ContainsAny(h.Name, " \t\r\n:") || strings.ContainsAny(h.Value, "\r\n") {
			return fmt.Errorf(".httpHeaders[%d]: not a header: %q", i, h.Name)
		}
	}
	return nil
}

// url is where the probe asks.
func (a *HTTPGetAction) url() (*url.URL, error) {
	return url.Parse(fmt.Sprintf("%s://127.0.0.1:%d%s", strings.ToLower(a.Scheme), a.Port, a.Path))
}

// Limit is how long attempts go on.
func (p *Probe) Limit() time.Duration {
	return time.Duration(p.PeriodSeconds) * time.Duration(p.FailureThreshold) * time.Second
}

// Timeout is how long one attempt may take.
func (p *Probe) Timeout() time.Duration { return time.Duration(p.TimeoutSeconds) * time.Second }

func (p *Probe) String() string {
	switch {
	case p.HTTPGet != nil:
		return fmt.Sprintf("httpGet %s://:%d%s", strings.ToLower(p.HTTPGet.Scheme), p.HTTPGet.Port, p.HTTPGet.Path)
	case p.TCPSocket != nil:
		return fmt.Sprintf("tcpSocket :%d", p.TCPSocket.Port)
	default:
		return fmt.Sprintf("exec %q", p.Exec.Command)
	}
}
