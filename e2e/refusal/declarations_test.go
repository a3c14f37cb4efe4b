// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package refusal

import (
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/shim/config"
)

// An annotation that is wrong is refused before anything runs.
func TestWrongDeclarationsAreRefused(t *testing.T) {
	const dirs = "ateom.dev/durable-dirs"
	n := harness.NewNode(t, harness.Config{})
	for _, c := range []struct {
		name        string
		annotations map[string]string
		is          func(error) bool
		says        []string
	}{
		{"relative mount path", map[string]string{dirs: `[{"name":"a","mountPath":"data"}]`}, errdefs.IsInvalidArgument, []string{"durable-dirs[0].mountPath", "absolute", "data"}},
		{"the root", map[string]string{dirs: `[{"name":"a","mountPath":"/"}]`}, errdefs.IsInvalidArgument, []string{"durable-dirs[0].mountPath"}},
		{"kernel's file system", map[string]string{dirs: `[{"name":"a","mountPath":"/proc/a"}]`}, errdefs.IsInvalidArgument, []string{"durable-dirs[0].mountPath", "/proc"}},
		{"same path twice", map[string]string{dirs: `[{"name":"a","mountPath":"/data"},{"name":"b","mountPath":"/data"}]`}, errdefs.IsInvalidArgument, []string{"durable-dirs[1]", "/data"}},
		{"one path in another", map[string]string{dirs: `[{"name":"a","mountPath":"/data"},{"name":"b","mountPath":"/data/b"}]`}, errdefs.IsInvalidArgument, []string{"durable-dirs[1]", "/data"}},
		{"name that is a path", map[string]string{dirs: `[{"name":"../a","mountPath":"/x"}]`}, errdefs.IsInvalidArgument, []string{"durable-dirs[0].name"}},
		{"no JSON", map[string]string{dirs: `home=/home`}, errdefs.IsInvalidArgument, []string{"durable-dirs"}},
		{"host path", map[string]string{dirs: `[{"name":"a","mountPath":"/x","hostPath":"/etc"}]`}, errdefs.IsInvalidArgument, []string{"hostPath"}},
		{"unknown scope", map[string]string{"ateom.dev/on-commit": "Half"}, errdefs.IsInvalidArgument, []string{"on-commit", "Half"}},
		{"scope in lower case", map[string]string{"ateom.dev/on-pause": "full"}, errdefs.IsInvalidArgument, []string{"on-pause", "full"}},
		{"commit wider than pause", map[string]string{"ateom.dev/on-pause": "Data", "ateom.dev/on-commit": "Full"}, errdefs.IsInvalidArgument, []string{"on-commit", "on-pause"}},
		{"unknown store", map[string]string{"ateom.dev/store": "nowhere"}, errdefs.IsNotFound, []string{"store", "nowhere"}},
		{"bucket by annotation", map[string]string{"ateom.dev/store": "s3://somebody-elses"}, nil, []string{"store", "s3://somebody-elses"}},
		{"host path as store", map[string]string{"ateom.dev/store": "file:///etc"}, nil, []string{"store", "file:///etc"}},
		{"snapshot id that is a path", map[string]string{"ateom.dev/restore-from": "../../etc"}, errdefs.IsInvalidArgument, []string{"restore-from", "../../etc"}},
		{"snapshot that is not there", map[string]string{"ateom.dev/restore-from": "01arz3ndektsv4rrffq69g5fav"}, errdefs.IsNotFound, []string{"01arz3ndektsv4rrffq69g5fav"}},
		{"readiness that is no JSON", map[string]string{"ateom.dev/readiness": "tcp:80"}, errdefs.IsInvalidArgument, []string{"readiness"}},
		{"probe without a kind", map[string]string{"ateom.dev/readiness": `[{"periodSeconds":1}]`}, errdefs.IsInvalidArgument, []string{"readiness"}},
		{"probe of another container", map[string]string{"ateom.dev/readiness": `[{"container":"other","tcpSocket":{"port":1}}]`}, errdefs.IsInvalidArgument, []string{"readiness[0].container", "other"}},
		{"flag of runsc", map[string]string{"dev.gvisor.flag.host-uds": "all"}, errdefs.IsInvalidArgument, []string{"dev.gvisor.flag.host-uds", "unix sockets"}},
		{"bundle of flags", map[string]string{"dev.gvisor.bundle.experimental-high-performance": "true"}, errdefs.IsInvalidArgument, []string{"dev.gvisor.bundle.experimental-high-performance"}},
		{"checkpoint by gVisor", map[string]string{"dev.gvisor.internal.checkpoint.path": "/etc"}, errdefs.IsInvalidArgument, []string{"dev.gvisor.internal.checkpoint.path", "ateom.dev/self"}},
		{"root from the host", map[string]string{"dev.gvisor.spec.rootfs.source": "/etc/shadow"}, errdefs.IsInvalidArgument, []string{"dev.gvisor.spec.rootfs.source"}},
		{"unknown to us", map[string]string{"dev.gvisor.tomorrow": "x"}, errdefs.IsInvalidArgument, []string{"dev.gvisor.tomorrow"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := everything(t, n)
			_, err := n.TryRun(t, harness.Container{Args: []string{"sleep", "1000"}, Annotations: c.annotations})
			if err == nil {
				t.Fatalf("%q was accepted", c.annotations)
			}
			wantSentence(t, err.Error(), c.says)
			if c.is != nil && !c.is(err) {
				t.Errorf("the code of %q is wrong", err)
			}
			wantUnchanged(t, n, before)
		})
	}
}

// A probe that nothing could dial on this node is refused, whatever else the container says.
func TestProbesThatCouldNotBeDialledAreRefused(t *testing.T) {
	n := harness.NewNode(t, harness.Config{Config: config.Config{RunscFlags: map[string]string{"network": "none"}}})
	for field, action := range map[string]string{
		"tcpSocket": `{"port":80}`, "httpGet": `{"port":80,"scheme":"HTTPS"}`, "grpc": `{"port":80}`,
	} {
		t.Run(field, func(t *testing.T) {
			before := everything(t, n)
			_, err := n.TryRun(t, harness.Container{Args: []string{"sleep", "1000"}, Annotations: map[string]string{
				"ateom.dev/readiness": fmt.Sprintf(`[{"exec":{"command":["true"]}},{%q:%s}]`, field, action),
			}})
			if !errdefs.IsInvalidArgument(err) {
				t.Fatalf("it was not refused as invalid: %v", err)
			}
			wantSentence(t, err.Error(), []string{"ateom.dev/readiness[1]." + field, `network = "none"`, "exec probe"})
			wantUnchanged(t, n, before)
		})
	}
}

// wantSentence fails the test unless text is one line that has all words.
func wantSentence(t *testing.T, text string, words []string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("the error does not say %q: %s", w, text)
		}
	}
	if strings.Contains(strings.TrimSpace(text), "\n") {
		t.Errorf("the error is more than a sentence: %s", text)
	}
}
