// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/images"
)

// A story is the demonstration under way.
type story struct {
	*timeline
	dir      string
	programs programs
	image    string
	bucket   string

	nodes    []*node
	networks []*lab.Net
	// known is what the agent of the first node said last.
	known memory
}

func (s *story) tellAll(ctx context.Context) error {
	s.bucket = filepath.Join(s.dir, "bucket")
	if err := os.Mkdir(s.bucket, 0o700); err != nil {
		return err
	}
	s.chapter("A program with something to lose")
	first, err := s.boot(ctx, "node-1")
	if err != nil {
		return err
	}
	home, err := s.network()
	if err != nil {
		return err
	}
	if err := s.start(ctx, first, home); err != nil {
		return err
	}
	s.chapter("Pause: memory goes to disk, the sandbox goes away, the task stays")
	if err := s.pause(ctx, first, home); err != nil {
		return err
	}
	s.chapter("Commit: a snapshot goes to the store while the program runs on")
	data, err := s.commit(ctx, first, home, "Data")
	if err != nil {
		return err
	}
	full, err := s.commit(ctx, first, home, "Full")
	if err != nil {
		return err
	}
	s.chapter("Wake up elsewhere: another containerd, other directories, an empty state")
	second, err := s.boot(ctx, "node-2")
	if err != nil {
		return err
	}
	if err := s.wake(ctx, second, full); err != nil {
		return err
	}
	return s.wake(ctx, second, data)
}

// boot starts a node and gives it the agent's image.
func (s *story) boot(ctx context.Context, name string) (*node, error) {
	began := time.Now()
	n, err := boot(ctx, name, s.dir, s.bucket, s.programs)
	if err != nil {
		return nil, err
	}
	s.nodes = append(s.nodes, n)
	if err := n.ctr(ctx, nil, "images", "import", s.image); err != nil {
		return nil, err
	}
	s.tell(time.Since(began), name+" boots and imports the image")
	return n, nil
}

// network makes one more network.
func (s *story) network() (*lab.Net, error) {
	i := len(s.networks)
	// Several demonstrations may run at the same time.
	w, err := lab.NewNet(filepath.Join(s.dir, fmt.Sprintf("net%d", i)), (os.Getpid()*4+i)%16384)
	if err != nil {
		return nil, fmt.Errorf("make a network: %w", err)
	}
	s.networks = append(s.networks, w)
	return w, nil
}

func (s *story) start(ctx context.Context, n *node, w *lab.Net) (err error) {
	began := time.Now()
	if err := n.run(ctx, "agent", w, nil, agentCommand()...); err != nil {
		return err
	}
	if s.known, err = awaitAgent(ctx, w.IP.String()); err != nil {
		return err
	}
	took := time.Since(began)
	f, err := n.footprint()
	if err != nil {
		return err
	}
	s.tell(took, "the agent starts and answers", "nonce "+s.known.Nonce+", only in memory", f.String())
	return nil
}

func (s *story) pause(ctx context.Context, n *node, w *lab.Net) error {
	before, err := n.footprint()
	if err != nil {
		return err
	}
	var v verb
	if err := n.ctr(ctx, &v, "tasks", "pause", "--json", "agent"); err != nil {
		return err
	}
	after, err := n.footprint()
	if err != nil {
		return err
	}
	if after.Processes != 0 {
		return fmt.Errorf("the paused sandbox still has %s", after)
	}
	s.tell(v.Took, "ctr-ateom tasks pause agent", v.phases(),
		"before: "+before.String()+"; after: "+after.String(),
		"snapshot "+v.Snapshot.ID+" on this node's disk, "+mib(v.Snapshot.Bytes))

	v = verb{}
	began := time.Now()
	if err := n.ctr(ctx, &v, "tasks", "resume", "--json", "agent"); err != nil {
		return err
	}
	note, err := s.check(ctx, w)
	if err != nil {
		return err
	}
	s.tell(v.Took, "ctr-ateom tasks resume agent", v.phases(),
		"state checked "+ms(time.Since(began))+" after the request", note)
	return nil
}

// check asks the first node's agent whether it is still the same.
func (s *story) check(ctx context.Context, w *lab.Net) (note string, err error) {
	now, err := ask(ctx, w.IP.String())
	if err != nil {
		return "", err
	}
	if err := sameLife(s.known, now); err != nil {
		return "", err
	}
	s.known = now
	return fmt.Sprintf("same nonce, counter %d, same digests of memory, rootfs and DurableDir", now.Count), nil
}

// commit returns the snapshot's id.
func (s *story) commit(ctx context.Context, n *node, w *lab.Net, scope string) (snapshot, error) {
	sn := snapshot{scope: scope}
	var v verb
	if err := n.ctr(ctx, &v, "tasks", "commit", "--scope", scope, "--json", "agent"); err != nil {
		return sn, err
	}
	sn.id, sn.saved = v.Snapshot.ID, s.known
	note, err := s.check(ctx, w)
	if err != nil {
		return sn, err
	}
	s.tell(v.Took, "ctr-ateom tasks commit --scope "+scope+" agent", v.phases(),
		fmt.Sprintf("downtime %s; %s, %s sent", ms(v.downtime()), mib(v.Snapshot.Bytes), mib(v.BytesSent)),
		"snapshot "+sn.id, "it runs on: "+note)
	return sn, nil
}

// A snapshot is one in the store, with what the agent knew when it was taken.
type snapshot struct {
	id, scope string
	saved     memory
}

// wake starts a snapshot on n under a name and an address of its own.
func (s *story) wake(ctx context.Context, n *node, sn snapshot) error {
	w, err := s.network()
	if err != nil {
		return err
	}
	var command []string
	check := sameLife
	note := "the agent goes on: same nonce, counter, memory, rootfs and DurableDir"
	if sn.scope == "Data" {
		command, check = agentCommand(), newLife
		note = "the agent starts cold (new nonce) over the same DurableDir"
	}
	began := time.Now()
	if err := n.run(ctx, "from-"+sn.scope, w, []string{"--from", sn.id, "--store", "bucket"}, command...); err != nil {
		return err
	}
	took := time.Since(began)
	now, err := ask(ctx, w.IP.String())
	if err != nil {
		return err
	}
	if err := check(sn.saved, now); err != nil {
		return err
	}
	stored, err := sizeBelow(s.bucket)
	if err != nil {
		return err
	}
	s.tell(took, "ctr-ateom run --from "+sn.id[:6]+"… ("+sn.scope+")", note,
		"ready at "+w.IP.String()+"; the store holds "+mib(stored))
	return nil
}

// agentCommand is the agent's command line.
func agentCommand() []string { return []string{"/usr/bin/python3", "-c", agentSource} }

// imageName is the image that the agent runs in.
var imageName = images.Debian.Ref

// close takes down the nodes and the networks.
func (s *story) close() error {
	var errs []error
	for _, n := range slices.Backward(s.nodes) {
		errs = append(errs, n.shutDown())
	}
	for _, w := range s.networks {
		errs = append(errs, w.Close())
	}
	// runsc keeps a mount of an empty network namespace in its root directory.
	errs = append(errs, lab.UnmountBelow(s.dir))
	return errors.Join(errs...)
}
