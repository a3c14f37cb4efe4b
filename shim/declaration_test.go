// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ateom/ateom/artifacts"
)

func TestDeclarationOfNothing(t *testing.T) {
	for _, values := range []map[string]string{nil, {"io.kubernetes.cri.sandbox-id": "x", "example.com/ateom.dev/x": "y"}} {
		d, err := declare(values)
		if err != nil {
			t.Fatal(err)
		}
		if d.onPause != artifacts.Full || d.onCommit != artifacts.Full || len(d.volumes)+len(d.probes)+len(d.emptyDirs) > 0 || d.store+string(d.restoreFrom) != "" {
			t.Errorf("declare(%v) = %+v, want Full and nothing else", values, d)
		}
	}
}

func TestDeclarationOfEverything(t *testing.T) {
	id := artifacts.NewID(time.Now())
	d, err := declare(map[string]string{
		"ateom.dev/durable-dirs":    `[{"name":"home","mountPath":"/home/agent"},{"name":"cache","mountPath":"/var/cache"}]`,
		"ateom.dev/durable-volumes": "data",
		"ateom.dev/on-pause":        "Full",
		"ateom.dev/on-commit":       "Data",
		"ateom.dev/store":           "main",
		"ateom.dev/restore-from":    string(id),
		"ateom.dev/readiness":       `[{"tcpSocket":{"port":80}}]`,
		"ateom.dev/image":           "docker.io/library/x:1",
		"ateom.dev/image-digest":    "sha256:0",
	})
	if err != nil {
		t.Fatal(err)
	}
	got := []any{len(d.volumes), d.emptyDirs, d.onPause, d.onCommit, d.store, d.restoreFrom, len(d.probes)}
	want := []any{2, []string{"data"}, artifacts.Full, artifacts.Data, "main", id, 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("declaration (-want +got):\n%s", diff)
	}
}

func TestBadDeclarationsNameTheAnnotation(t *testing.T) {
	id := string(artifacts.NewID(time.Now()))
	dirs := func(paths ...string) map[string]string {
		var list []string
		for i, p := range paths {
			list = append(list, `{"name":"v`+string(rune('0'+i))+`","mountPath":"`+p+`"}`)
		}
		return map[string]string{"ateom.dev/durable-dirs": "[" + strings.Join(list, ",") + "]"}
	}
	tests := []struct {
		name   string
		values map[string]string
		want   []string // each is in the error
	}{
		{"unknown key", map[string]string{"ateom.dev/on-puase": "Full"}, []string{"ateom.dev/on-puase", "no such setting"}},
		{"a bucket", map[string]string{"ateom.dev/bucket": "s3://mine"}, []string{"ateom.dev/bucket"}},
		{"a flag of runsc", map[string]string{"dev.gvisor.flag.host-uds": "all"}, []string{"dev.gvisor.flag.host-uds", "unix sockets"}},
		{"unknown on-pause", map[string]string{"ateom.dev/on-pause": "Some"}, []string{"on-pause", `"Some"`}},
		{"scope in lower case", map[string]string{"ateom.dev/on-commit": "full"}, []string{"on-commit", `"full"`}},
		{"wider on-commit", map[string]string{"ateom.dev/on-pause": "Data", "ateom.dev/on-commit": "Full"}, []string{"on-commit", "Data", "Full"}},
		{"wider than none", map[string]string{"ateom.dev/on-pause": "None", "ateom.dev/on-commit": "Data"}, []string{"on-commit"}},
		{"relative path", dirs("home/agent"), []string{"ateom.dev/durable-dirs", "home/agent"}},
		{"path with dots", dirs("/a/../b"), []string{"ateom.dev/durable-dirs", "/a/../b"}},
		{"root", dirs("/"), []string{"ateom.dev/durable-dirs", "mountPath"}},
		{"dirs that are no JSON", map[string]string{"ateom.dev/durable-dirs": "home=/x"}, []string{"ateom.dev/durable-dirs"}},
		{"unknown field of a dir", map[string]string{"ateom.dev/durable-dirs": `[{"name":"a","mountPath":"/a","hostPath":"/etc"}]`}, []string{"ateom.dev/durable-dirs", "hostPath"}},
		{"bad name of a dir", map[string]string{"ateom.dev/durable-dirs": `[{"name":"../a","mountPath":"/a"}]`}, []string{"ateom.dev/durable-dirs", "name"}},
		{"no port", map[string]string{"ateom.dev/readiness": `[{"httpGet":{}}]`}, []string{"ateom.dev/readiness[0].httpGet.port"}},
		{"probe that is no JSON", map[string]string{"ateom.dev/readiness": "tcp:80"}, []string{"ateom.dev/readiness"}},
		{"unknown policy", map[string]string{"ateom.dev/on-not-ready": "keep"}, []string{"ateom.dev/on-not-ready", "Kill or Keep", `"keep"`}},
		{"unknown connections", map[string]string{"ateom.dev/connections": "Drop"}, []string{"ateom.dev/connections", "Close or Keep", `"Drop"`}},
		{"hook without a command", map[string]string{"ateom.dev/post-restore": `[{"container":"a"}]`}, []string{"ateom.dev/post-restore[0].command"}},
		{"told in proc", map[string]string{"ateom.dev/inside": "/proc/x"}, []string{"ateom.dev/inside", "must not be in /proc"}},
		{"told at a relative path", map[string]string{"ateom.dev/inside": "run/x"}, []string{"ateom.dev/inside", "absolute", `"run/x"`}},
		{"told at the root", map[string]string{"ateom.dev/inside": "/"}, []string{"ateom.dev/inside"}},
		{"unknown request", map[string]string{"ateom.dev/inside": "/run/x", "ateom.dev/self": "Commit,Delete"}, []string{"ateom.dev/self", `"Commit,Delete"`}},
		{"requests without a place", map[string]string{"ateom.dev/self": "Pause"}, []string{"ateom.dev/self", "ateom.dev/inside"}},
		{"store that is a URL", map[string]string{"ateom.dev/store": "s3://mine"}, []string{"ateom.dev/store", "name of a store"}},
		{"store that is a path", map[string]string{"ateom.dev/store": "/etc"}, []string{"ateom.dev/store"}},
		{"store with a query", map[string]string{"ateom.dev/store": "main?endpoint=x"}, []string{"ateom.dev/store"}},
		{"snapshot that is a path", map[string]string{"ateom.dev/restore-from": "../../etc"}, []string{"ateom.dev/restore-from"}},
		{"unknown on-resume", map[string]string{"ateom.dev/on-resume": "Warm"}, []string{"on-resume", `"Warm"`}},
		{"golden without its id", map[string]string{"ateom.dev/on-resume": "Golden"}, []string{"ateom.dev/golden"}},
		{"golden without data", map[string]string{"ateom.dev/on-resume": "Golden", "ateom.dev/golden": id}, []string{"ateom.dev/restore-from"}},
		{"golden of no use", map[string]string{"ateom.dev/golden": id}, []string{"ateom.dev/on-resume"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := declare(tt.values)
			if !errdefs.IsInvalidArgument(err) {
				t.Fatalf("declare = %+v, %v, want an invalid argument", d, err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		})
	}
}

// Paths that collide with each other, or with what the container mounts, are
// found when the container is known.
func TestCollidingMountPathsAreRefused(t *testing.T) {
	tests := []struct {
		name, dirs string
		mounts     []specs.Mount
		want       string
	}{
		{"twice the same", `[{"name":"a","mountPath":"/x"},{"name":"b","mountPath":"/x"}]`, nil, "/x"},
		{"one in the other", `[{"name":"a","mountPath":"/x"},{"name":"b","mountPath":"/x/y"}]`, nil, "/x/y"},
		{"on proc", `[{"name":"a","mountPath":"/proc"}]`, []specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc"}}, "/proc"},
		{"on a tmpfs", `[{"name":"a","mountPath":"/dev/shm"}]`, []specs.Mount{{Destination: "/dev/shm", Type: "tmpfs", Source: "shm"}}, "/dev/shm"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := func() error {
				d, err := declare(map[string]string{"ateom.dev/durable-dirs": tt.dirs})
				if err != nil {
					return err
				}
				c := &container{name: "main", decl: d, spec: &specs.Spec{Mounts: tt.mounts}}
				return (&sandbox{}).checkVolumes(c)
			}()
			if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("checkVolumes = %v, want an invalid argument that names %s", err, tt.want)
			}
		})
	}
}

func TestKnownAnnotationsAllHaveThePrefix(t *testing.T) {
	for key := range annotations {
		if !strings.HasPrefix(key, annotationPrefix) {
			t.Errorf("annotation %q is never looked at", key)
		}
	}
}

func TestContainersOfASandboxOfOne(t *testing.T) {
	for key, value := range map[string]string{
		"ateom.dev/readiness":    `[{"tcpSocket":{"port":1}},{"container":"other","tcpSocket":{"port":1}}]`,
		"ateom.dev/pre-save":     `[{"command":["x"]},{"container":"other","command":["x"]}]`,
		"ateom.dev/post-restore": `[{"container":"main","command":["x"]},{"container":"other","command":["x"]}]`,
	} {
		d, err := declare(map[string]string{key: value})
		if err != nil {
			t.Fatal(err)
		}
		err = d.checkContainers("main")
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), key+`[1].container: there is no container "other"`) {
			t.Errorf("%s: %v", key, err)
		}
		if err := d.checkContainers("other"); key != "ateom.dev/post-restore" && err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// runsc forwards ports into its own network stack and the host's.
func TestProbesThatNothingCanDial(t *testing.T) {
	const list = `[{"exec":{"command":["x"]}},{%s}]`
	for _, kind := range []string{"", "sandbox", "host", "none", "plugin"} {
		for field, action := range map[string]string{
			"httpGet": `"httpGet":{"port":1}`, "tcpSocket": `"tcpSocket":{"port":1}`, "grpc": `"grpc":{"port":1}`, "": `"exec":{"command":["y"]}`,
		} {
			d, err := declare(map[string]string{"ateom.dev/readiness": fmt.Sprintf(list, action)})
			if err != nil {
				t.Fatal(err)
			}
			err = d.checkDials(kind)
			if kind == "none" || kind == "plugin" {
				if field != "" && (!errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "ateom.dev/readiness[1]."+field+": ")) {
					t.Errorf("%s with network %q: %v, want a refusal", field, kind, err)
				}
				if field != "" {
					continue
				}
			}
			if err != nil {
				t.Errorf("%q with network %q: %v", field, kind, err)
			}
		}
	}
}

// Whatever an annotation says, it is taken or refused by name.
func FuzzDeclare(f *testing.F) {
	keys := slices.Sorted(maps.Keys(annotations))
	for i, text := range []string{
		"", "[]", "null", "{}", `[null]`, `[{"httpGet":{"port":"80","path":"/%"}}]`, `[{"grpc":{"port":1,"service":"\xff"}}]`, `[{"command":["x"],"timeoutSeconds":1e99}]`,
		"Full", "Keep", "Commit,Pause", "/run/x", "s3://x", "../../x", `[{"name":"a","mountPath":"/a"}]`, strings.Repeat("[", 1000), "\x00",
	} {
		for key := range keys {
			f.Add(key+i, text)
		}
	}
	f.Fuzz(func(t *testing.T, key int, text string) {
		name := keys[uint(key)%uint(len(keys))]
		d, err := declare(map[string]string{name: text})
		if err == nil && d == nil {
			t.Errorf("declare of %s=%q = nothing and no error", name, text)
		}
		if err != nil && (!errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), name) && !strings.Contains(err.Error(), strings.TrimPrefix(name, annotationPrefix))) {
			t.Errorf("declare of %s=%q: %v", name, text, err)
		}
	})
}
