// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
)

const snapshotService = "ateom.v1.Snapshots"

func TestAbsurdRequestsAreRefused(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	many := map[string]string{}
	for i := range maxImages + 1 {
		many[strings.Repeat("i", i+1)] = ""
	}
	tests := []struct {
		name, service, method string
		request               proto.Message
		want                  string
	}{
		{"no id", taskServiceV2, "State", &taskapi.StateRequest{}, "id: "},
		{"id that is a path", taskServiceV2, "Create", &taskapi.CreateTaskRequest{ID: "../../etc", Bundle: "/x"}, "id: "},
		{"long id", taskServiceV3, "Delete", &taskapi.DeleteRequest{ID: long}, "id: "},
		{"id with a line break", taskServiceV2, "Kill", &taskapi.KillRequest{ID: "a\nb"}, "id: "},
		{"exec id that is a path", taskServiceV2, "Exec", &taskapi.ExecProcessRequest{ID: "box", ExecID: "../x"}, "exec_id: "},
		{"relative bundle", taskServiceV2, "Create", &taskapi.CreateTaskRequest{ID: "c", Bundle: "x"}, "bundle: "},
		{"bundle with a zero", taskServiceV2, "Create", &taskapi.CreateTaskRequest{ID: "c", Bundle: "/x\x00"}, "bundle: "},
		{"long stdout", taskServiceV2, "Create", &taskapi.CreateTaskRequest{ID: "c", Bundle: "/x", Stdout: long}, "stdout: "},
		{"stdin with a zero", taskServiceV2, "Exec", &taskapi.ExecProcessRequest{ID: "box", ExecID: "e", Stdin: "a\x00"}, "stdin: "},
		{"signal 65", taskServiceV2, "Kill", &taskapi.KillRequest{ID: "box", Signal: 65}, "signal: want 0 to 64, got 65"},
		{"signal -1", taskServiceV2, "Kill", &taskapi.KillRequest{ID: "box", Signal: math.MaxUint32}, "signal: "},
		{"wide terminal", taskServiceV2, "ResizePty", &taskapi.ResizePtyRequest{ID: "box", Width: 1 << 16, Height: 1}, "width and height: "},
		{"no resources", taskServiceV2, "Update", &taskapi.UpdateTaskRequest{ID: "box"}, "no resources"},
		{"checkpoint to a relative path", taskServiceV2, "Checkpoint", &taskapi.CheckpointTaskRequest{ID: "box", Path: "x"}, "x"},
		{"unknown scope", snapshotService, "Commit", &ateomv1.CommitRequest{Id: "box", Scope: "Everything"}, `"Everything"`},
		{"scope in lower case", snapshotService, "Commit", &ateomv1.CommitRequest{Id: "box", Scope: "full"}, `"full"`},
		{"long store", snapshotService, "Commit", &ateomv1.CommitRequest{Id: "box", Store: "s3://" + long}, "store: "},
		{"store with a line break", snapshotService, "Commit", &ateomv1.CommitRequest{Id: "box", Store: "s3://a\nb"}, "store: "},
		{"many images", snapshotService, "Commit", &ateomv1.CommitRequest{Id: "box", Images: many}, "images: "},
		{"long image", snapshotService, "Commit", &ateomv1.CommitRequest{Id: "box", Images: map[string]string{"box": long}}, "images: "},
		{"pause of a path", snapshotService, "Pause", &ateomv1.PauseRequest{Id: "/"}, "id: "},
		{"resume of nobody", snapshotService, "Resume", &ateomv1.ResumeRequest{}, "id: "},
	}
	b := newBench(t)
	b.in(t, Running)
	client := serve(t, b.Service)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := call(t.Context(), client, tt.service, tt.method, tt.request)
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s = %.300v, want an invalid argument with %q", tt.method, err, tt.want)
			}
			if text := status.Convert(err).Message(); len(text) > 1000 || strings.Contains(text, "\n") {
				t.Errorf("the message has %d bytes: %.200q", len(text), text)
			}
		})
	}
	if s := b.sb.machine.state(); s != Running {
		t.Errorf("the sandbox became %s", s)
	}
}

// call calls a method; Commit answers by a stream.
func call(ctx context.Context, client *ttrpc.Client, service, method string, request proto.Message) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if method != "Commit" {
		// What the answer says is of no interest; any message can be decoded into this.
		return client.Call(ctx, service, method, request, &taskapi.StatsResponse{})
	}
	stream, err := ateomv1.NewSnapshotsClient(client).Commit(ctx, request.(*ateomv1.CommitRequest))
	if err != nil {
		return err
	}
	_, err = stream.Recv()
	return err
}

// Whatever a request says, it is answered, and no answer is a panic.
func TestAnyRequestIsAnswered(t *testing.T) {
	requests := []proto.Message{
		&taskapi.StateRequest{}, &taskapi.CreateTaskRequest{}, &taskapi.PidsRequest{}, &taskapi.PauseRequest{}, &taskapi.ResumeRequest{},
		&taskapi.CheckpointTaskRequest{}, &taskapi.KillRequest{}, &taskapi.ExecProcessRequest{}, &taskapi.ResizePtyRequest{},
		&taskapi.CloseIORequest{}, &taskapi.UpdateTaskRequest{}, &taskapi.StatsRequest{}, &taskapi.ConnectRequest{}, &taskapi.DeleteRequest{},
	}
	methods := []string{"State", "Create", "Pids", "Pause", "Resume", "Checkpoint", "Kill", "Exec", "ResizePty", "CloseIO", "Update", "Stats", "Connect", "Delete"}
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		b := newBench(t)
		// The states that a sandbox is in without a snapshot or a verb under way.
		b.in(t, []State{Created, Running, Stopped}[seed%3])
		client := serve(t, b.Service)
		for range 3 {
			for i, r := range requests {
				r = proto.Clone(r)
				fill(random, r.ProtoReflect(), 0)
				err := call(t.Context(), client, taskServiceV2, methods[i], r)
				if code := status.Code(err); code == codes.Internal || code == codes.DeadlineExceeded {
					t.Errorf("seed %d: %s(%.300v) = %v", seed, methods[i], r, err)
				}
			}
		}
	}
}

// fill gives a message's fields values that are likely to be mishandled.
func fill(random *rand.Rand, m protoreflect.Message, depth int) {
	texts := []string{"", "box", "other", "nobody", "../x", "/", "a\x00b", strings.Repeat("y", 5000), "fifo://", "file://", "binary://", "s3://", "{", "null"}
	numbers := []int64{0, 1, -1, 9, 15, 64, 1 << 16, math.MaxInt32, math.MinInt64, math.MaxInt64}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if random.IntN(3) == 0 {
			continue
		}
		text, number := texts[random.IntN(len(texts))], numbers[random.IntN(len(numbers))]
		switch {
		case f.IsList() || f.IsMap():
		case f.Kind() == protoreflect.StringKind:
			m.Set(f, protoreflect.ValueOfString(text))
		case f.Kind() == protoreflect.BytesKind:
			m.Set(f, protoreflect.ValueOfBytes([]byte(text)))
		case f.Kind() == protoreflect.BoolKind:
			m.Set(f, protoreflect.ValueOfBool(number > 0))
		case f.Kind() == protoreflect.Uint32Kind:
			m.Set(f, protoreflect.ValueOfUint32(uint32(number)))
		case f.Kind() == protoreflect.Int64Kind:
			m.Set(f, protoreflect.ValueOfInt64(number))
		case f.Message() != nil && depth < 2:
			fill(random, m.Mutable(f).Message(), depth+1)
		}
	}
}
