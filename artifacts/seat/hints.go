// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts"
)

// workingSetName is the file of a snapshot's working set, in its directory and
// below its prefix in a store. It is not a part: no digest covers it.
const workingSetName = "working-set"

// keepTime bounds how long a gofer that has nothing else to do any more stays
// to store a record.
const keepTime = 10 * time.Second

// hints brings what a program will need before it asks. The first restore of a
// snapshot that becomes ready records its working set, the later ones fetch
// that first. A record that is missing, damaged or wrong changes only the speed.
type hints struct {
	image  *snapshot
	needed *recorder
	known  atomic.Bool      // there is a record
	root   artifacts.Digest // of the recipe, from begin on
	begun  sync.WaitGroup
	kept   sync.WaitGroup
}

func newHints(image *snapshot) *hints { return &hints{image: image, needed: newRecorder()} }

// begin has src fetch the working set, if there is a record of it. It goes on
// until it is through or ctx is done.
func (h *hints) begin(ctx context.Context, src source) {
	h.root = src.recipe().Root()
	h.begun.Go(func() {
		body, err := h.load(ctx)
		if err != nil {
			if !errdefs.IsNotFound(err) && !errors.Is(err, fs.ErrNotExist) && ctx.Err() == nil {
				h.image.status.warn("read working set: %v", err)
			}
			return
		}
		h.known.Store(true)
		w, err := decodeWorkingSet(body, src.recipe())
		if err != nil {
			h.image.status.warn("%v", err)
			return
		}
		src.prefetch(w.chunks)
	})
}

// load returns the record from the snapshot's directory or else from the store.
func (h *hints) load(ctx context.Context) ([]byte, error) {
	body, err := h.image.root.ReadFile(workingSetName)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return body, err
	}
	key, ok := h.key()
	if !ok {
		return nil, err
	}
	return h.image.store.ReadAll(ctx, key, maxWorkingSet)
}

// key returns where the record lies in the store, if there is one.
func (h *hints) key() (string, bool) {
	if h.image.store == nil {
		return "", false
	}
	id, err := h.image.id()
	return "snapshots/" + string(id) + "/" + workingSetName, err == nil
}

// ready ends the record and keeps it, unless there is one.
func (h *hints) ready() {
	chunks := h.needed.stop()
	if h.known.Load() || len(chunks) == 0 {
		return
	}
	h.kept.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), keepTime)
		defer cancel()
		w := workingSet{root: h.root, chunks: chunks}
		if err := h.keep(ctx, w.encode()); err != nil {
			h.image.status.warn("keep working set: %v", err)
		}
	})
}

// keep writes the record into the snapshot's directory and into the store.
// Whoever comes first wins.
func (h *hints) keep(ctx context.Context, body []byte) error {
	f, err := h.image.root.OpenFile(workingSetName, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	key, ok := h.key()
	if !ok {
		return nil
	}
	err = h.image.store.Create(ctx, key, body)
	if errdefs.IsAlreadyExists(err) || errdefs.IsPermissionDenied(err) {
		return nil // somebody was first, or this node may only read
	}
	if err != nil {
		return err
	}
	return nil
}

// end says that nothing is read any more: src may be closed when it returns. If
// it was all loaded before anybody said that the program was ready, then what
// it has waited for until now is its working set.
func (h *hints) end(loaded bool) {
	h.begun.Wait()
	if loaded {
		h.ready()
	}
}

// close waits until a record is stored.
func (h *hints) close() {
	h.begun.Wait()
	h.kept.Wait()
}

// id returns the id of the snapshot, which a draft does not have yet.
func (s *snapshot) id() (artifacts.ID, error) {
	m, err := s.manifest()
	if err != nil {
		return "", err
	}
	return m.ID, nil
}
