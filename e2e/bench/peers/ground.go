// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/e2e/bench/lab"
)

// Ground is what all peers stand on.
type Ground struct {
	// Dir is an empty directory on the disk that is measured. Its path is
	// short: sockets lie below it.
	Dir string
	// Runsc is the binary that every peer uses.
	Runsc string
	// Cgroup is the name below which sandboxes have their cgroups.
	Cgroup string
	// Bucket that Commits go to; nil where there is no server.
	Bucket *Bucket

	nets int
}

// A plot is the place of one sandbox: everything that a peer needs before it
// can start a workload.
type plot struct {
	id     string
	dir    string // rootfs and whatever else the peer keeps for this sandbox
	rootfs string
	net    *lab.Net
	addr   string
	share  string
	spec   *specs.Spec
	union  bool // rootfs is a mounted overlay
}

// plot makes the n-th plot of a peer's account.
func (g *Ground) plot(peer string, w Workload) (_ *plot, err error) {
	n := g.nets
	g.nets++
	p := &plot{id: fmt.Sprintf("%s-%s-%03d", peer, w.Name, n)} // runsc takes the beginning of an id for it
	p.dir = filepath.Join(g.Dir, strconv.Itoa(n))
	p.rootfs = filepath.Join(p.dir, "rootfs")
	if err := os.MkdirAll(p.rootfs, 0o755); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	if w.Lower != "" {
		if err := p.mountOver(w.Lower); err != nil {
			return nil, err
		}
	}
	if err := w.Program.WriteRootfs(p.rootfs); err != nil {
		return nil, fmt.Errorf("write rootfs of %s: %w", p.id, err)
	}
	if p.net, err = lab.NewNet(filepath.Join(p.dir, "netns"), n); err != nil {
		return nil, err
	}
	p.addr = net.JoinHostPort(p.net.IP.String(), strconv.Itoa(w.Port))
	p.spec = lab.Spec(w.Program, p.rootfs, p.net.Path, "/"+g.Cgroup+"/"+p.id)
	if w.Share == "" {
		return p, nil
	}
	p.share = filepath.Join(p.dir, "share")
	if err := os.Mkdir(p.share, 0o755); err != nil {
		return nil, err
	}
	p.spec.Mounts = append(p.spec.Mounts, specs.Mount{
		Destination: w.Share, Type: "bind", Source: p.share, Options: []string{"rbind", "rw"},
	})
	return p, nil
}

// mountVolatile makes a directory of what lies in memory on a node: runsc's and the
// shim's below /run, a tmpfs on every distribution. lab.UnmountBelow takes it off.
func mountVolatile(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=700"); err != nil {
		return fmt.Errorf("mount a tmpfs on %s: %w", dir, err)
	}
	return nil
}

// Addr is where the workload answers.
func (p *plot) Addr() string { return p.addr }

// Share is the host's directory behind Workload.Share.
func (p *plot) Share() string { return p.share }

// mountOver mounts the rootfs as a writable layer over lower.
func (p *plot) mountOver(lower string) error {
	upper, work := filepath.Join(p.dir, "upper"), filepath.Join(p.dir, "work")
	for _, d := range []string{upper, work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	data := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", lower, upper, work)
	if err := unix.Mount("overlay", p.rootfs, "overlay", 0, data); err != nil {
		return fmt.Errorf("mount rootfs of %s: %w", p.id, err)
	}
	p.union = true
	return nil
}

// Close gives the plot up; nothing of it is in use any more.
func (p *plot) Close() error {
	var errs []error
	if p.net != nil {
		errs = append(errs, p.net.Close())
	}
	if p.union {
		errs = append(errs, unix.Unmount(p.rootfs, unix.MNT_DETACH))
	}
	return errors.Join(append(errs, os.RemoveAll(p.dir))...)
}
