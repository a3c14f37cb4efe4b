// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
)

// A Lazy is a cluster for all tests of a package, which the first one that wants
// it starts.
type Lazy struct {
	// Prepare is called when the cluster has started; nil does nothing.
	Prepare func(*Cluster) error

	once    sync.Once
	cluster *Cluster
	err     error
}

// Cluster returns the cluster.
func (l *Lazy) Cluster(t testing.TB) *Cluster {
	t.Helper()
	l.once.Do(func() {
		if l.cluster, l.err = Start(harness.Config{}); l.err == nil && l.Prepare != nil {
			l.err = l.Prepare(l.cluster)
		}
	})
	if l.err != nil {
		t.Fatal(l.err)
	}
	return l.cluster
}

// Close ends the cluster, if there is one, when the tests are over.
func (l *Lazy) Close() error {
	l.once.Do(func() { l.err = errors.New("the tests are over") })
	if l.cluster == nil {
		return nil
	}
	if err := l.cluster.Close(); err != nil {
		return fmt.Errorf("close cluster: %w", err)
	}
	return nil
}
