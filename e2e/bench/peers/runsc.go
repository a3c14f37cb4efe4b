// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/ateom/ateom/e2e/bench/lab"
)

// A Script says how a runsc peer goes about its verbs.
type Script struct {
	Name string
	// Delete makes Pause remove the container, as whoever wants to restore it
	// under the same name must. Otherwise Pause is the checkpoint alone.
	Delete bool
	// Background lets restore return before the memory is loaded.
	Background bool
	// Poll is how often readiness is asked for.
	Poll time.Duration
	// Upload is the client that a Commit sends with: "rclone", "aws", or none:
	// then it stops at what lies on the disk.
	Upload string
	// TarFlags of a Commit's tar.
	TarFlags string
}

// The scripts that rows compare with.
var (
	Raw      = Script{Name: "raw", Poll: time.Millisecond}
	Hand     = Script{Name: "hand", Delete: true, Poll: 100 * time.Millisecond, Upload: "rclone"}
	HandPlus = Script{Name: "hand+", Delete: true, Background: true, Poll: time.Millisecond}
	HandAWS  = Script{Name: "hand (aws)", Delete: true, Poll: 100 * time.Millisecond, Upload: "aws"}
	HandTarS = Script{Name: "hand (tar -S)", Delete: true, Poll: 100 * time.Millisecond, Upload: "rclone", TarFlags: "-S"}
	// HandTar keeps what it saves on the disk.
	HandTar = Script{Name: "hand (tar)", Delete: true, Poll: 100 * time.Millisecond}
	// Scripts are all of them.
	Scripts = []Script{Raw, Hand, HandPlus, HandAWS, HandTarS, HandTar}
)

// runscPeer drives the runsc binary as a script would.
type runscPeer struct {
	Script
	ground  *Ground
	root    string
	account *lab.Account
}

// NewRunsc returns a peer that follows s.
func NewRunsc(g *Ground, s Script) (Peer, error) {
	file := fileName(s.Name)
	p := &runscPeer{Script: s, ground: g, root: filepath.Join(g.Dir, "root-"+file)}
	if err := mountVolatile(p.root); err != nil {
		return nil, err
	}
	var err error
	p.account, err = lab.NewAccount(g.Cgroup + "-" + file)
	return p, err
}

// fileName makes a peer's name fit for paths and ids.
func fileName(name string) string {
	return strings.NewReplacer("+", "p", " ", "-", "(", "", ")", "").Replace(name)
}

func (p *runscPeer) Name() string          { return p.Script.Name }
func (p *runscPeer) Account() *lab.Account { return p.account }

func (p *runscPeer) Close() error {
	// runsc keeps an empty network namespace mounted in its root.
	return errors.Join(p.account.Close(), lab.UnmountBelow(p.root), os.RemoveAll(p.root))
}

func (p *runscPeer) Prepare(_ context.Context, w Workload) (Sandbox, error) {
	plot, err := p.ground.plot(fileName(p.Script.Name), w)
	if err != nil {
		return nil, err
	}
	s := &runscSandbox{plot: plot, peer: p, image: filepath.Join(plot.dir, "image")}
	if err := lab.WriteBundle(plot.dir, plot.spec); err != nil {
		return nil, errors.Join(err, plot.Close())
	}
	return s, nil
}

// runscSandbox is one container of a runscPeer.
type runscSandbox struct {
	*plot
	peer    *runscPeer
	image   string
	commits int
}

func (s *runscSandbox) Image() string       { return s.image }
func (s *runscSandbox) Poll() time.Duration { return s.peer.Script.Poll }

func (s *runscSandbox) Start(ctx context.Context) error {
	_, err := s.peer.runsc(ctx, "run", "--detach", "--bundle", s.dir, s.id)
	return err
}

func (s *runscSandbox) PID(ctx context.Context) (int, error) {
	out, err := s.peer.runsc(ctx, "state", s.id)
	if err != nil {
		return 0, err
	}
	var state struct{ Pid int }
	if err := json.Unmarshal(out, &state); err != nil {
		return 0, fmt.Errorf("read runsc state of %s: %w", s.id, err)
	}
	return state.Pid, nil
}

func (s *runscSandbox) Freeze(ctx context.Context) error {
	_, err := s.peer.runsc(ctx, "pause", s.id)
	return err
}

func (s *runscSandbox) Thaw(ctx context.Context) error {
	_, err := s.peer.runsc(ctx, "resume", s.id)
	return err
}

func (s *runscSandbox) Pause(ctx context.Context) error {
	// A script that keeps one image has to make room for the next.
	if err := os.RemoveAll(s.image); err != nil {
		return err
	}
	if _, err := s.peer.runsc(ctx, "checkpoint", "--image-path", s.image, s.id); err != nil {
		return err
	}
	if !s.peer.Delete {
		return nil
	}
	_, err := s.peer.runsc(ctx, "delete", "--force", s.id)
	return err
}

func (s *runscSandbox) Resume(ctx context.Context) error {
	if !s.peer.Delete {
		if _, err := s.peer.runsc(ctx, "delete", "--force", s.id); err != nil {
			return err
		}
	}
	if err := s.net.Refill(); err != nil {
		return err
	}
	return s.restore(ctx)
}

// restore starts the container from the image.
func (s *runscSandbox) restore(ctx context.Context) error {
	args := []string{"restore", "--detach", "--bundle", s.dir, "--image-path", s.image}
	if s.peer.Background {
		args = append(args, "--background")
	}
	_, err := s.peer.runsc(ctx, append(args, s.id)...)
	return err
}

func (s *runscSandbox) Close() error {
	ctx, cancel := lab.Deadline(context.Background())
	defer cancel()
	_, err := s.peer.runsc(ctx, "delete", "--force", s.id)
	return errors.Join(err, s.plot.Close())
}

// runsc runs one command and returns what it prints. Containers inherit the
// command's standard streams and keep them open, so these are files.
func (p *runscPeer) runsc(ctx context.Context, args ...string) ([]byte, error) {
	out, err := os.CreateTemp(p.root, "out-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd := exec.CommandContext(ctx, p.ground.Runsc, append([]string{"--root", p.root}, args...)...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := p.account.Start(cmd); err != nil {
		return nil, fmt.Errorf("run runsc %s: %w", args[0], err)
	}
	runErr := cmd.Wait()
	b, err := os.ReadFile(out.Name())
	if runErr != nil {
		return nil, fmt.Errorf("run runsc %s: %w: %s", args[0], runErr, bytes.TrimSpace(b))
	}
	return b, err
}
