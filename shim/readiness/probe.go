// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package readiness

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ateom/ateom/shim/annotation"
)

// Annotation holds the probes: a JSON list of Probe.
const Annotation = "ateom.dev/readiness"

// Defaults of corev1.Probe.
const (
	defaultTimeout          = 1
	defaultPeriod           = 10
	defaultFailureThreshold = 3
)

// maxProbes bounds a list, maxSeconds every number of seconds in it, and
// maxService the name of a gRPC service.
const (
	maxProbes  = 64
	maxSeconds = 3600
	maxService = 1024
)

// A Probe is corev1.Probe with the name of a container. Exactly one of HTTPGet,
// TCPSocket, Exec and GRPC is set.
//
// corev1 spaces attempts by PeriodSeconds; here an attempt follows the last
// one within milliseconds, and PeriodSeconds × FailureThreshold is how long
// attempts go on, from the end of the initial delay.
type Probe struct {
	// Container is the name of the container that the probe belongs to; empty is
	// every container that has a program of its own.
	Container string           `json:"container,omitempty"`
	HTTPGet   *HTTPGetAction   `json:"httpGet,omitempty"`
	TCPSocket *TCPSocketAction `json:"tcpSocket,omitempty"`
	Exec      *ExecAction      `json:"exec,omitempty"`
	GRPC      *GRPCAction      `json:"grpc,omitempty"`

	InitialDelaySeconds int `json:"initialDelaySeconds,omitempty"`
	TimeoutSeconds      int `json:"timeoutSeconds,omitempty"`
	PeriodSeconds       int `json:"periodSeconds,omitempty"`
	FailureThreshold    int `json:"failureThreshold,omitempty"`
	SuccessThreshold    int `json:"successThreshold,omitempty"`

	// TerminationGracePeriodSeconds is here to be refused with a reason.
	TerminationGracePeriodSeconds *int64 `json:"terminationGracePeriodSeconds,omitempty"`
}

// An HTTPGetAction is corev1.HTTPGetAction. The host is always the sandbox.
type HTTPGetAction struct {
	Path        string       `json:"path,omitempty"`
	Port        Port         `json:"port"`
	Host        string       `json:"host,omitempty"`
	Scheme      string       `json:"scheme,omitempty"`
	HTTPHeaders []HTTPHeader `json:"httpHeaders,omitempty"`
}

// An HTTPHeader is corev1.HTTPHeader.
type HTTPHeader struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// A TCPSocketAction is corev1.TCPSocketAction. The host is always the sandbox.
type TCPSocketAction struct {
	Port Port   `json:"port"`
	Host string `json:"host,omitempty"`
}

// A GRPCAction is corev1.GRPCAction: the service of grpc.health.v1.
type GRPCAction struct {
	Port    Port   `json:"port"`
	Service string `json:"service,omitempty"`
}

// An ExecAction is corev1.ExecAction.
type ExecAction struct {
	Command []string `json:"command"`
}

// A Port is a number, which may stand in quotation marks as in corev1's
// IntOrString. The names of ports are in the pod's spec, which no runtime sees.
type Port uint16

// UnmarshalJSON implements json.Unmarshaler.
func (p *Port) UnmarshalJSON(b []byte) error {
	text := string(b)
	if unquoted := ""; json.Unmarshal(b, &unquoted) == nil {
		text = unquoted
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return fmt.Errorf("port: want a number from 1 to 65535 (names of ports are not known here), got %s", b)
	}
	*p = Port(n)
	return nil
}

// Parse reads the annotation's value; an empty one means no probes. Errors
// name the field and are errdefs.ErrInvalidArgument.
func Parse(text string) ([]Probe, error) {
	return annotation.List(Annotation, text, maxProbes, (*Probe).complete)
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
		if err := checkHost(a.Host); err != nil {
			return fmt.Errorf(".tcpSocket%w", err)
		}
	}
	if a := p.GRPC; a != nil {
		actions++
		if a.Port == 0 {
			return fmt.Errorf(".grpc.port: missing")
		}
		if len(a.Service) > maxService || !utf8.ValidString(a.Service) {
			return fmt.Errorf(".grpc.service: want at most %d bytes of UTF-8", maxService)
		}
	}
	if a := p.Exec; a != nil {
		actions++
		if len(a.Command) == 0 || a.Command[0] == "" {
			return fmt.Errorf(".exec.command: missing")
		}
	}
	if actions != 1 {
		return fmt.Errorf(": want exactly one of httpGet, tcpSocket, exec, grpc, got %d", actions)
	}
	if p.TerminationGracePeriodSeconds != nil {
		return fmt.Errorf(".terminationGracePeriodSeconds: a readiness probe ends nothing; leave it out")
	}
	for _, f := range []struct {
		name     string
		value    *int
		fallback int
	}{
		{"initialDelaySeconds", &p.InitialDelaySeconds, 0},
		{"timeoutSeconds", &p.TimeoutSeconds, defaultTimeout},
		{"periodSeconds", &p.PeriodSeconds, defaultPeriod},
		{"failureThreshold", &p.FailureThreshold, defaultFailureThreshold},
		{"successThreshold", &p.SuccessThreshold, 1},
	} {
		if *f.value < 0 || *f.value > maxSeconds {
			return fmt.Errorf(".%s: want 0 (its default) to %d, got %d", f.name, maxSeconds, *f.value)
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
	if err := checkHost(a.Host); err != nil {
		return err
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

// checkHost refuses a host: whom a probe reaches is not its author's choice.
func checkHost(host string) error {
	if host != "" {
		return fmt.Errorf(".host: a probe is dialled inside the sandbox, not at %q; leave it out (a Host header goes into httpHeaders)", host)
	}
	return nil
}

// url is where the probe asks.
func (a *HTTPGetAction) url() (*url.URL, error) {
	return url.Parse(fmt.Sprintf("%s://127.0.0.1:%d%s", strings.ToLower(a.Scheme), a.Port, a.Path))
}

// Dials is the name of the action if it connects to a port, and empty if it does not.
func (p *Probe) Dials() string {
	switch {
	case p.HTTPGet != nil:
		return "httpGet"
	case p.TCPSocket != nil:
		return "tcpSocket"
	case p.GRPC != nil:
		return "grpc"
	default:
		return ""
	}
}

// Delay is how long after the start the first attempt is made.
func (p *Probe) Delay() time.Duration { return time.Duration(p.InitialDelaySeconds) * time.Second }

// Limit is how long attempts go on, from the first one.
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
	case p.GRPC != nil:
		return fmt.Sprintf("grpc :%d service %q", p.GRPC.Port, p.GRPC.Service)
	default:
		return fmt.Sprintf("exec %q", p.Exec.Command)
	}
}
