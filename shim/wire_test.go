// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	taskv2 "github.com/containerd/containerd/api/runtime/task/v2"
	taskv3 "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/errdefs"
	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// describeMessage lists everything of a message that decides its wire form, with the
// package's own name left out.
func describeMessage(m protoreflect.MessageDescriptor) string {
	var b strings.Builder
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		kind := f.Kind().String()
		if f.Message() != nil {
			kind = string(f.Message().FullName())
		}
		if f.Enum() != nil {
			kind = string(f.Enum().FullName())
		}
		kind = strings.ReplaceAll(kind, string(m.ParentFile().Package()), "PKG")
		fmt.Fprintf(&b, "%d %s %s %s packed=%v\n", f.Number(), f.Name(), f.Cardinality(), kind, f.IsPacked())
	}
	return b.String()
}

// One table of methods serves both versions of the task service; that is right
// only as long as their messages are the same on the wire.
func TestTaskServicesAreWireEqual(t *testing.T) {
	v2, v3 := taskv2.File_github_com_containerd_containerd_api_runtime_task_v2_shim_proto, taskv3.File_github_com_containerd_containerd_api_runtime_task_v3_shim_proto
	if v2.Messages().Len() == 0 || v2.Messages().Len() != v3.Messages().Len() {
		t.Errorf("%d and %d messages", v2.Messages().Len(), v3.Messages().Len())
	}
	for i := range v2.Messages().Len() {
		a := v2.Messages().Get(i)
		b := v3.Messages().ByName(a.Name())
		if b == nil {
			t.Errorf("version 3 has no %s", a.Name())
			continue
		}
		if x, y := describeMessage(a), describeMessage(b); x != y {
			t.Errorf("%s differs:\nversion 2:\n%sversion 3:\n%s", a.Name(), x, y)
		}
	}
	methods := func(f protoreflect.FileDescriptor) string {
		var b strings.Builder
		m := f.Services().ByName("Task").Methods()
		for i := range m.Len() {
			fmt.Fprintln(&b, m.Get(i).Name(), m.Get(i).Input().Name(), m.Get(i).Output().Name())
		}
		return b.String()
	}
	if a, b := methods(v2), methods(v3); a == "" || a != b {
		t.Errorf("the services differ:\nversion 2:\n%sversion 3:\n%s", a, b)
	}
}

// serve serves s on a socket of its own and returns a client.
func serve(t *testing.T, s *Service) *ttrpc.Client {
	t.Helper()
	server, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RegisterTTRPC(server); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), l) }()
	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	client := ttrpc.NewClient(conn)
	t.Cleanup(func() {
		client.Close()
		server.Close()
		if err := <-served; !errors.Is(err, ttrpc.ErrServerClosed) {
			t.Error(err)
		}
	})
	return client
}

// Every method that containerd may call is there, under both names, and an
// error arrives with its gRPC code.
func TestBothTaskServicesAreServedWhole(t *testing.T) {
	client := serve(t, &Service{})
	methods := taskv2.File_github_com_containerd_containerd_api_runtime_task_v2_shim_proto.Services().ByName("Task").Methods()
	for _, service := range []string{taskServiceV2, taskServiceV3} {
		for i := range methods.Len() {
			method := string(methods.Get(i).Name())
			if method == "Connect" || method == "Shutdown" || method == "Create" {
				continue // they do not fail without a sandbox; below
			}
			// Field 1 of every request is the container's id.
			err := client.Call(t.Context(), service, method, &taskv2.StateRequest{ID: "nobody"}, &taskv2.StateResponse{})
			if code := status.Code(err); code != codes.NotFound {
				t.Errorf("%s.%s of an unknown container: %v (%v), want NotFound", service, method, code, err)
			}
		}
		var connected taskv2.ConnectResponse
		if err := client.Call(t.Context(), service, "Connect", &taskv2.ConnectRequest{ID: "nobody"}, &connected); err != nil || connected.ShimPid == 0 {
			t.Errorf("%s.Connect = %v, %v", service, &connected, err)
		}
		err := client.Call(t.Context(), service, "Create", &taskv2.CreateTaskRequest{ID: "c", Bundle: t.TempDir()}, &taskv2.CreateTaskResponse{})
		if err == nil || status.Code(err) == codes.Unimplemented {
			t.Errorf("%s.Create without a bundle = %v", service, err)
		}
	}
}

func TestErrorsBecomeCodesAndPanicsErrors(t *testing.T) {
	for class, code := range map[error]codes.Code{
		errdefs.ErrNotFound: codes.NotFound, errdefs.ErrInvalidArgument: codes.InvalidArgument,
		errdefs.ErrFailedPrecondition: codes.FailedPrecondition, errdefs.ErrAlreadyExists: codes.AlreadyExists,
		errdefs.ErrUnavailable: codes.Unavailable, errdefs.ErrDataLoss: codes.DataLoss,
		context.DeadlineExceeded: codes.DeadlineExceeded, context.Canceled: codes.Canceled,
		&StateError{Running, Paused}: codes.FailedPrecondition,
	} {
		_, err := guard(t.Context(), func() (*struct{}, error) { return nil, fmt.Errorf("do a thing: %w", class) })
		if status.Code(err) != code || !strings.Contains(err.Error(), "do a thing") {
			t.Errorf("%v became %v, want %v", class, err, code)
		}
	}
	_, err := guard(t.Context(), func() (*struct{}, error) { panic("index out of range") })
	if status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "index out of range") {
		t.Errorf("a panic became %v, want Internal", err)
	}
	if r, err := guard(t.Context(), func() (*int, error) { return new(int), nil }); r == nil || err != nil {
		t.Errorf("guard of a success = %v, %v", r, err)
	}
}
