// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/status"

	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
)

// Names of containerd's task service. The messages of both versions are the
// same on the wire, so that one table of methods serves both.
const (
	taskServiceV2 = "containerd.task.v2.Task"
	taskServiceV3 = "containerd.task.v3.Task"
)

// RegisterTTRPC puts the service onto a server. Errors become gRPC status
// codes here and nowhere else.
func (s *Service) RegisterTTRPC(server *ttrpc.Server) error {
	task := &ttrpc.ServiceDesc{Methods: map[string]ttrpc.Method{
		"State":      unary(s.State),
		"Create":     unary(s.Create),
		"Start":      unary(s.Start),
		"Delete":     unary(s.Delete),
		"Pids":       unary(s.Pids),
		"Pause":      unary(s.Pause),
		"Resume":     unary(s.Resume),
		"Checkpoint": unary(s.Checkpoint),
		"Kill":       unary(s.Kill),
		"Exec":       unary(s.Exec),
		"ResizePty":  unary(s.ResizePty),
		"CloseIO":    unary(s.CloseIO),
		"Update":     unary(s.Update),
		"Wait":       waiting(s.Wait),
		"Stats":      unary(s.Stats),
		"Connect":    unary(s.Connect),
		"Shutdown":   waiting(s.Shutdown), // which nothing waits for at the end
	}}
	server.RegisterService(taskServiceV2, task)
	server.RegisterService(taskServiceV3, task)
	ateomv1.RegisterSnapshotsService(server, onWire{snapshots{s}})
	return nil
}

// unary makes a ttrpc method of a function.
func unary[Request, Response any](call func(context.Context, *Request) (*Response, error)) ttrpc.Method {
	return waiting(awake(call))
}

// waiting is unary for a function that waits for days, maybe, and does nothing
// meanwhile.
func waiting[Request, Response any](call func(context.Context, *Request) (*Response, error)) ttrpc.Method {
	return func(ctx context.Context, unmarshal func(any) error) (any, error) {
		request := new(Request)
		if err := unmarshal(request); err != nil {
			return nil, err
		}
		return checked(ctx, request, call)
	}
}

// awake is f, with the collector on.
func awake[Request, Response any](f func(context.Context, *Request) (*Response, error)) func(context.Context, *Request) (*Response, error) {
	return func(ctx context.Context, r *Request) (*Response, error) {
		defer answering()()
		return f(ctx, r)
	}
}

// checked calls f with a request that is worth looking at.
func checked[Request, Response any](ctx context.Context, r *Request, f func(context.Context, *Request) (*Response, error)) (*Response, error) {
	return guard(ctx, func() (*Response, error) {
		if err := checkRequest(r); err != nil {
			return nil, err
		}
		return f(ctx, r)
	})
}

// guard calls f, whose panics fail this call alone, and gives its error a
// gRPC status.
func guard[Response any](ctx context.Context, f func() (*Response, error)) (*Response, error) {
	return reply(recovered(ctx, f))
}

// reply turns an error into its gRPC status.
func reply[Response any](r *Response, err error) (*Response, error) {
	if err != nil {
		return nil, toStatus(err)
	}
	return r, nil
}

// toStatus makes one status of an error: the code of the first errdefs class
// in it, and its text as one line. errgrpc alone would send every branch of an
// error with several causes as a sentence of its own.
func toStatus(err error) error {
	code := status.Code(errgrpc.ToGRPC(errdefs.Resolve(err)))
	return status.Error(code, oneLine(err))
}

// onWire is a snapshot service whose errors are gRPC status codes.
type onWire struct{ s snapshots }

func (w onWire) Pause(ctx context.Context, r *ateomv1.PauseRequest) (*ateomv1.PauseResponse, error) {
	return checked(ctx, r, awake(w.s.Pause))
}

func (w onWire) Commit(ctx context.Context, r *ateomv1.CommitRequest, stream ateomv1.Snapshots_CommitServer) error {
	_, err := checked(ctx, r, awake(func(ctx context.Context, r *ateomv1.CommitRequest) (*struct{}, error) {
		return nil, w.s.Commit(ctx, r, stream)
	}))
	return err
}

func (w onWire) Resume(ctx context.Context, r *ateomv1.ResumeRequest) (*ateomv1.ResumeResponse, error) {
	return checked(ctx, r, awake(w.s.Resume))
}

func (w onWire) Status(ctx context.Context, r *ateomv1.StatusRequest) (*ateomv1.StatusResponse, error) {
	return checked(ctx, r, awake(w.s.Status))
}

func (w onWire) List(ctx context.Context, r *ateomv1.ListRequest) (*ateomv1.ListResponse, error) {
	return checked(ctx, r, awake(w.s.List))
}
