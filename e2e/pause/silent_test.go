// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package pause

import (
	"fmt"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/e2e/harness"
)

// A sandbox whose kernel answers nothing is named by every verb that has waited in vain,
// with how long that was, what its process does, and what helps; and that does help.
func TestAVerbTellsOfASandboxThatDoesNotAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		command func(id string) harness.Command
		words   []string
	}{
		"pause": {func(id string) harness.Command {
			return harness.Command{Program: "ctr-ateom", Args: []string{"tasks", "pause", id}}
		}, []string{"freeze sandbox", "no answer within 10s"}},
		"commit": {func(id string) harness.Command {
			return harness.Command{Program: "ctr-ateom", Args: []string{"tasks", "commit", "--scope", "Full", id}}
		}, []string{"nothing was published", "freeze sandbox", "no answer within 10s"}},
		"exec": {func(id string) harness.Command {
			return harness.Command{Program: "ctr", Args: []string{"task", "exec", "--exec-id", "late", id, "true"}}
		}, []string{"start process late", "runsc exec", "no answer within 15s"}},
		"signal": {func(id string) harness.Command {
			return harness.Command{Program: "ctr", Args: []string{"task", "kill", "--signal", "SIGUSR1", id}}
		}, []string{"Signal", "no answer within 2s"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := harness.NewNode(t, harness.Config{})
			task := n.Run(t, newSecretive())
			task.AwaitLog(t, "ready")
			pid := sandboxOf(t, n)
			if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			r := n.Do(t, c.command(task.ID))
			if r.Code == 0 {
				t.Errorf("it succeeded: %s", r.Stdout)
			}
			wantWords(t, r.Stderr, append(c.words, task.ID, fmt.Sprintf("pid %d", pid), "is stopped", "kill the sandbox")...)
			if code := task.KillAndWait(t, syscall.SIGKILL); code != 137 {
				t.Errorf("exit code %d, want 137", code)
			}
		})
	}
}
