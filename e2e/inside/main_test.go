// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package inside tests what a sandbox's programs are told, what they may ask
// for, and the commands that run around a save.
package inside

import (
	"fmt"
	"os"
	"testing"

	"github.com/ateom/ateom/e2e/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Run(m)) }

// output runs a command in a task and returns what it writes.
func output(t *testing.T, task *harness.Task, args ...string) (string, error) {
	t.Helper()
	r := task.Node.Do(t, harness.Command{Program: "ctr", Args: append([]string{"task", "exec", "--exec-id", harness.NewID(t), task.ID}, args...)})
	if r.Code != 0 {
		return r.Stdout, fmt.Errorf("%q ends with %d: %s", args, r.Code, r.Stderr)
	}
	return r.Stdout, nil
}
