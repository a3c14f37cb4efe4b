// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"fmt"
	"os"

	"github.com/ateom/ateom/artifacts/bucket"
	"github.com/ateom/ateom/artifacts/bucket/sealed"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/containerd/errdefs"
)

// OpenStore opens a configured store: it sets the store's environment in this
// process, since that is where the SDKs look for credentials, and encrypts
// with the store's keys if it has any. The caller closes the store.
func OpenStore(ctx context.Context, st job.Store) (bucket.Store, error) {
	for name, value := range st.Env {
		if err := os.Setenv(name, value); err != nil {
			return nil, fmt.Errorf("open store %q: set %s: %w", st.Name, name, errdefs.ErrInvalidArgument)
		}
	}
	store, err := bucket.Open(ctx, st.URL)
	if err != nil || st.KeyFile == "" && len(st.KeyCommand) == 0 {
		return store, err
	}
	keys, err := readKeys(ctx, st)
	if err == nil {
		var encrypted *sealed.Store
		if encrypted, err = sealed.New(store, keys); err == nil {
			return encrypted, nil
		}
	}
	store.Close()
	return nil, err
}
