// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/ateom/ateom/artifacts/job"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

const (
	// maxKeys bounds what a store's keys are read from, in bytes; a key has 74.
	maxKeys = 64 << 10
	// keyCommandTime is how long a key-command may take: key services answer
	// within a second or two.
	keyCommandTime = 15 * time.Second
	// keyCommandPath is the PATH of a key-command, as Debian's sudo sets it.
	keyCommandPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

var errTooLong = fmt.Errorf("more than %d bytes", maxKeys)

// readKeys reads the text of a store's secret keys. Errors name the store and
// what was read or run, and show nothing of what came; they are
// ErrFailedPrecondition, or the context's.
func readKeys(ctx context.Context, st job.Store) (string, error) {
	var (
		text []byte
		from string
		err  error
	)
	if st.KeyFile != "" {
		from = "file " + st.KeyFile
		text, err = readKeyFile(st.KeyFile)
	} else {
		from = "command " + st.KeyCommand[0]
		text, err = runKeyCommand(ctx, st, keyCommandTime)
	}
	if err == nil && len(bytes.TrimSpace(text)) == 0 {
		err = errors.New("nothing came")
	}
	switch {
	case err == nil:
		return string(text), nil
	case ctx.Err() != nil:
		return "", fmt.Errorf("read the keys of store %s from %s: %w", st.Name, from, ctx.Err())
	}
	return "", fmt.Errorf("read the keys of store %s from %s: %w: %w", st.Name, from, err, errdefs.ErrFailedPrecondition)
}

func readKeyFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxKeys+1))
	if len(text) > maxKeys {
		return nil, errTooLong
	}
	return text, err
}

// runKeyCommand runs a store's key-command, with nothing in its environment but
// a PATH and what the store's env says, and returns what it printed. Its
// standard error goes nowhere: it could show a key.
func runKeyCommand(ctx context.Context, st job.Store, limit time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	out := &boundedBuffer{cancel: cancel}
	cmd := exec.CommandContext(ctx, st.KeyCommand[0], st.KeyCommand[1:]...)
	cmd.Dir = "/"
	cmd.Stdout = out
	cmd.Env = []string{keyCommandPath}
	for name, value := range st.Env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	// A process group of its own ends whole, and with this process.
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second // of somebody who left the group and keeps the pipe
	err := cmd.Run()
	switch {
	case out.full:
		return nil, errTooLong
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("it took more than %s", limit)
	}
	return out.text, err
}

// A boundedBuffer ends the command whose output is too long.
type boundedBuffer struct {
	text   []byte
	full   bool
	cancel context.CancelFunc
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if len(b.text)+len(p) > maxKeys {
		b.full = true
		b.cancel()
		return 0, errTooLong
	}
	b.text = append(b.text, p...)
	return len(p), nil
}
