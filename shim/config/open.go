// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"os"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts/job"
)

// Open returns the store as the gofer takes it: with its secret key, if it has
// one. name is for messages.
func (s Store) Open(name string) (job.Store, error) {
	st := job.Store{Name: name, URL: s.URL, Env: s.Env}
	if s.KeyFile == "" {
		return st, nil
	}
	text, err := os.ReadFile(s.KeyFile)
	if err != nil {
		return job.Store{}, fmt.Errorf("read the key of store %s: %w: %w", name, err, errdefs.ErrFailedPrecondition)
	}
	st.Key = strings.TrimSpace(string(text))
	if st.Key == "" {
		return job.Store{}, fmt.Errorf("read the key of store %s: %s is empty: %w", name, s.KeyFile, errdefs.ErrFailedPrecondition)
	}
	return st, nil
}
