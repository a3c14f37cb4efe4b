// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	_ "embed" // for the service
	"fmt"
	"maps"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/images"
)

//go:embed service.py
var serviceScript string

// servicePort is where the service listens.
const servicePort = 8080

// A Service is a task with an HTTP service in Python that holds state in
// memory, in its rootfs and in DurableDirs, and writes consecutive numbers to
// its log.
type Service struct {
	*Task
	client *lab.Client
	// last is what the service said last.
	last lab.State
}

// ServiceContainer returns the service's container: ballast is its memory in
// MiB, dirs the directories that it writes its nonce to.
func ServiceContainer(network *lab.Net, ballast int, annotations map[string]string, dirs ...string) Container {
	all := map[string]string{
		"ateom.dev/readiness": fmt.Sprintf(`[{"httpGet":{"path":"/","port":%d},"periodSeconds":1,"failureThreshold":60}]`, servicePort),
	}
	maps.Copy(all, annotations)
	return Container{
		Image:       images.Debian,
		Args:        append([]string{"python3", "-c", serviceScript, strconv.Itoa(ballast)}, dirs...),
		Network:     network,
		Annotations: all,
	}
}

// RunService runs a service container and waits for its first answer.
func (n *Node) RunService(t testing.TB, c Container) *Service {
	t.Helper()
	s := n.Serve(n.Run(t, c), c.Network)
	s.last = s.Ask(t)
	return s
}

// Serve returns a task that runs a service.
func (n *Node) Serve(task *Task, network *lab.Net) *Service {
	return &Service{Task: task, client: lab.NewClient(net.JoinHostPort(network.IP.String(), strconv.Itoa(servicePort)))}
}

// Wake starts a service container from a snapshot with ctr-ateom run --from.
// The arguments are left out if the snapshot is to tell them.
func (n *Node) Wake(t testing.TB, c Container, id, store string, withArgs bool) *Service {
	t.Helper()
	name, args := n.WakeCommand(t, c, id, store, withArgs)
	n.Ateom(t, args...)
	s := n.Serve(n.Named(t, name), c.Network)
	s.Reload(t)
	return s
}

// WakeCommand is what Wake tells ctr-ateom, and the new container's name.
func (n *Node) WakeCommand(t testing.TB, c Container, id, store string, withArgs bool) (name string, args []string) {
	t.Helper()
	n.Want(t, c.Image)
	name = NewID(t)
	args = []string{
		"run", "--detach", "--from", id, "--store", store, "--log-uri", "file://" + n.logPath(name),
		"--with-ns", "network:" + c.Network.Path,
	}
	for key, value := range c.Annotations {
		args = append(args, "--annotation", key+"="+value)
	}
	args = append(args, c.Image.Ref, name)
	if withArgs {
		args = append(args, c.Args...)
	}
	return name, args
}

// Ask returns what the service says of itself.
func (s *Service) Ask(t testing.TB) lab.State {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Limit)
	defer cancel()
	var state lab.State
	if err := s.client.Get(ctx, "/", pollPeriod, &state); err != nil {
		t.Fatalf("%v\nlog of %s: %s", err, s.ID, tail(s.Log(t)))
	}
	return state
}

// Answers asks the service once, a second at most, and says why it did not answer.
func (s *Service) Answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var state lab.State
	return s.client.Get(ctx, "/", pollPeriod, &state)
}

// Durable returns what the service has counted in memory and found in its DurableDirs, and has
// it count on in both.
func (s *Service) Durable(t testing.TB) (counted struct {
	Memory int
	Dirs   []int
}) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Limit)
	defer cancel()
	if err := s.client.Get(ctx, "/durable", pollPeriod, &counted); err != nil {
		t.Fatalf("%v\nlog of %s: %s", err, s.ID, tail(s.Log(t)))
	}
	return counted
}

// Last is what the service said last.
func (s *Service) Last() lab.State { return s.last }

// WantSame fails the test unless the service is the one that said last: the
// same memory, the same files, the counter one further.
func (s *Service) WantSame(t testing.TB, last lab.State) {
	t.Helper()
	// The probe of a resume is a call too: it counts.
	now := s.Ask(t)
	if now.Counter <= last.Counter {
		t.Errorf("the counter went from %d to %d", last.Counter, now.Counter)
	}
	last.Counter = now.Counter - 1
	if err := lab.SameProcess(last, now); err != nil {
		t.Error(err)
	}
	s.last = now
}

// WantNumbers fails the test unless the log is the numbers from first on, none
// lost, doubled or reordered.
func (s *Service) WantNumbers(t testing.TB, first int) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(s.Log(t), "\n"), "\n")
	for i, line := range lines[:len(lines)-1] { // the last may be half written
		if line != strconv.Itoa(first+i) {
			t.Fatalf("line %d of the log is %q, want %d", i, line, first+i)
		}
	}
}

// AwaitNumbers waits until the service has written some more lines.
func (s *Service) AwaitNumbers(t testing.TB) {
	t.Helper()
	before := strings.Count(s.Log(t), "\n")
	Eventually(t, func() error {
		if now := strings.Count(s.Log(t), "\n"); now < before+5 {
			return fmt.Errorf("%s had written %d lines and has now %d", s.ID, before, now)
		}
		return nil
	})
}

func tail(s string) string { return s[max(0, len(s)-2000):] }
