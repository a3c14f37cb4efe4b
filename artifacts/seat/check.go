// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/artifacts/job"
	"github.com/ateom/ateom/artifacts/local"
)

// checkTime bounds each run of runsc in a Check.
const checkTime = 30 * time.Second

// checkBytes is the size of the parts that a Check has runsc read: more than
// one chunk, less than one read.
const checkBytes = chunkSize + pageSize

// A Proof is what a Check takes for one.
type Proof int

const (
	// Trial has runsc restore through the gofer.
	Trial Proof = iota
	// TrustVersions does so only where the two do not say what they are built from.
	TrustVersions
)

// Check proves that the given runsc and the gofer in the given file speak the
// same protocol. The versions of gVisor that both are built from must not
// differ, where they are known; and then runsc has to read a made-up snapshot
// through the gofer. It refuses that snapshot's content, which is nonsense, but
// only when it has read all of it. With TrustVersions, the same version is
// enough.
//
// Check needs what runsc needs: root, and some 200 ms. It leaves nothing
// behind. The error is ErrFailedPrecondition if the two do not fit; plain
// files work nevertheless.
func Check(ctx context.Context, runsc, gofer string, how Proof) error {
	if known, err := sameVersion(runsc, gofer); err != nil || (known && how == TrustVersions) {
		return err
	}
	dir, err := os.MkdirTemp("", "ateom-check-")
	if err != nil {
		return fmt.Errorf("check gofer: %w", err)
	}
	c := &check{runsc: runsc, dir: dir}
	err = c.run(ctx, gofer)
	return errors.Join(err, c.clean(ctx))
}

// sameVersion compares the gVisor that two programs are built from, and says
// whether both are known. Programs that the go command has not built, as
// upstream's releases, do not say.
func sameVersion(runsc, gofer string) (known bool, err error) {
	theirs, err := buildinfo.ReadFile(runsc)
	if err != nil {
		return false, nil
	}
	ours, err := buildinfo.ReadFile(gofer)
	if err != nil {
		return false, nil
	}
	want, got := gVisorVersion(theirs), gVisorVersion(ours)
	if want == "" || got == "" {
		return false, nil
	}
	if want != got {
		return true, fmt.Errorf("check gofer: runsc %s is built from gVisor %s, this gofer from %s; install both from one release: %w",
			runsc, want, got, errdefs.ErrFailedPrecondition)
	}
	return true, nil
}

// A check is a trial restore in a directory of its own.
type check struct {
	runsc string
	dir   string
}

// checkID is the sandbox's; its runsc root is no other's.
const checkID = "check"

func (c *check) path(elem ...string) string {
	return filepath.Join(append([]string{c.dir}, elem...)...)
}

// run has runsc restore the made-up snapshot and looks at how far it came.
func (c *check) run(ctx context.Context, gofer string) error {
	if err := c.prepare(gofer); err != nil {
		return fmt.Errorf("check gofer: %w", err)
	}
	output, err := c.exec(ctx, "restore", "--detach", "--bundle", c.path("bundle"), "--image-path", c.path("seat"), checkID)
	if err == nil {
		return fmt.Errorf("check gofer: runsc %s restored nonsense: %w", c.runsc, errdefs.ErrInternal)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("check gofer: %w", ctx.Err())
	}
	body, serr := os.ReadFile(c.path("status"))
	if serr != nil {
		return fmt.Errorf("check gofer: runsc did not start it (%w): %s: %w", err, output, errdefs.ErrFailedPrecondition)
	}
	var st job.SeatStatus
	if err := json.Unmarshal(body, &st); err != nil {
		return fmt.Errorf("check gofer: parse status: %w", err)
	}
	// How runsc ends after that, and what the gofer says of it, is of no interest.
	if !slices.Contains(st.Parts, artifacts.PartKernel) {
		return fmt.Errorf("check gofer: runsc read %d of %d bytes through it: %s: %s: %w",
			st.Moved, checkBytes, st.Error, output, errdefs.ErrFailedPrecondition)
	}
	return nil
}

// prepare lays out the bundle, the snapshot, the seat and where runsc finds the gofer.
func (c *check) prepare(gofer string) error {
	for _, d := range []string{"root", "bundle/rootfs", "seat", "snapshot", "gvisor-bin"} {
		if err := os.MkdirAll(c.path(d), 0o700); err != nil {
			return err
		}
	}
	if err := os.Symlink(gofer, c.path("gvisor-bin", job.SeatBinary)); err != nil {
		return err
	}
	if err := makeNonsense(c.path("snapshot")); err != nil {
		return err
	}
	files := map[string]any{
		c.path("bundle", "config.json"): map[string]any{
			"ociVersion": "1.1.0",
			"process":    map[string]any{"args": []string{"/nothing"}, "cwd": "/", "user": map[string]any{}},
			"root":       map[string]any{"path": c.path("bundle", "rootfs"), "readonly": true},
		},
		c.path("seat", job.SeatFile): job.Seat{
			Version: job.SeatVersion, Mode: job.Restore, Dir: c.path("snapshot"), Status: c.path("status"),
		},
	}
	for path, value := range files {
		body, err := json.Marshal(value)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, body, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// makeNonsense fills dir with a snapshot whose parts are ones.
func makeNonsense(dir string) error {
	d, err := openDraft(dir, true)
	if err != nil {
		return err
	}
	defer d.close()
	body := make([]byte, checkBytes)
	for i := range body {
		body[i] = 1
	}
	for _, name := range imageFiles() {
		part, err := partOf(name)
		if err != nil {
			return err
		}
		recipe := new(artifacts.Recipe)
		for at := 0; at < len(body); at += chunkSize {
			c := body[at:min(at+chunkSize, len(body))]
			if err := recipe.Append(uint32(len(c)), digestOf(c)); err != nil {
				return err
			}
		}
		image, err := d.create(name)
		if err != nil {
			return err
		}
		_, err = image.Write(body)
		if err == nil {
			err = d.seal(part, image, recipe)
		}
		image.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// exec runs runsc and returns what it says.
func (c *check) exec(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	// A file, not a pipe: a sandbox keeps it open.
	out, err := os.OpenFile(c.path("output"), os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer out.Close()
	cmd := exec.CommandContext(ctx, c.runsc, append([]string{"--root", c.path("root"), "--network=none", "--ignore-cgroups"}, args...)...)
	cmd.Env = append(os.Environ(), "GVISOR_SIDECAR_BINARIES_DIR="+c.path("gvisor-bin"))
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	text, rerr := os.ReadFile(out.Name())
	return string(text), errors.Join(err, rerr)
}

// clean ends the sandbox and removes the directory.
func (c *check) clean(ctx context.Context) error {
	// There is none if runsc has cleaned up after itself.
	_, _ = c.exec(context.WithoutCancel(ctx), "delete", "--force", checkID)
	// runsc keeps the empty network namespace of --network=none mounted there.
	netns := c.path("root", "null-netns")
	if err := unix.Unmount(netns, unix.MNT_DETACH); err != nil && err != unix.EINVAL && err != unix.ENOENT {
		return fmt.Errorf("check gofer: unmount %s: %w", netns, err)
	}
	if err := local.RemoveTree(c.dir); err != nil {
		return fmt.Errorf("check gofer: %w", err)
	}
	return nil
}
