// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package task

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/ateom/ateom/e2e/harness"
)

// logger is a logging binary as containerd's documentation describes it:
// descriptors 3 and 4 are the streams, and closing 5 says that it listens.
const logger = `#!/bin/sh
exec 5>&-
cat <&3 >"$1.out" &
cat <&4 >"$1.err" &
wait
echo "$CONTAINER_ID $CONTAINER_NAMESPACE" >"$1.done"
`

func TestOutputGoesToALoggingBinary(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	dir := t.TempDir()
	program, to := filepath.Join(dir, "logger"), filepath.Join(dir, "log")
	if err := os.WriteFile(program, []byte(logger), 0o700); err != nil {
		t.Fatal(err)
	}
	uri := &url.URL{Scheme: "binary", Path: program, RawQuery: url.QueryEscape(to)}
	task := n.Run(t, harness.Container{
		Args: []string{"sh", "-c", "echo out; echo err >&2"},
		IO:   cio.LogURI(uri),
	})
	want := map[string]string{
		".out": "out\n", ".err": "err\n", ".done": fmt.Sprintln(task.ID, n.Namespace),
	}
	harness.Eventually(t, func() error {
		if status, err := task.Status(n.Context(t)); err != nil || status.Status != "stopped" {
			return fmt.Errorf("status %v, %v", status.Status, err)
		}
		return nil
	})
	if _, err := task.Delete(n.Context(t)); err != nil {
		t.Fatal(err)
	}
	for ending, text := range want {
		harness.Eventually(t, func() error {
			got, err := os.ReadFile(to + ending)
			if err == nil && string(got) != text {
				err = fmt.Errorf("%s holds %q, want %q", to+ending, got, text)
			}
			return err
		})
	}
}

func TestOutputGoesToALogFile(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		t.Run(fmt.Sprint("terminal ", terminal), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "log")
			c := harness.Container{
				Args: []string{"sh", "-c", "echo out; echo err >&2; echo end"},
				IO:   cio.LogFile(path),
			}
			want := "out\nerr\nend\n"
			if terminal {
				c.Opts, c.IO = []oci.SpecOpts{oci.WithTTY}, cio.TerminalLogURI(&url.URL{Scheme: "file", Path: path})
				want = "out\r\nerr\r\nend\r\n"
			}
			task := harness.Shared(t).Run(t, c)
			task.LogPath = path
			task.AwaitLog(t, want)
			if got := task.Log(t); got != want {
				t.Errorf("log %q, want %q", got, want)
			}
		})
	}
}
