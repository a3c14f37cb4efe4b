// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// An Account is a cgroup (v2, which every supported host has, be it beside v1)
// that holds every process of one peer: the kernel adds up their CPU time, also
// that of processes that have ended.
type Account struct {
	path string // of the cgroup
	leaf string // where processes start; v2 wants them in leaves
}

// NewAccount makes an empty account. name is unique on the host and a file name.
func NewAccount(name string) (*Account, error) {
	root, err := cgroup2Root()
	if err != nil {
		return nil, err
	}
	a := &Account{path: filepath.Join(root, name)}
	a.leaf = filepath.Join(a.path, "procs")
	if err := os.MkdirAll(a.leaf, 0o755); err != nil {
		return nil, fmt.Errorf("make cgroup: %w", err)
	}
	return a, nil
}

// cgroup2Root finds where cgroup v2 is mounted.
func cgroup2Root() (string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		before, after, _ := strings.Cut(s.Text(), " - ")
		if fields := strings.Fields(before); strings.HasPrefix(after, "cgroup2 ") && len(fields) > 4 {
			return fields[4], nil
		}
	}
	return "", errors.New("find cgroup v2: it is not mounted; mount it (mount -t cgroup2 none /sys/fs/cgroup/unified)")
}

// Start starts cmd inside the account.
func (a *Account) Start(cmd *exec.Cmd) error {
	d, err := os.Open(a.leaf)
	if err != nil {
		return fmt.Errorf("open cgroup: %w", err)
	}
	defer d.Close()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.UseCgroupFD = true
	cmd.SysProcAttr.CgroupFD = int(d.Fd())
	return cmd.Start()
}

// CPU returns the CPU time that the account's processes have used so far.
func (a *Account) CPU() (time.Duration, error) {
	b, err := os.ReadFile(filepath.Join(a.path, "cpu.stat"))
	if err != nil {
		return 0, fmt.Errorf("read CPU time: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "usage_usec "); ok {
			us, err := strconv.ParseInt(v, 10, 64)
			return time.Duration(us) * time.Microsecond, err
		}
	}
	return 0, errors.New("read CPU time: cpu.stat has no usage_usec")
}

// Pids returns the processes that are in the account now.
func (a *Account) Pids() []int {
	var pids []int
	// A cgroup that vanishes under the walk had no processes left.
	_ = filepath.WalkDir(a.path, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "cgroup.procs" {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		for f := range strings.FieldsSeq(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	return pids
}

// Close kills what is left in the account and removes it.
func (a *Account) Close() error {
	if err := os.WriteFile(filepath.Join(a.path, "cgroup.kill"), []byte("1"), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("kill cgroup: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	// Killed processes leave their cgroup when they have been torn down, of
	// which the kernel tells nobody here.
	for {
		err := removeTree(a.path)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove cgroup: %w", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// removeTree removes a cgroup and those below it.
func removeTree(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(path, e.Name())); err != nil {
				return err
			}
		}
	}
	return os.Remove(path)
}

// RemoveCgroups removes the cgroups called name that runtimes made below every
// v1 controller for the sandboxes of this bench. They are empty by then.
func RemoveCgroups(name string) error {
	paths, err := filepath.Glob(filepath.Join("/sys/fs/cgroup", "*", name))
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range append(paths, filepath.Join("/sys/fs/cgroup", name)) {
		if err := removeTree(p); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
