// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/log"

	"github.com/ateom/ateom/cmd/ateom-agent/metrics"
	"github.com/ateom/ateom/cmd/ateom-agent/traces"
	"github.com/ateom/ateom/shim/journal"
	"github.com/ateom/ateom/shim/replace"
)

// lookEvery is between two looks at the journal that nobody asked for: spans
// should not be late, and a journal that is renamed twice between two looks
// is still seen whole.
const lookEvery = time.Second

// A follower counts what the journal says. It remembers how far it came, so
// that a verb is counted and traced once, whenever the agent is restarted.
type follower struct {
	verbs    *metrics.Verbs
	traces   *traces.Traces
	position string // the file that holds how far it came

	mu     sync.Mutex
	reader *journal.Reader
	saved  journal.Position
	err    error // of the last look
}

func newFollower(runDir string, v *metrics.Verbs, t *traces.Traces) (*follower, error) {
	f := &follower{verbs: v, traces: t, position: filepath.Join(filepath.Dir(journal.Path(runDir)), "agent.json")}
	b, err := os.ReadFile(f.position)
	if err == nil {
		err = json.Unmarshal(b, &f.saved)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read how far the journal was counted: %w; remove %s to count from its beginning", err, f.position)
	}
	f.reader = journal.NewReader(runDir, f.saved)
	return f, nil
}

// look counts what has come since the last look.
func (f *follower) look() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = f.reader.Read(func(e *journal.Entry) {
		f.verbs.Add(e)
		f.traces.Add(e)
	}, f.verbs.Bad)
	if now := f.reader.Position(); now != f.saved {
		f.err = errors.Join(f.err, f.save(now))
	}
}

// save remembers the position, whole or not at all.
func (f *follower) save(p journal.Position) error {
	b, err := json.Marshal(p)
	if err == nil {
		err = replace.File(f.position, b, 0o600)
	}
	if err != nil {
		return fmt.Errorf("note how far the journal was counted: %w", err)
	}
	f.saved = p
	return nil
}

// failure is what the last look failed of.
func (f *follower) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// run looks again and again until ctx ends.
func (f *follower) run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		failed := f.failure() != nil
		f.look()
		if err := f.failure(); err != nil && !failed {
			log.G(ctx).WithError(err).Error("follow the journal")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.reader.Close()
		}
	}
}
