// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package stdio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// A logging binary gets the read ends of both outputs as descriptors 3 and 4,
// and 5 to close when it is ready (containerd: core/runtime/v2/README.md, "Logging").
const loggerReadyLimit = 10 * time.Second

func isBinary(uri string) bool { return strings.HasPrefix(uri, "binary://") }

// openBinary starts the logging binary that c.Stdout names and connects both
// outputs to it. It ends by itself when its inputs end.
func (s *Streams) openBinary(ctx context.Context, c Config) error {
	u, err := parseURI(c.Stdout)
	if err != nil {
		return err
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		return err
	}
	s.closers = append(s.closers, outW)
	errR, errW, err := os.Pipe()
	if err != nil {
		outR.Close()
		return err
	}
	s.closers = append(s.closers, errW)
	readyR, readyW, err := os.Pipe()
	if err != nil {
		outR.Close()
		errR.Close()
		return err
	}
	defer readyR.Close()

	var args []string
	for name, values := range u.Query() {
		args = append(args, name)
		if len(values) > 0 && values[0] != "" {
			args = append(args, values[0])
		}
	}
	cmd := exec.Command(u.Path, args...)
	cmd.Env = append(os.Environ(), "CONTAINER_ID="+c.ID, "CONTAINER_NAMESPACE="+c.Namespace)
	cmd.ExtraFiles = []*os.File{outR, errR, readyW}
	err = cmd.Start()
	outR.Close()
	errR.Close()
	readyW.Close()
	if err != nil {
		return fmt.Errorf("start logging binary %s: %w", u.Path, err)
	}
	// Whoever reaps this process's children reaps the logger; this only frees
	// what the os package holds.
	go cmd.Wait()

	if err := awaitReady(ctx, readyR); err != nil {
		cmd.Process.Kill()
		return fmt.Errorf("logging binary %s: %w", u.Path, err)
	}
	s.Stdout, s.Stderr = outW, errW
	return nil
}

// awaitReady waits until the other end is closed or written to.
func awaitReady(ctx context.Context, r *os.File) error {
	ctx, cancel := context.WithTimeout(ctx, loggerReadyLimit)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { r.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	_, err := r.Read(make([]byte, 1))
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("wait until it is ready: %w", err)
	}
	return nil
}
