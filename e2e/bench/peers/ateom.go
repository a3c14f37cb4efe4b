// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/errdefs"
	"github.com/containerd/ttrpc"

	"github.com/ateom/ateom/e2e/bench/lab"
	ateomv1 "github.com/ateom/ateom/proto/ateom/v1"
)

// runtime of the containers.
const runtimeName = "io.containerd.ateom.v1"

// An Ateom says where the binaries of the peer ateom are.
type Ateom struct {
	Containerd string
	// Shim is containerd-shim-ateom-v1; ateom-gofer lies beside it.
	Shim string
}

// ateomPeer is this project, or another shim for gVisor, in a containerd of
// its own.
type ateomPeer struct {
	name    string
	ground  *Ground
	account *lab.Account
	dir     string
	state   string
	runtime string
	// options go with every container.
	options *runtimeoptions.Options
	// own says that the shim is this project's: it reads its annotations and
	// serves its snapshot service.
	own bool
	// annotations are those of every container of a shim that is not ours.
	annotations map[string]string
	nodes       int
	*daemon
}

// NewAteom starts the peer's containerd.
func NewAteom(ctx context.Context, g *Ground, a Ateom) (Peer, error) {
	p := &ateomPeer{name: "ateom", ground: g, dir: filepath.Join(g.Dir, "ateom"), runtime: runtimeName, own: true}
	p.state = filepath.Join(p.dir, "lib")
	config := fmt.Sprintf("runsc = %q\nstate-dir = %q\nrun-dir = %q\n", g.Runsc, p.state, filepath.Join(p.dir, "run"))
	if g.Bucket != nil {
		config += fmt.Sprintf("[stores.%s]\nurl = %q\n[stores.%[1]s.env]\n", storeName, g.Bucket.URL())
		for k, v := range g.Bucket.Env() {
			config += fmt.Sprintf("%s = %q\n", k, v)
		}
	}
	return p, p.start(ctx, a.Containerd, a.Shim, config)
}

// start writes the shim's configuration and starts the peer's containerd.
func (p *ateomPeer) start(ctx context.Context, binary, shim, config string) (err error) {
	for _, path := range []string{shim, binary} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("find the peer's programs: %w; build them (make build tools)", err)
		}
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lab.UnmountBelow(p.dir))
		}
	}()
	// Where containerd, the shim and runsc (upstream's root is its own) keep what a reboot may take.
	for _, name := range []string{"run", "runsc", filepath.Join("c", "state")} {
		if err := mountVolatile(filepath.Join(p.dir, name)); err != nil {
			return err
		}
	}
	configPath := filepath.Join(p.dir, "config.toml")
	if err := os.WriteFile(configPath, []byte(config), 0o600); err != nil {
		return err
	}
	if p.account, err = lab.NewAccount(p.ground.Cgroup + "-" + p.name); err != nil {
		return err
	}
	p.daemon, err = startDaemon(ctx, binary, filepath.Join(p.dir, "c"), p.account, []string{
		"ATEOM_CONFIG=" + configPath,
		"PATH=" + filepath.Dir(shim) + ":" + os.Getenv("PATH"),
	})
	if err != nil {
		return errors.Join(err, p.account.Close())
	}
	return nil
}

func (p *ateomPeer) Name() string          { return p.name }
func (p *ateomPeer) Account() *lab.Account { return p.account }

func (p *ateomPeer) Close() error {
	return errors.Join(p.stop(), p.account.Close(), lab.UnmountBelow(p.dir), os.RemoveAll(p.dir))
}

func (p *ateomPeer) Prepare(ctx context.Context, w Workload) (Sandbox, error) {
	return p.prepare(ctx, w, nil, p.options)
}

// PrepareFrom prepares a sandbox with a state directory of its own, so that
// nothing of the snapshot is on this node yet.
func (p *ateomPeer) PrepareFrom(ctx context.Context, w Workload, id string) (Sandbox, error) {
	p.nodes++
	p.state = filepath.Join(p.dir, fmt.Sprintf("node%d", p.nodes))
	return p.prepare(ctx, w, from(id), &runtimeoptions.Options{ConfigBody: fmt.Appendf(nil, "state-dir = %q\n", p.state)})
}

// PrepareFork prepares a sandbox that begins from a snapshot, on this node.
func (p *ateomPeer) PrepareFork(ctx context.Context, w Workload, id string) (Sandbox, error) {
	return p.prepare(ctx, w, from(id), p.options)
}

// from are the annotations of a container that begins from a snapshot.
func from(id string) map[string]string {
	return map[string]string{"ateom.dev/restore-from": id, "ateom.dev/store": storeName}
}

// prepare makes the container with these annotations and runtime options.
func (p *ateomPeer) prepare(ctx context.Context, w Workload, annotations map[string]string, options *runtimeoptions.Options) (Sandbox, error) {
	plot, err := p.ground.plot(p.name, w)
	if err != nil {
		return nil, err
	}
	plot.spec.Annotations = map[string]string{}
	if p.own {
		plot.spec.Annotations["ateom.dev/readiness"] = probeAnnotation(w)
		maps.Copy(plot.spec.Annotations, w.Annotations)
		maps.Copy(plot.spec.Annotations, annotations)
	} else {
		maps.Copy(plot.spec.Annotations, p.annotations)
	}
	var runtimeOptions any
	if options != nil {
		runtimeOptions = options
	}
	c, err := p.NewContainer(inNamespace(ctx), plot.id,
		containerd.WithRuntime(p.runtime, runtimeOptions),
		containerd.WithNewSpec(func(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
			*s = *plot.spec
			return nil
		}))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create container %s: %w", plot.id, err), plot.Close())
	}
	return &ateomSandbox{plot: plot, peer: p, container: c, snapshots: filepath.Join(p.state, "snapshots")}, nil
}

// probeAnnotation declares when w is ready.
func probeAnnotation(w Workload) string {
	b, err := json.Marshal([]any{map[string]any{
		"httpGet":       map[string]any{"path": w.Ready, "port": w.Port},
		"periodSeconds": 1, "failureThreshold": 60,
	}})
	if err != nil {
		panic(err) // strings and numbers only
	}
	return string(b)
}

// ateomSandbox is a task of the peer.
type ateomSandbox struct {
	*plot
	peer      *ateomPeer
	container containerd.Container
	task      containerd.Task
	snapshots string
}

func (s *ateomSandbox) Poll() time.Duration { return time.Millisecond }

// Image is the peer's local store: it holds one snapshot of each sandbox.
func (s *ateomSandbox) Image() string { return s.snapshots }

func (s *ateomSandbox) Start(ctx context.Context) error {
	ctx = inNamespace(ctx)
	rootfs := containerd.WithRootFS([]mount.Mount{{Type: "bind", Source: s.rootfs, Options: []string{"rbind", "rw"}}})
	streams := cio.NewCreator(cio.WithFIFODir(filepath.Join(s.peer.dir, "fifo")), cio.WithStreams(nil, io.Discard, io.Discard))
	t, err := s.container.NewTask(ctx, streams, rootfs)
	if err != nil {
		return fmt.Errorf("create task %s: %w", s.id, err)
	}
	s.task = t
	if err := t.Start(ctx); err != nil {
		return fmt.Errorf("start task %s: %w", s.id, err)
	}
	return nil
}

// PID asks for the sandbox's kernel, which is another process after each resume.
func (s *ateomSandbox) PID(ctx context.Context) (int, error) {
	pids, err := s.task.Pids(inNamespace(ctx))
	if err != nil {
		return 0, fmt.Errorf("list processes of %s: %w", s.id, err)
	}
	if len(pids) == 0 {
		return 0, fmt.Errorf("list processes of %s: there are none", s.id)
	}
	return int(pids[0].Pid), nil
}

func (s *ateomSandbox) Pause(ctx context.Context) error  { return s.task.Pause(inNamespace(ctx)) }
func (s *ateomSandbox) Resume(ctx context.Context) error { return s.task.Resume(inNamespace(ctx)) }

// Freeze is Pause: a freeze that lasts is not offered alone.
func (s *ateomSandbox) Freeze(ctx context.Context) error { return s.Pause(ctx) }
func (s *ateomSandbox) Thaw(ctx context.Context) error   { return s.Resume(ctx) }

// Phases asks the sandbox's own service about its last verb.
func (s *ateomSandbox) Phases(ctx context.Context) ([]Phase, error) {
	if !s.peer.own {
		return nil, nil
	}
	c, err := s.service(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	status, err := ateomv1.NewSnapshotsClient(c).Status(inNamespace(ctx), &ateomv1.StatusRequest{Id: s.id})
	if err != nil {
		return nil, fmt.Errorf("ask for the status of %s: %w", s.id, err)
	}
	return phases(status.GetLast()), nil
}

func phases(in []*ateomv1.Phase) []Phase {
	var out []Phase
	for _, p := range in {
		out = append(out, Phase{Name: p.GetName(), Took: time.Duration(p.GetNanos())})
	}
	return out
}

// service connects to the shim. The caller closes the client.
func (s *ateomSandbox) service(ctx context.Context) (*ttrpc.Client, error) {
	address, err := shim.SocketAddress(inNamespace(ctx), s.peer.address, s.id, false)
	if err != nil {
		return nil, err
	}
	conn, err := net.Dial("unix", address[len("unix://"):])
	if err != nil {
		return nil, fmt.Errorf("connect to the shim of %s: %w", s.id, err)
	}
	return ttrpc.NewClient(conn), nil
}

func (s *ateomSandbox) Close() error {
	ctx, cancel := lab.Deadline(context.Background())
	defer cancel()
	ctx = inNamespace(ctx)
	var errs []error
	if s.task != nil {
		errs = append(errs, s.end(ctx))
	}
	errs = append(errs, s.container.Delete(ctx), s.plot.Close())
	return errors.Join(errs...)
}

// end kills the task and deletes it.
func (s *ateomSandbox) end(ctx context.Context) error {
	exited, err := s.task.Wait(ctx)
	if err != nil {
		return fmt.Errorf("wait for task %s: %w", s.id, err)
	}
	if err := s.task.Kill(ctx, syscall.SIGKILL); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("kill task %s: %w", s.id, err)
	}
	select {
	case <-exited:
	case <-ctx.Done():
		return fmt.Errorf("wait for task %s to be killed: %w", s.id, ctx.Err())
	}
	if _, err := s.task.Delete(ctx); err != nil {
		return fmt.Errorf("delete task %s: %w", s.id, err)
	}
	return nil
}
