// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package stdio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// A logging binary gets the read ends of both outputs as descriptors 3 and 4,
// and 5 to close when it is ready (containerd: core/runtime/v2/README.md, "Logging").
const loggerReadyLimit = 10 * time.Second

func isBinary(uri string) bool { return strings.HasPrefix(uri, "binary://") }

// openBinary starts the logging binary that c.Stdout names and connects both
// outputs to it. It ends by itself when its inputs end. The returned ends are
// closed with s.
func (s *Streams) openBinary(ctx context.Context, c Config) (stdout, stderr *os.File, err error) {
	u, err := parseURI(c.Stdout)
	if err != nil {
		return nil, nil, err
	}
	var theirs []*os.File
	defer func() {
		for _, f := range theirs {
			f.Close()
		}
	}()
	var ours [2]*os.File
	for i := range ours {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, nil, err
		}
		theirs, ours[i] = append(theirs, r), w
		s.closers = append(s.closers, w)
	}
	readyR, readyW, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer readyR.Close()
	theirs = append(theirs, readyW)

	cmd := exec.Command(u.Path, loggerArgs(u.Query())...)
	cmd.Env = []string{"CONTAINER_ID=" + c.ID, "CONTAINER_NAMESPACE=" + c.Namespace}
	cmd.ExtraFiles = theirs
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("start logging binary %s: %w", u.Path, err)
	}
	// Only the logger's own end of it says that it is ready.
	readyW.Close()
	// Whoever reaps this process's children reaps the logger; this only frees
	// what the os package holds.
	go cmd.Wait()

	if err := awaitReady(ctx, readyR); err != nil {
		cmd.Process.Kill()
		return nil, nil, fmt.Errorf("logging binary %s: %w", u.Path, err)
	}
	return ours[0], ours[1], nil
}

// loggerArgs turns a query into arguments, each name followed by its value, in
// the order of the names.
func loggerArgs(query url.Values) []string {
	var args []string
	for _, name := range slices.Sorted(maps.Keys(query)) {
		args = append(args, name, query.Get(name))
	}
	return args
}

// awaitReady waits until the other end is closed or written to.
func awaitReady(ctx context.Context, r *os.File) error {
	ctx, cancel := context.WithTimeout(ctx, loggerReadyLimit)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { r.SetReadDeadline(past) })
	defer stop()
	_, err := r.Read(make([]byte, 1))
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("wait until it is ready: %w", err)
	}
	return nil
}
