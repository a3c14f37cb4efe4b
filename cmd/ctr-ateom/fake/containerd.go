// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"context"
	"fmt"
	"sync"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	imagesapi "github.com/containerd/containerd/api/services/images/v1"
	introspectionapi "github.com/containerd/containerd/api/services/introspection/v1"
	leasesapi "github.com/containerd/containerd/api/services/leases/v1"
	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types"
	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// ImageDigest is the digest of the one image that there is, named "app:1".
const ImageDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// existing are the containers that are there from the start. Those that the
// shim fails for are known by the keys of failures.
var existing = map[string]string{
	"web": ateom, "sidecar": ateom, "asleep": ateom, "busy": ateom, "halfway": ateom, "idle": ateom, "loaded": ateom,
	"plain": "io.containerd.runc.v2",
}

const ateom = "io.containerd.ateom.v1"

// ServeContainerd serves the part of containerd's API that ctr-ateom's own
// commands use at path until the returned function is called.
func ServeContainerd(path string, log *Log) (stop func(), err error) {
	c := &containerd{log: log, containers: make(map[string]*containersapi.Container), tasks: make(map[string]bool)}
	for id, runtime := range existing {
		c.put(id, runtime)
	}
	for id := range failures {
		c.put(id, ateom)
	}
	l, err := listen(path)
	if err != nil {
		return nil, err
	}
	srv := grpc.NewServer()
	containersapi.RegisterContainersServer(srv, containerService{containerd: c})
	tasksapi.RegisterTasksServer(srv, taskService{containerd: c})
	imagesapi.RegisterImagesServer(srv, imageService{})
	leasesapi.RegisterLeasesServer(srv, leaseService{})
	introspectionapi.RegisterIntrospectionServer(srv, introspectionService{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(l)
	}()
	return func() {
		srv.Stop()
		<-done
	}, nil
}

type containerd struct {
	log        *Log
	mu         sync.Mutex
	containers map[string]*containersapi.Container
	tasks      map[string]bool // those made by Create
}

func (c *containerd) put(id, runtime string) {
	spec, err := typeurl.MarshalAnyToProto(&specs.Spec{Process: &specs.Process{}})
	if err != nil {
		panic(err) // a plain value of a registered type
	}
	c.containers[id] = &containersapi.Container{
		ID: id, Image: "app:1", Spec: spec, Runtime: &containersapi.Container_Runtime{Name: runtime},
	}
}

type containerService struct {
	containersapi.UnimplementedContainersServer
	*containerd
}

func (s containerService) Get(_ context.Context, r *containersapi.GetContainerRequest) (*containersapi.GetContainerResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.containers[r.GetID()]
	if !ok {
		return nil, errgrpc.ToGRPC(fmt.Errorf("container %q in namespace: %w", r.GetID(), errdefs.ErrNotFound))
	}
	return &containersapi.GetContainerResponse{Container: c}, nil
}

// Create logs what the shim would be told of the container.
func (s containerService) Create(_ context.Context, r *containersapi.CreateContainerRequest) (*containersapi.CreateContainerResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := r.GetContainer()
	var spec specs.Spec
	if err := typeurl.UnmarshalTo(c.GetSpec(), &spec); err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	s.log.add("containerd create %s runtime=%s args=%q annotations=%v", c.GetID(), c.GetRuntime().GetName(), spec.Process.Args, sorted(spec.Annotations))
	if o := c.GetRuntime().GetOptions(); o != nil {
		var opts runtimeoptions.Options
		if err := typeurl.UnmarshalTo(o, &opts); err != nil {
			return nil, errgrpc.ToGRPC(err)
		}
		s.log.add("options path=%s body=%q", opts.GetConfigPath(), opts.GetConfigBody())
	}
	s.containers[c.GetID()] = c
	return &containersapi.CreateContainerResponse{Container: c}, nil
}

func (s containerService) Delete(_ context.Context, r *containersapi.DeleteContainerRequest) (*emptypb.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.add("containerd delete %s", r.GetID())
	delete(s.containers, r.GetID())
	return &emptypb.Empty{}, nil
}

type taskService struct {
	tasksapi.UnimplementedTasksServer
	*containerd
}

// Get knows the tasks of the existing containers but that of "idle", which run,
// and those that were made by Create, which have ended.
func (s taskService) Get(_ context.Context, r *tasksapi.GetRequest) (*tasksapi.GetResponse, error) {
	id := r.GetContainerID()
	p := &task.Process{ID: id, Pid: 42, Status: task.Status_STOPPED, ExitStatus: 7, ExitedAt: timestamppb.Now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.tasks[id]:
	case id != "idle" && (existing[id] != "" || failures[id] != nil):
		p.Status = task.Status_RUNNING
	default:
		return nil, errgrpc.ToGRPC(fmt.Errorf("task %s: %w", id, errdefs.ErrNotFound))
	}
	return &tasksapi.GetResponse{Process: p}, nil
}

func (s taskService) Create(_ context.Context, r *tasksapi.CreateTaskRequest) (*tasksapi.CreateTaskResponse, error) {
	s.log.add("containerd create task %s", r.GetContainerID())
	if r.GetContainerID() == "misfit" {
		return nil, errgrpc.ToGRPC(fmt.Errorf("the snapshot was made by another runsc: %w", errdefs.ErrFailedPrecondition))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tasks[r.GetContainerID()] = true
	return &tasksapi.CreateTaskResponse{ContainerID: r.GetContainerID(), Pid: 42}, nil
}

func (s taskService) Start(_ context.Context, r *tasksapi.StartRequest) (*tasksapi.StartResponse, error) {
	s.log.add("containerd start task %s", r.GetContainerID())
	if r.GetContainerID() == "late" {
		return nil, errgrpc.ToGRPC(fmt.Errorf("probe http :80 of container late: 503: %w", context.DeadlineExceeded))
	}
	return &tasksapi.StartResponse{Pid: 42}, nil
}

// Wait answers at once: programs of the fake end with status 7.
func (s taskService) Wait(context.Context, *tasksapi.WaitRequest) (*tasksapi.WaitResponse, error) {
	return &tasksapi.WaitResponse{ExitStatus: 7, ExitedAt: timestamppb.Now()}, nil
}

func (s taskService) Kill(context.Context, *tasksapi.KillRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

func (s taskService) Delete(_ context.Context, r *tasksapi.DeleteTaskRequest) (*tasksapi.DeleteResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.tasks[r.GetContainerID()] {
		return nil, errgrpc.ToGRPC(fmt.Errorf("task %s: %w", r.GetContainerID(), errdefs.ErrNotFound))
	}
	delete(s.tasks, r.GetContainerID())
	s.log.add("containerd delete task %s", r.GetContainerID())
	return &tasksapi.DeleteResponse{ID: r.GetContainerID(), ExitStatus: 7, ExitedAt: timestamppb.Now()}, nil
}

func (s taskService) Pause(_ context.Context, r *tasksapi.PauseTaskRequest) (*emptypb.Empty, error) {
	s.log.add("containerd pause %s", r.GetContainerID())
	return &emptypb.Empty{}, nil
}

func (s taskService) Resume(_ context.Context, r *tasksapi.ResumeTaskRequest) (*emptypb.Empty, error) {
	s.log.add("containerd resume %s", r.GetContainerID())
	return &emptypb.Empty{}, nil
}

type imageService struct {
	imagesapi.UnimplementedImagesServer
}

func (imageService) Get(_ context.Context, r *imagesapi.GetImageRequest) (*imagesapi.GetImageResponse, error) {
	if r.GetName() != "app:1" {
		return nil, errgrpc.ToGRPC(fmt.Errorf("image %q: %w", r.GetName(), errdefs.ErrNotFound))
	}
	return &imagesapi.GetImageResponse{Image: &imagesapi.Image{
		Name: r.GetName(), Target: &types.Descriptor{Digest: ImageDigest},
	}}, nil
}

type introspectionService struct {
	introspectionapi.UnimplementedIntrospectionServer
}

func (introspectionService) Server(context.Context, *emptypb.Empty) (*introspectionapi.ServerResponse, error) {
	return &introspectionapi.ServerResponse{}, nil
}

type leaseService struct {
	leasesapi.UnimplementedLeasesServer
}

func (leaseService) Create(_ context.Context, r *leasesapi.CreateRequest) (*leasesapi.CreateResponse, error) {
	return &leasesapi.CreateResponse{Lease: &leasesapi.Lease{ID: r.GetID()}}, nil
}

func (leaseService) Delete(context.Context, *leasesapi.DeleteRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}
