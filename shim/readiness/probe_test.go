// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package readiness

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

func TestParseFillsInDefaults(t *testing.T) {
	got, err := Parse(`[
		{"httpGet": {"port": 80}},
		{"container": "db", "tcpSocket": {"port": 6379}, "timeoutSeconds": 2, "periodSeconds": 3, "failureThreshold": 4, "successThreshold": 5},
		{"exec": {"command": ["true", "x"]}},
		{"grpc": {"port": "50051", "service": "my.Service"}, "initialDelaySeconds": 6}
	]`)
	if err != nil {
		t.Fatal(err)
	}
	want := []Probe{
		{HTTPGet: &HTTPGetAction{Port: 80, Scheme: "HTTP", Path: "/"}, TimeoutSeconds: 1, PeriodSeconds: 10, FailureThreshold: 3, SuccessThreshold: 1},
		{Container: "db", TCPSocket: &TCPSocketAction{Port: 6379}, TimeoutSeconds: 2, PeriodSeconds: 3, FailureThreshold: 4, SuccessThreshold: 5},
		{Exec: &ExecAction{Command: []string{"true", "x"}}, TimeoutSeconds: 1, PeriodSeconds: 10, FailureThreshold: 3, SuccessThreshold: 1},
		{GRPC: &GRPCAction{Port: 50051, Service: "my.Service"}, InitialDelaySeconds: 6, TimeoutSeconds: 1, PeriodSeconds: 10, FailureThreshold: 3, SuccessThreshold: 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("probes (-want +got):\n%s", diff)
	}
	if got[1].Limit() != 12*time.Second || got[1].Timeout() != 2*time.Second {
		t.Errorf("limit %v, timeout %v, want 12 s and 2 s", got[1].Limit(), got[1].Timeout())
	}
	if got[3].Delay() != 6*time.Second {
		t.Errorf("delay %v, want 6 s", got[3].Delay())
	}
	names := []string{got[0].String(), got[1].String(), got[2].String(), got[3].String()}
	if diff := cmp.Diff([]string{"httpGet http://:80/", "tcpSocket :6379", `exec ["true" "x"]`, `grpc :50051 service "my.Service"`}, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestParseOfNothing(t *testing.T) {
	for _, text := range []string{"", " \n", "[]", "null"} {
		if probes, err := Parse(text); err != nil || len(probes) != 0 {
			t.Errorf("Parse(%q) = %v, %v, want no probes", text, probes, err)
		}
	}
}

// The text is what Kubernetes' own types marshal to.
func TestParseReadsKubernetesProbes(t *testing.T) {
	got, err := Parse(`[
		{"httpGet":{"path":"/healthz?full=1","port":8080,"scheme":"HTTPS","httpHeaders":[{"name":"Host","value":"example.test"}]},
		 "timeoutSeconds":5,"periodSeconds":1,"successThreshold":2,"failureThreshold":30},
		{"tcpSocket":{"port":80}},
		{"exec":{"command":["ok"]}}
	]`)
	if err != nil {
		t.Fatal(err)
	}
	want := Probe{
		HTTPGet: &HTTPGetAction{
			Path: "/healthz?full=1", Port: 8080, Scheme: "HTTPS", HTTPHeaders: []HTTPHeader{{Name: "Host", Value: "example.test"}},
		},
		TimeoutSeconds: 5, PeriodSeconds: 1, SuccessThreshold: 2, FailureThreshold: 30,
	}
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Errorf("probe (-want +got):\n%s", diff)
	}
}

func TestParseNamesTheField(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"not JSON", `{`, Annotation},
		{"an object", `{"httpGet":{"port":80}}`, Annotation},
		{"something behind", `[] []`, "something follows"},
		{"a bracket behind", `[]]`, "something follows"},
		{"unknown field", `[{"tcpSocket":{"port":80}},{"udp":{"port":80}}]`, `[1]: json: unknown field "udp"`},
		{"unknown field of an action", `[{"grpc":{"port":80,"tls":true}}]`, `[0]: json: unknown field "tls"`},
		{"host", `[{"httpGet":{"port":80,"host":"10.0.0.1"}}]`, `[0].httpGet.host: a probe is dialled inside the sandbox, not at "10.0.0.1"`},
		{"tcp host", `[{"tcpSocket":{"port":80,"host":"localhost"}}]`, "[0].tcpSocket.host: "},
		{"grpc without a port", `[{"grpc":{"service":"x"}}]`, "[0].grpc.port: missing"},
		{"long service", `[{"grpc":{"port":1,"service":"` + strings.Repeat("x", maxService+1) + `"}}]`, "[0].grpc.service: "},
		{"empty command", `[{"exec":{"command":[""]}}]`, "[0].exec.command: missing"},
		{"negative delay", `[{"tcpSocket":{"port":1},"initialDelaySeconds":-1}]`, "[0].initialDelaySeconds: "},
		{"huge delay", `[{"tcpSocket":{"port":1},"initialDelaySeconds":99999999999999999999}]`, "initialDelaySeconds"},
		{"grace", `[{"tcpSocket":{"port":1},"terminationGracePeriodSeconds":5}]`, "[0].terminationGracePeriodSeconds: "},
		{"no action", `[{}]`, "[0]: want exactly one of httpGet, tcpSocket, exec, grpc, got 0"},
		{"null", `[null]`, "[0]: want exactly one"},
		{"two actions", `[{"tcpSocket":{"port":1},"exec":{"command":["a"]}}]`, "[0]: want exactly one of httpGet, tcpSocket, exec, grpc, got 2"},
		{"second probe", `[{"tcpSocket":{"port":1}},{}]`, "[1]: want exactly one"},
		{"no port", `[{"httpGet":{}}]`, "[0].httpGet.port: missing"},
		{"no tcp port", `[{"tcpSocket":{}}]`, "[0].tcpSocket.port: missing"},
		{"named port", `[{"tcpSocket":{"port":"http"}}]`, `[0]: port: want a number from 1 to 65535 (names of ports are not known here), got "http"`},
		{"port 0", `[{"tcpSocket":{"port":0}}]`, "[0]: port: want a number from 1 to 65535 (names of ports are not known here), got 0"},
		{"port 65536", `[{"tcpSocket":{"port":65536}}]`, "got 65536"},
		{"negative port", `[{"tcpSocket":{"port":-1}}]`, "got -1"},
		{"relative path", `[{"httpGet":{"port":1,"path":"x"}}]`, `[0].httpGet.path: want an absolute path, got "x"`},
		{"path that is no URL", `[{"httpGet":{"port":1,"path":"/%zz"}}]`, "[0].httpGet.path: "},
		{"path with a line break", `[{"httpGet":{"port":1,"path":"/a\r\nb"}}]`, "[0].httpGet.path: "},
		{"scheme", `[{"httpGet":{"port":1,"scheme":"ftp"}}]`, `[0].httpGet.scheme: want HTTP or HTTPS, got "ftp"`},
		{"header name", `[{"httpGet":{"port":1,"httpHeaders":[{"name":"ok","value":""},{"name":"a b","value":""}]}}]`, "[0].httpGet.httpHeaders[1]"},
		{"header value", `[{"httpGet":{"port":1,"httpHeaders":[{"name":"a","value":"x\r\ny: z"}]}}]`, "[0].httpGet.httpHeaders[0]"},
		{"no command", `[{"exec":{"command":[]}}]`, "[0].exec.command: missing"},
		{"negative timeout", `[{"tcpSocket":{"port":1},"timeoutSeconds":-1}]`, "[0].timeoutSeconds: want 0 (its default) to 3600, got -1"},
		{"long period", `[{"tcpSocket":{"port":1},"periodSeconds":3601}]`, "[0].periodSeconds"},
		{"failures", `[{"tcpSocket":{"port":1},"failureThreshold":-2}]`, "[0].failureThreshold"},
		{"successes", `[{"tcpSocket":{"port":1},"successThreshold":-2}]`, "[0].successThreshold"},
		{"text for a number", `[{"tcpSocket":{"port":1},"timeoutSeconds":"1"}]`, "timeoutSeconds"},
		{"too many", "[" + strings.Repeat(`{"tcpSocket":{"port":1}},`, maxProbes) + `{"tcpSocket":{"port":1}}]`, "65 entries are more than 64"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			probes, err := Parse(tt.text)
			if !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Fatalf("Parse = %v, %v, want an invalid argument", probes, err)
			}
			if !strings.Contains(err.Error(), Annotation) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Parse = %v, want %q in it", err, tt.want)
			}
		})
	}
}
