// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/containerd/v2/pkg/shutdown"
)

// A shim leaves that nobody asks for a container, and one whose first Create has failed; one
// that has a sandbox stays, whatever time passes.
func TestAShimWithoutACreateLeaves(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(*Service)
		after   time.Duration // 0: never
	}{
		"no Create comes": {func(*Service) {}, CreateLimit},
		"a Create comes":  {func(s *Service) { s.sandbox = &sandbox{}; s.created() }, 0},
		"it comes late":   {func(s *Service) { s.sandbox = &sandbox{} }, 0}, // the timer has fired
		"a Create fails": {func(s *Service) {
			s.sandbox = &sandbox{}
			s.created()
			s.mu.Unlock()
			time.Sleep(time.Hour) // in which the Create is under way
			s.mu.Lock()
			s.sandbox = nil
			s.awaitCreate()
		}, time.Hour + CreateLimit},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, sd := shutdown.WithShutdown(t.Context())
				s := &Service{shutdown: sd}
				began := time.Now()
				s.mu.Lock()
				s.awaitCreate()
				c.happens(s)
				s.mu.Unlock()
				select {
				case <-sd.Done():
					if took := time.Since(began); c.after != took {
						t.Errorf("the shim left after %s, want %s", took, c.after)
					}
				case <-time.After(24 * time.Hour):
					if c.after != 0 {
						t.Error("the shim is there after a day")
					}
				}
			})
		})
	}
}
