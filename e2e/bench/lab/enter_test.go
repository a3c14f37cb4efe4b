// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// roleEnv makes this program a small bench that plays a role instead of the tests.
const roleEnv = "ATEOM_LAB_ROLE"

// Roles of a small bench.
const (
	dies  = "dies"  // kills itself while something that it started runs
	waits = "waits" // waits to be asked to end
)

// span is an odd time to sleep, by which the sleeper is found.
const span = "3600.0625"

// play plays a role; it does not return.
func play(role string) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, unix.SIGTERM)
	a, err := NewAccount(filepath.Base(Dir()) + "-peer")
	if err == nil {
		sleeper := exec.Command("sleep", span)
		// Outside of the account, as what a runtime moves away.
		sleeper.SysProcAttr = &unix.SysProcAttr{Setsid: true}
		err = sleeper.Start()
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(Dir(), "file"), nil, 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(Dir(), a.path)
	if role == dies {
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	}
	select {
	case <-asked:
		fmt.Println("asked")
		os.Exit(0)
	case <-time.After(time.Minute):
		os.Exit(3)
	}
}

// bench returns the command of a small bench, which enters namespaces by itself.
func bench(role string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, room.Env+"_")
	}), roleEnv+"="+role)
	cmd.Stderr = os.Stderr
	return cmd
}

// sleepers lists the processes that small benches have left.
func sleepers(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(path string) bool {
		b, err := os.ReadFile(path)
		return err != nil || !bytes.Contains(b, []byte(span))
	})
}

// wantNothing fails the test if the bench that said where it kept things has
// left any.
func wantNothing(t *testing.T, said string) {
	t.Helper()
	places := strings.Fields(said)
	if len(places) != 2 {
		t.Fatalf("the bench says %q, want a directory and a cgroup", said)
	}
	for _, path := range places {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", path, err)
		}
	}
	if left := sleepers(t); len(left) > 0 {
		t.Errorf("processes are left: %q", left)
	}
}

func TestWhatABenchStartedEndsWhenItIsKilled(t *testing.T) {
	out, err := bench(dies).Output()
	if err == nil {
		t.Error("a killed bench ended well")
	}
	wantNothing(t, string(out))
}

func TestABenchIsAskedToEnd(t *testing.T) {
	cmd := bench(waits)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Scan()
	said := lines.Text()
	if len(sleepers(t)) == 0 {
		t.Error("nothing runs while the bench does")
	}
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Error(err)
	}
	if !lines.Scan() || lines.Text() != "asked" {
		t.Errorf("the process that measures said %q, want that it was asked to end", lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	wantNothing(t, said)
}
