// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"context"
	"fmt"
	"testing"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/containerd/v2/client"
	"golang.org/x/sync/errgroup"

	"github.com/ateom/ateom/e2e/harness"
)

const (
	// askers ask at the same time, each so many times each question.
	askers, times = 8, 100
	// answerLimit is what containerd's CRI plugin gives State, the least of all.
	answerLimit = 2 * time.Second
)

// A verb that takes as long as a store that does not answer keeps nobody waiting who asks
// how the sandbox is, however often.
func TestQuestionsAreAnsweredInEveryState(t *testing.T) {
	for _, m := range moments {
		if m.program == "" && m.from != client.Paused {
			continue // nothing is under way
		}
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			s, _ := m.begin(t, harness.Config{}, nothing)
			last := s.Last()
			service := taskapi.NewTaskClient(s.DialShim(t))
			release, ended := m.reach(t, s)

			questions := map[string]func(context.Context) error{
				"State": func(ctx context.Context) error {
					_, err := service.State(ctx, &taskapi.StateRequest{ID: s.ID})
					return err
				},
				"Pids": func(ctx context.Context) error {
					_, err := service.Pids(ctx, &taskapi.PidsRequest{ID: s.ID})
					return err
				},
				"Connect": func(ctx context.Context) error {
					_, err := service.Connect(ctx, &taskapi.ConnectRequest{ID: s.ID})
					return err
				},
				"Stats": func(ctx context.Context) error {
					_, err := service.Stats(ctx, &taskapi.StatsRequest{ID: s.ID})
					return err
				},
			}
			asking, ctx := errgroup.WithContext(s.Node.Context(t))
			for range askers {
				asking.Go(func() error {
					for range times {
						for name, ask := range questions {
							ctx, cancel := context.WithTimeout(ctx, answerLimit)
							err := ask(ctx)
							cancel()
							if err != nil {
								return fmt.Errorf("%s: %w", name, err)
							}
						}
					}
					return nil
				})
			}
			if err := asking.Wait(); err != nil {
				t.Error(err)
			}
			if got := s.SandboxState(t); got != m.word {
				t.Errorf("the sandbox is %s, want %s still", got, m.word)
			}
			release()
			if r := <-ended; r.Code != 0 {
				t.Errorf("%v: exit code %d, %s", m.verb, r.Code, r.Stderr)
			}
			s.WantState(t, m.after)
			if m.after == client.Paused {
				s.Node.Ctr(t, "tasks", "resume", s.ID)
			}
			s.WantSame(t, last)
		})
	}
}
