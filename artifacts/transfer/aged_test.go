// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/job"
)

// An aged store says that its objects are older than they are, but for those
// whose keys begin with young.
type aged struct {
	bucket.Store
	by    time.Duration
	young string
}

func (a *aged) age(i bucket.Info) bucket.Info {
	if !strings.HasPrefix(i.Key, a.young) {
		i.ModTime = i.ModTime.Add(-a.by)
	}
	return i
}

func (a *aged) Stat(ctx context.Context, key string) (bucket.Info, error) {
	i, err := a.Store.Stat(ctx, key)
	return a.age(i), err
}

func (a *aged) List(ctx context.Context, prefix string) iter.Seq2[bucket.Info, error] {
	return func(yield func(bucket.Info, error) bool) {
		for i, err := range a.Store.List(ctx, prefix) {
			if !yield(a.age(i), err) {
				return
			}
		}
	}
}

func fullRequest(dir string, id, parent artifacts.ID) *job.Request {
	return &job.Request{Dir: dir, ID: id, Scope: artifacts.Full, Parent: parent}
}
