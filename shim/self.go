// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/shim/inside"
)

// selfInterval is the least time between two requests of a sandbox for itself:
// each may cost the node all of its memory in writes.
const selfInterval = 5 * time.Second

// settleInside makes the directory in which the sandbox's programs learn about
// themselves, if they want one, and serves their requests.
func (s *Service) settleInside(ctx context.Context, sb *sandbox, decl *declaration) error {
	if decl.inside == "" {
		return nil
	}
	var err error
	if sb.inside, err = inside.New(sb.scratch, len(decl.self) > 0); err != nil {
		return err
	}
	var origin inside.Origin
	if o := sb.origin; o != nil && o.manifest.Scope == artifacts.Full {
		origin.Snapshot = string(o.manifest.ID)
		if origin.Copies, err = inside.Count(filepath.Join(sb.cfg.RunDir, "copies"), origin.Snapshot); err != nil {
			return err
		}
		log.G(ctx).WithField("snapshot", origin.Snapshot).WithField("copies", origin.Copies).Info("start a copy")
		if err := sb.inside.Answer("- restored " + origin.Snapshot); err != nil {
			return err
		}
	}
	if err := sb.inside.Begin(origin); err != nil || len(decl.self) == 0 {
		return err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	asker := &asker{service: s, sandbox: sb, allowed: decl.self}
	var work sync.WaitGroup
	work.Go(func() {
		if err := sb.inside.Watch(ctx, func(r *inside.Request, err error) { asker.serve(ctx, r, err) }); err != nil {
			log.G(ctx).WithError(err).Error("serve a sandbox's requests for itself")
		}
	})
	sb.stopSelf = func() {
		cancel()
		work.Wait()
	}
	return nil
}

// tellsInside says whether a container gets the directory.
func (s *sandbox) tellsInside(c *container) bool {
	return c.decl.inside != "" && !(s.cri && c.isRoot(s))
}

// mountInside puts the directory into a container.
func (s *sandbox) mountInside(c *container) error {
	if !s.tellsInside(c) {
		return nil
	}
	if s.inside == nil {
		return fmt.Errorf("annotation %s: the first container of the sandbox does not have it: %w", inside.Annotation, errdefs.ErrInvalidArgument)
	}
	mounts, err := s.inside.Mounts(c.decl.inside, c.spec.Mounts)
	c.spec.Mounts = append(c.spec.Mounts, mounts...)
	return err
}

// beginAgain tells the programs of a sandbox that is brought back in place that
// their memory runs anew.
func (s *sandbox) beginAgain(snapshot artifacts.ID) error {
	if s.inside == nil {
		return nil
	}
	return s.inside.Begin(inside.Origin{Snapshot: string(snapshot)})
}

// closeInside ends what settleInside began.
func (s *sandbox) closeInside() error {
	if s.inside == nil {
		return nil
	}
	if s.stopSelf != nil {
		s.stopSelf()
	}
	return s.inside.Close()
}

// An asker serves the requests of a sandbox for itself, one at a time.
type asker struct {
	service *Service
	sandbox *sandbox
	allowed map[inside.Verb]bool
	last    time.Time // of the last that was not refused
}

// serve does what is asked, if it may be, and answers with a line: the
// request's id, "resumed", "failed" or "refused", and the snapshot or the reason.
// "-" stands for an id that is not known. A reason to refuse begins with the name
// that errno(3) has for it.
func (a *asker) serve(ctx context.Context, r *inside.Request, err error) {
	id := "-"
	if r != nil {
		id = r.ID
		err = a.admit(r)
	} else if err != nil {
		err = fmt.Errorf("EINVAL %w", err)
	}
	word, text := "refused", ""
	if err == nil {
		var snapshot artifacts.ID
		snapshot, err = recovered(ctx, func() (artifacts.ID, error) { return a.do(ctx, r) })
		if err == nil {
			word, text = "resumed", string(snapshot)
		} else {
			word = "failed"
		}
	}
	if err != nil {
		text = err.Error()
		log.G(ctx).WithError(err).WithField("request", id).Warn("a sandbox's request for itself was " + word)
	}
	if err := a.sandbox.inside.Answer(fmt.Sprintf("%s %s %s", id, word, text)); err != nil {
		log.G(ctx).WithError(err).Error("answer a sandbox's request for itself")
	}
}

// admit refuses what is not allowed, and what comes too soon.
func (a *asker) admit(r *inside.Request) error {
	if !a.allowed[r.Verb] {
		return fmt.Errorf("EPERM %s is not allowed here (%s)", r.Verb, inside.SelfAnnotation)
	}
	if wait := time.Until(a.last.Add(selfInterval)); wait > 0 && !a.last.IsZero() {
		return fmt.Errorf("EAGAIN the last request was a moment ago; ask again in %s", wait.Round(100*time.Millisecond))
	}
	a.last = time.Now()
	return nil
}

// do does it. A Pause is over when the sandbox sleeps; its answer is read when
// somebody has resumed it.
func (a *asker) do(ctx context.Context, r *inside.Request) (artifacts.ID, error) {
	sb := a.sandbox
	// A quick program asks while its own start is still under way.
	_, end, err := sb.take(ctx)
	if err != nil {
		return "", err
	}
	end()
	if r.Verb == inside.Pause {
		snap, err := a.service.pauseSaved(ctx, sb)
		if err != nil {
			return "", err
		}
		return snap.Manifest.ID, nil
	}
	plan, err := sb.planCommit(r.Scope, "", nil)
	if err != nil {
		return "", err
	}
	done, err := a.service.commit(ctx, sb, plan, func(e *job.Event) { sb.noteProgress(e) })
	sb.setProgress(nil)
	if err != nil {
		return "", err
	}
	return done.manifest.ID, nil
}
