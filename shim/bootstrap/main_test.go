// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/log"
	"google.golang.org/protobuf/proto"
)

const runtimeName = "io.containerd.ateom.v1"

// called runs what a command line asks for.
func called(t *testing.T, serve func(context.Context) error, args ...string) (string, error) {
	t.Helper()
	i, err := parse(append([]string{"shim"}, args...))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = i.run(actions{name: runtimeName}, serve, strings.NewReader(""), &out)
	return out.String(), err
}

// What containerd 1.7 to 2.4 run the binary with, and what they read.
func TestWhatContainerdAsksTheBinary(t *testing.T) {
	newBundle(t, "")
	never := func(context.Context) error {
		t.Error("the shim was served")
		return nil
	}
	out, err := called(t, never, "-v")
	if err != nil || !strings.Contains(out, "Version:") {
		t.Errorf("-v: %q, %v", out, err)
	}
	out, err = called(t, never, "-info")
	var info types.RuntimeInfo
	if err := errors.Join(err, proto.Unmarshal([]byte(out), &info)); err != nil || info.GetName() != runtimeName || info.GetVersion().GetVersion() == "" {
		t.Errorf("-info: %v, %v", &info, err)
	}
	known := []string{"-namespace", "test", "-address", "/run/none.sock", "-publish-binary", "/usr/bin/containerd", "-id", "box"}
	out, err = called(t, never, append(known, "start")...)
	var start struct {
		Version           int
		Address, Protocol string
	}
	if err := errors.Join(err, json.Unmarshal([]byte(out), &start)); err != nil || start.Version != 2 || start.Protocol != "ttrpc" {
		t.Errorf("start: %q, %v", out, err)
	}
	stop(t, start.Address)
	if err := os.Remove(strings.TrimPrefix(start.Address, "unix://")); err != nil {
		t.Error(err)
	}
	out, err = called(t, never, append(known, "-bundle", ".", "delete")...)
	var deleted taskapi.DeleteResponse
	if err := errors.Join(err, proto.Unmarshal([]byte(out), &deleted)); err != nil || deleted.GetExitStatus() != 137 {
		t.Errorf("delete: %v, %v", &deleted, err)
	}
	if _, err := called(t, never, append(known, "stop")...); err == nil || !strings.Contains(err.Error(), `"stop"`) {
		t.Errorf("an unknown action: %v", err)
	}
	if _, err := called(t, never); err == nil || !strings.Contains(err.Error(), "-namespace") {
		t.Errorf("no namespace: %v", err)
	}
}

func TestWithoutAnActionTheShimIsServed(t *testing.T) {
	t.Cleanup(func() { log.SetLevel("info") })
	failure := errors.New("it fails")
	var namespace string
	out, err := called(t, func(ctx context.Context) error {
		namespace, _ = namespaces.Namespace(ctx)
		return failure
	}, "-namespace", "test", "-id", "box", "-address", "/run/none.sock", "-debug")
	if !errors.Is(err, failure) || out != "" || namespace != "test" {
		t.Errorf("served in namespace %q: %q, %v", namespace, out, err)
	}
}
