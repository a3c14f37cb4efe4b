// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	eventstypes "github.com/containerd/containerd/api/events"
	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/runsc"
	"github.com/ateom/ateom/shim/cgroup"
	"github.com/ateom/ateom/shim/config"
	"github.com/ateom/ateom/shim/pod"
	"github.com/ateom/ateom/shim/record"
	"github.com/ateom/ateom/shim/sandboxid"
	"github.com/ateom/ateom/shim/stdio"
)

// Create makes a container from its bundle. The first container of a shim
// makes the sandbox; every other joins it.
func (s *Service) Create(ctx context.Context, r *taskapi.CreateTaskRequest) (_ *taskapi.CreateTaskResponse, err error) {
	clock := newStopwatch(ctx)
	var undo undoList
	end := func() {}
	defer func() {
		if err != nil {
			undo.run(ctx)
		}
		end() // after the roll-back, so that nobody sees half of it
	}()

	// Everything that can be refused is refused before anything is touched.
	spec, err := readSpec(r.GetBundle())
	if err != nil {
		return nil, err
	}
	spec.Linux.CgroupsPath = cgroup.ForRunsc(spec.Linux.CgroupsPath)
	decl, err := declare(spec.Annotations)
	if err != nil {
		return nil, err
	}
	sb, first, err := s.sandboxFor(r)
	if err != nil {
		return nil, err
	}
	if first {
		undo.add("forget sandbox", func(ctx context.Context) error { return s.forget(ctx, sb) })
	}
	ctx, endVerb, err := sb.begin(ctx, verbCreate)
	if err != nil {
		return nil, err
	}
	isRestore := false
	end = func() {
		if isRestore && err != nil {
			sb.endRestore(ctx, err)
		}
		endVerb()
	}
	restores := func() {
		if !isRestore {
			sb.goOnRestoring(clock)
			isRestore = true
		}
	}
	if !s.serves(sb) {
		return nil, fmt.Errorf("create container %s: the first container of its sandbox could not be made: %w", r.GetID(), errdefs.ErrAborted)
	}
	if err := sb.checkID(r.GetID()); err != nil {
		return nil, err
	}

	c := &container{
		id: r.GetID(), bundle: r.GetBundle(), rootfs: filepath.Join(r.GetBundle(), "rootfs"),
		spec: spec, decl: decl, name: containerName(spec, r.GetID()),
	}
	if spec.Annotations[sandboxid.GroupAnnotation] == "" && !underCRI(spec) {
		if err := decl.checkContainers(c.name); err != nil {
			return nil, err
		}
	}
	if err := decl.checkDials(sb.cfg.RunscFlags["network"]); err != nil {
		return nil, err
	}
	if err := sb.checkVolumes(c); err != nil {
		return nil, err
	}
	if first {
		if err := sb.settlePod(spec, decl); err != nil {
			return nil, err
		}
		if sb.isToRestore(c, r.GetCheckpoint()) {
			restores()
		}
		if _, _, err := sb.store(decl.store); decl.store != "" && err != nil {
			return nil, fmt.Errorf("annotation %s: %w", annotationStore, err)
		}
		err := sb.chooseOrigin(ctx, c, r.GetCheckpoint())
		sb.noteOrigin()
		if err != nil {
			return nil, err
		}
	} else {
		if sb.comingBack() {
			restores()
		}
		if sb.origin != nil {
			if err := sb.origin.checkMember(c, sb.mountsToBe(c)); err != nil {
				return nil, err
			}
		}
		if err := s.checkLater(ctx, sb, c); err != nil {
			return nil, err
		}
	}
	if len(r.GetRootfs()) == 0 && filepath.IsAbs(spec.Root.Path) {
		c.rootfs = spec.Root.Path // a directory of the user's
	} else {
		c.mounted = true
	}
	if err := record.Write(c.bundle, sb.record(c)); err != nil {
		return nil, err
	}
	if err := c.mountRootfs(r.GetRootfs()); err != nil {
		return nil, err
	}
	undo.add("unmount rootfs", func(context.Context) error { return c.unmountRootfs() })
	if first {
		if err := sb.settleVolumes(&undo); err != nil {
			return nil, err
		}
	}
	fresh, err := sb.provideVolumes(c)
	var coming *fetching // beside what follows
	if err == nil && sb.fetches(first, fresh) {
		restores()
		sb.markRestore("prepare")
		if first {
			coming, err = sb.fetchOrigin(ctx, c, fresh, &undo)
		} else if err = sb.fillVolumes(ctx, fresh); err == nil {
			sb.markRestore("fetch")
		}
	}
	if err != nil {
		sb.forgetVolumes(fresh)
		return nil, err
	}
	if first {
		sb.sizeVolumes(spec)
		if err := s.settleInside(ctx, sb, decl); err != nil {
			return nil, err
		}
	}
	if err := sb.mountInside(c); err != nil {
		return nil, err
	}
	if sb.cri {
		pod.Retype(spec, sb.emptyDirs)
	}
	place(spec, c.id, sb.id, c.rootfs)
	if first {
		if err := sb.settleNetwork(spec, decl.connections); err != nil {
			return nil, err
		}
		// Now it is known what gVisor takes, and which build of runsc a snapshot needs.
		if err := record.Write(c.bundle, sb.record(c)); err != nil {
			return nil, err
		}
	}
	if err := writeSpec(c.bundle, spec); err != nil {
		return nil, err
	}

	streamNames := stdio.Config{
		Stdin: r.GetStdin(), Stdout: r.GetStdout(), Stderr: r.GetStderr(), Terminal: r.GetTerminal(),
		ID: c.id, Namespace: sb.namespace,
	}
	streams, err := stdio.Open(ctx, streamNames)
	if err != nil {
		return nil, err
	}
	undo.add("close streams", func(context.Context) error { return streams.Close() })
	c.init = newProcess("", streamNames, streams)

	pid := os.Getpid()
	if c.skipped = sb.restoring() && !first && sb.origin.isCompleted(c); !c.skipped {
		undo.add("delete container", func(ctx context.Context) error {
			if first {
				sb.killOrphans(ctx)
			}
			return sb.runsc.Delete(ctx, c.id)
		})
		if pid, err = sb.createContainer(ctx, c); err != nil {
			return nil, err
		}
	}
	if isRestore {
		sb.markRestore("create")
	}
	if err := sb.awaitFetch(coming); err != nil {
		return nil, err
	}
	sb.add(c)
	if first {
		go s.watchCreated(sb, sb.newLife(pid))
	}
	s.events.put(&eventstypes.TaskCreate{
		ContainerID: c.id,
		Bundle:      r.GetBundle(),
		Rootfs:      r.GetRootfs(),
		IO: &eventstypes.TaskIO{
			Stdin: r.GetStdin(), Stdout: r.GetStdout(), Stderr: r.GetStderr(), Terminal: r.GetTerminal(),
		},
		Checkpoint: r.GetCheckpoint(),
		Pid:        uint32(pid),
	})
	return &taskapi.CreateTaskResponse{Pid: uint32(pid)}, nil
}

// sandboxFor returns the sandbox of the process, made by its first container.
func (s *Service) sandboxFor(r *taskapi.CreateTaskRequest) (_ *sandbox, first bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sandbox != nil {
		return s.sandbox, false, nil
	}
	cfg, err := loadConfig(r.GetOptions())
	if err != nil {
		return nil, false, err
	}
	sb, err := newSandbox(s.namespace, r.GetID(), cfg, &s.removals)
	if err != nil {
		return nil, false, err
	}
	// Whoever must clean up after this process, should it be killed, knows from here on where.
	if err := record.Write(r.GetBundle(), sb.record(&container{id: r.GetID()})); err != nil {
		return nil, false, errors.Join(err, sb.cleanUp(context.Background()))
	}
	options := r.GetOptions()
	sb.reload = func() (*config.Config, error) { return loadConfig(options) }
	s.sandbox = sb
	s.created()
	return sb, true, nil
}

// checkID refuses an id that the sandbox has, or that runsc could not tell from
// one that it has: it takes the beginning of an id for the id.
func (s *sandbox) checkID(id string) error {
	for _, c := range s.all() {
		switch {
		case c.id == id:
			return fmt.Errorf("create container %s: %w", id, errdefs.ErrAlreadyExists)
		case strings.HasPrefix(c.id, id) || strings.HasPrefix(id, c.id):
			return fmt.Errorf("create container %s: sandbox %s has a container %s, and one id must not begin with the other: %w",
				id, s.id, c.id, errdefs.ErrInvalidArgument)
		}
	}
	return nil
}

// serves says whether sb is still the sandbox of the process: a first Create
// that failed has taken it back.
func (s *Service) serves(sb *sandbox) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sandbox == sb
}

// forget undoes sandboxFor.
func (s *Service) forget(ctx context.Context, sb *sandbox) error {
	s.mu.Lock()
	s.sandbox = nil
	s.awaitCreate()
	s.mu.Unlock()
	return sb.cleanUp(ctx)
}

// record describes the container for whoever must clean up after this process.
func (s *sandbox) record(c *container) *record.Record {
	r := &record.Record{
		Sandbox: s.id, Runsc: s.runsc.Binary, Root: s.runsc.Root, Flags: s.runsc.Flags,
		StateDir: s.cfg.StateDir, Socket: os.Getenv(sandboxid.SocketEnv),
	}
	if c.mounted {
		r.Rootfs = c.rootfs
	}
	if c.isRoot(s) {
		r.Volumes, r.Scratch, r.Netns, r.Cgroup = s.volumesDir, s.scratch, s.ownNetns(), s.ownCgroup()
		if s.netns != r.Netns {
			r.NetworkPath, r.Network = s.netns, s.network
		}
		s.mu.Lock()
		if s.origin != nil && !s.origin.local {
			r.Origin = s.origin.dir
		}
		s.mu.Unlock()
	}
	return r
}

// createContainer runs runsc create with the container's streams, and returns
// the pid of the sandbox's process.
func (s *sandbox) createContainer(ctx context.Context, c *container) (pid int, err error) {
	return s.attach(ctx, c, func(opts runsc.CreateOpts) (int, error) {
		return s.runsc.Create(ctx, c.id, c.bundle, opts)
	})
}

// attach has create make the container, with its streams or its terminal.
func (s *sandbox) attach(ctx context.Context, c *container, create func(runsc.CreateOpts) (pid int, err error)) (pid int, err error) {
	opts := runsc.CreateOpts{}
	if err := runsc.ClearFilestore(c.rootfs, s.id); err != nil {
		return 0, err
	}
	if c.isRoot(s) {
		if err := s.runsc.ClearControlSocket(s.id); err != nil {
			return 0, err
		}
		opts.IO = c.io()
		s.countOOMKills()
		if _, err := s.madeBy(ctx); err != nil {
			return 0, err
		}
		if err := s.runsc.ForgetWords(); err != nil {
			return 0, err
		}
	}
	if c.init.streams.Terminal == nil {
		return create(opts)
	}
	console, err := newConsoleSocket(s.cfg.RunDir)
	if err != nil {
		return 0, err
	}
	defer console.close()
	opts.ConsoleSocket = console.path
	// A terminal comes long before the program that is restored writes to it, and must
	// be set up by then.
	attached := make(chan error, 1)
	go func() {
		master, err := console.receive()
		if err == nil {
			err = c.init.streams.Terminal.Attach(master)
		}
		attached <- err
	}()
	pid, err = create(opts)
	console.finish(ctx, err)
	if attachErr := <-attached; err == nil {
		err = attachErr
	}
	return pid, err
}

// io returns the files that runsc is to inherit as the container's streams.
func (c *container) io() runsc.IO {
	st := c.init.streams
	return runsc.IO{Stdin: st.Stdin, Stdout: st.Stdout, Stderr: st.Stderr}
}
