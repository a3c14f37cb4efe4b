// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/local"
	"github.com/ateom/ateom/durabledir"
	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
	"github.com/ateom/ateom/shim/config"
	"github.com/ateom/ateom/shim/gofer"
	"github.com/ateom/ateom/shim/hook"
)

// A commitPlan is a Commit whose request was found good.
type commitPlan struct {
	scope  artifacts.Scope
	store  job.Store
	images map[string]string
	// members are the containers that must be the running ones; nil if whoever asks
	// names none.
	members []string
}

// planCommit checks a request against the node's configuration and the
// sandbox's declarations; nothing is touched.
func (s *sandbox) planCommit(scope, store string, images map[string]string) (*commitPlan, error) {
	if err := s.check(verbCommit); err != nil {
		return nil, err
	}
	live := s.live()
	if len(live) == 0 {
		return nil, fmt.Errorf("commit sandbox %s: it has no running container: %w", s.id, errdefs.ErrFailedPrecondition)
	}
	decl := live[0].decl
	p := &commitPlan{scope: decl.onCommit, images: images}
	switch artifacts.Scope(scope) {
	case "":
	case artifacts.Full, artifacts.Data:
		p.scope = artifacts.Scope(scope)
	default:
		return nil, fmt.Errorf("commit sandbox %s: scope %q is none of Full, Data: %w", s.id, scope, errdefs.ErrInvalidArgument)
	}
	if p.scope == artifacts.None {
		return nil, fmt.Errorf("commit sandbox %s: %s is None: %w", s.id, annotationOnCommit, errdefs.ErrFailedPrecondition)
	}
	if !durabledir.Contains(decl.onPause, p.scope) {
		return nil, fmt.Errorf("commit sandbox %s: scope %s is wider than its %s, which is %s: %w", s.id, p.scope, annotationOnPause, decl.onPause, errdefs.ErrInvalidArgument)
	}
	if err := s.checkEmptyDirs(decl); err != nil {
		return nil, err
	}
	if p.scope == artifacts.Data && len(s.volumeList()) == 0 {
		return nil, fmt.Errorf("commit sandbox %s: scope Data keeps DurableDirs, and it declares none (%s): %w", s.id, durabledir.Annotation, errdefs.ErrFailedPrecondition)
	}
	if store == "" {
		store = decl.store
	}
	var err error
	p.store, err = s.resolveStore(store)
	return p, err
}

// checkEmptyDirs refuses to keep less than the author asked for.
func (s *sandbox) checkEmptyDirs(decl *declaration) error {
	for _, name := range decl.emptyDirs {
		s.mu.Lock()
		_, ok := s.volumes[name]
		s.mu.Unlock()
		if !ok {
			return fmt.Errorf("commit sandbox %s: %s names %q, and no container mounts an emptyDir of that name: %w",
				s.id, durabledir.VolumesAnnotation, name, errdefs.ErrFailedPrecondition)
		}
	}
	return nil
}

// resolveStore turns what a caller on the node names into a store: a name from
// the configuration, or a URL.
func (s *sandbox) resolveStore(name string) (job.Store, error) {
	if strings.Contains(name, "://") {
		return job.Store{URL: name}, nil
	}
	found, st, err := s.store(name)
	if err != nil {
		return job.Store{}, err
	}
	return st.Job(found), nil
}

// store returns a store that is named in the sandbox's behalf. A pod's is its
// namespace's part.
func (s *sandbox) store(name string) (string, config.Store, error) {
	if s.cri && !strings.Contains(name, "/") { // with one, somebody on the node says which part
		return s.cfg.PodStore(name, s.pod.Namespace)
	}
	return s.cfg.Store(name)
}

// A commitResult is a Commit that is safe in its store.
type commitResult struct {
	manifest *artifacts.Manifest
	store    job.Store
	sent     int64
	phases   []*ateomv1.Phase
}

// commit puts a snapshot into a store. What happens to the sandbox is over
// when everything is captured locally; the upload follows while it runs, or
// sleeps, on.
func (s *Service) commit(ctx context.Context, sb *sandbox, plan *commitPlan, progress func(*job.Event)) (_ *commitResult, err error) {
	clock := newStopwatch(ctx)
	clock.store = plan.store.Name
	defer func() { sb.ended(ctx, verbCommit, clock, err) }()
	ctx, done := sb.begun(ctx)
	defer done()
	id := artifacts.NewID(time.Now())
	draft, err := sb.local.NewDraft(id)
	if err != nil {
		return nil, sb.adviseOnFull(err)
	}
	// The draft is this commit's scratch; what stays is in the store.
	defer func() { err = errors.Join(err, draft.Abort()) }()

	binary, err := sb.cfg.GoferPath()
	if err != nil {
		return nil, err
	}
	g, err := gofer.Start(ctx, binary, sb.starter)
	if err != nil {
		return nil, err
	}
	defer g.Close()
	request := &job.Request{
		Verb: job.Commit, Dir: draft.Dir(), Store: plan.store, ID: id, Scope: plan.scope,
		Volumes: sb.volumeList(), Parent: sb.parent(plan.store),
		Indexes: filepath.Join(sb.scratch, "indexes"),
	}
	if err := g.Send(request); err != nil {
		return nil, err
	}
	if _, err := g.Await(job.Ready, progress); err != nil {
		return nil, fmt.Errorf("commit sandbox %s: %w", sb.id, err)
	}
	clock.mark("prepare")

	m, release, err := s.capture(ctx, sb, plan, g, draft, clock)
	if err != nil {
		return nil, fmt.Errorf("commit sandbox %s; nothing was published: %w", sb.id, sb.orStuck(sb.adviseOnFull(err)))
	}
	defer release()
	if err := g.Send(&job.Request{Verb: job.Upload, Manifest: m}); err != nil {
		return nil, err
	}
	sent, err := g.Await(job.Done, progress)
	if err != nil {
		return nil, fmt.Errorf("commit sandbox %s; nothing was published: %w", sb.id, err)
	}
	clock.mark("upload")
	sb.setParent(plan.store, id)
	clock.snapshot, clock.sent = sent.Manifest, sent.Sent
	if err := sb.stuck(); err != nil {
		return nil, fmt.Errorf("commit sandbox %s; snapshot %s is in the store: %w", sb.id, id, err)
	}
	return &commitResult{manifest: sent.Manifest, store: plan.store, sent: sent.Sent, phases: clock.phases}, nil
}

// capture is the part of a commit during which the sandbox does not change: a
// running one is frozen, a paused one is left alone. It returns the manifest
// that the upload completes, and releases what the upload reads.
func (s *Service) capture(ctx context.Context, sb *sandbox, plan *commitPlan, g *gofer.Gofer, draft *local.Draft, clock *stopwatch) (_ *artifacts.Manifest, release func(), err error) {
	ctx, end, err := sb.begin(ctx, verbCommit)
	if err != nil {
		return nil, nil, err
	}
	defer end()
	if plan.members != nil {
		if err := sameSet(plan.members, sb.members()); err != nil {
			return nil, nil, fmt.Errorf("containers: %w", err)
		}
	}
	from, l := sb.machine.state(), sb.currentLife()
	if err := sb.machine.move(Committing, Running, Paused); err != nil {
		return nil, nil, err
	}
	defer func() { _ = sb.machine.move(from, Committing) }()
	defer func() { err = s.withEnding(l, err) }()

	// A kill must not wait for a capture: the gofer ends with the verb.
	stop := context.AfterFunc(ctx, g.Kill)
	defer stop()

	// Before the freeze: the first time on a node, all of runsc is hashed.
	m, err := sb.manifest(ctx, draft.ID(), plan.scope, plan.images)
	if err != nil {
		return nil, nil, err
	}
	m.Parent = sb.parent(plan.store)
	if from == Running {
		sb.noteStats(ctx, sb.live())
	}
	clock.mark("describe")

	release = func() {}
	captureRequest := &job.Request{Verb: job.Capture}
	var saved []artifacts.Part
	var work errgroup.Group
	if from == Running {
		if plan.scope == artifacts.Full {
			if err := sb.settleMembers(ctx); err != nil {
				return nil, nil, err
			}
		}
		defer sb.runsOn(ctx, clock) // after the thaw
		if err := sb.runHooks(ctx, hook.PreSave, clock); err != nil {
			return nil, nil, err
		}
		thaw, err := sb.freeze(ctx)
		if err != nil {
			return nil, nil, err
		}
		defer func() {
			thaw()
			clock.mark("thaw")
		}()
		clock.mark("freeze")
		if plan.scope == artifacts.Full {
			if err := sb.checkSettled(); err != nil {
				return nil, nil, err
			}
			work.Go(func() (err error) {
				saved, err = sb.save(ctx, draft.Dir(), scratch)
				return err
			})
		}
	} else if plan.scope == artifacts.Full {
		if err := sb.checkComplete(); err != nil {
			return nil, nil, err
		}
		// The pause has saved the memory already.
		sb.mu.Lock()
		snap := sb.paused
		sb.mu.Unlock()
		release = sb.use(snap.Manifest.ID)
		captureRequest.Dir = snap.Dir
		saved = snap.Manifest.Parts
	}
	if err := g.Send(captureRequest); err != nil {
		_ = work.Wait()
		release()
		return nil, nil, err
	}
	_, err = g.Await(job.Captured, nil)
	if err = errors.Join(err, work.Wait()); err != nil {
		release()
		return nil, nil, err
	}
	clock.mark("capture")
	m.Parts = saved // the upload adds the volumes
	return m, release, nil
}

// parent returns the last snapshot of this lineage in a store.
func (s *sandbox) parent(st job.Store) artifacts.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.parents[st.URL]
}

func (s *sandbox) setParent(st job.Store, id artifacts.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parents[st.URL] = id
}

// noteProgress keeps a gofer's progress for Status.
func (s *sandbox) noteProgress(e *job.Event) {
	s.setProgress(&ateomv1.Progress{Phase: e.Phase, Bytes: e.Bytes, Total: e.Total})
}
