// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/durabledir/treetest"
)

// Real programs over a captured and restored volume. Each test needs only what
// Debian has, and `make packages` installs.
func TestRealProgramsFindTheirVolumeAgain(t *testing.T) {
	for _, test := range []struct {
		program string
		run     func(t *testing.T)
	}{
		{"git", gitRepository},
		{"sqlite3", sqliteInWALMode},
		{"/usr/bin/python3", pythonEnvironment},
		{postgresBin("initdb"), postgresCluster},
	} {
		if _, err := exec.LookPath(test.program); err != nil {
			t.Errorf("%v; make packages installs it", err)
			continue
		}
		t.Run(filepath.Base(test.program), test.run)
	}
}

// run returns what a program prints.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// move captures a volume and restores it elsewhere, on the same parent.
func move(t *testing.T, from string) (to string) {
	t.Helper()
	archive, _ := capture(t, from, CaptureOptions{})
	to = subdir(t, t.TempDir(), "restored")
	_, err := Restore(context.Background(), bytes.NewReader(archive), to, RestoreOptions{})
	must(t, err)
	if diff := cmp.Diff(listing(t, from), listing(t, to)); diff != "" {
		t.Errorf("tree (-captured +restored):\n%s", diff)
	}
	return to
}

func gitRepository(t *testing.T) {
	from := t.TempDir()
	run(t, from, "git", "init", "-q")
	makeFiles(t, from, 300, 1<<20)
	treetest.Write(t, filepath.Join(from, "na\xc3\xafve \xff"), "x")
	run(t, from, "git", "add", "-A")
	run(t, from, "git", "commit", "-q", "-m", "one")
	treetest.Write(t, filepath.Join(from, "package-0/module/file-1.py"), "changed")
	treetest.Write(t, filepath.Join(from, "untracked"), "x")
	want := run(t, from, "git", "status", "--porcelain")

	to := move(t, from)
	if got := run(t, to, "git", "status", "--porcelain"); got != want {
		t.Errorf("git status says %q, want %q", got, want)
	}
	run(t, to, "git", "fsck", "--strict")
	run(t, to, "git", "commit", "-q", "-a", "-m", "two")
}

// A database with an open connection: half of it is in the write-ahead log.
func sqliteInWALMode(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command("sqlite3", filepath.Join(dir, "data.db"))
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	defer cmd.Wait()
	defer in.Close()
	lines := bufio.NewScanner(out)
	ask := func(sql string) string {
		t.Helper()
		_, err := io.WriteString(in, sql+"\n")
		must(t, err)
		if !lines.Scan() {
			t.Fatalf("no answer to %s: %v", sql, lines.Err())
		}
		return lines.Text()
	}
	ask("PRAGMA journal_mode=WAL;")
	ask("CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT); SELECT 'made';")
	insert := "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c LIMIT 1000) INSERT INTO t(text) SELECT hex(randomblob(50)) FROM c; SELECT count(*) FROM t;"
	ask(insert)

	pass := begin(t, dir, nil, quick(t))
	want := ask(insert) // between the first look and the freeze
	freeze(t, cmd.Process.Pid)
	settle(t, pass)
	must(t, cmd.Process.Signal(syscall.SIGCONT))
	ask(insert) // after the freeze: not in the archive
	archive := finish(t, pass)

	to := t.TempDir()
	_, err = Restore(context.Background(), bytes.NewReader(archive), to, RestoreOptions{})
	must(t, err)
	got := run(t, to, "sqlite3", "data.db", "SELECT count(*) FROM t; PRAGMA integrity_check;")
	if got != want+"\nok" {
		t.Errorf("the restored database says %q, want %q and ok", got, want)
	}
}

// freeze stops a process and returns when it stands still.
func freeze(t *testing.T, pid int) {
	t.Helper()
	must(t, unix.Kill(pid, unix.SIGSTOP))
	var status unix.WaitStatus
	_, err := retry(func() (int, error) { return unix.Wait4(pid, &status, unix.WUNTRACED, nil) })
	must(t, err)
	if !status.Stopped() {
		t.Fatalf("process %d is %v, want it stopped", pid, status)
	}
}

func pythonEnvironment(t *testing.T) {
	from := t.TempDir()
	run(t, from, "/usr/bin/python3", "-m", "venv", "--without-pip", "--copies", "env")
	packages, err := filepath.Glob(filepath.Join(from, "env/lib/python3*/site-packages"))
	must(t, err)
	if len(packages) != 1 {
		t.Fatalf("site-packages are %q, want one", packages)
	}
	for i := range 20_000 {
		treetest.Write(t, filepath.Join(packages[0], fmt.Sprintf("package_%d/module_%d.py", i/100, i)), fmt.Sprintf("value = %d\n", i))
	}
	to := move(t, from)
	const program = "import sys; from package_123 import module_12345 as m; print(m.value, sys.prefix)"
	got := run(t, to, filepath.Join(to, "env/bin/python"), "-B", "-c", program)
	if want := "12345 " + filepath.Join(to, "env"); got != want {
		t.Errorf("python says %q, want %q", got, want)
	}
}

// postgresBin finds a program of whatever version Debian has put aside.
func postgresBin(name string) string {
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name); len(found) > 0 {
		return found[len(found)-1]
	}
	return name
}

// A cluster whose only process is frozen with committed rows in its log and
// none of them in its tables' files: the restored one recovers them.
func postgresCluster(t *testing.T) {
	nobody, err := user.Lookup("nobody")
	must(t, err)
	uid, err := strconv.Atoi(nobody.Uid)
	must(t, err)
	as := func(cmd *exec.Cmd) *exec.Cmd { // it refuses to run as root
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
		return cmd
	}
	dir := openDirFor(t, uid)
	cluster := filepath.Join(dir, "cluster")
	if out, err := as(exec.Command(postgresBin("initdb"), "-D", cluster, "--no-sync", "-U", "postgres")).CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	single := func(cluster string) *exec.Cmd {
		return as(exec.Command(postgresBin("postgres"), "--single", "-D", cluster, "postgres"))
	}
	cmd := single(cluster)
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	pass := begin(t, cluster, nil, quick(t))
	_, err = io.WriteString(in, "create table t as select generate_series(1, 12345) as n\nselect 'answer ' || count(*) from t\n")
	must(t, err)
	answer(t, lines, "answer 12345")
	freeze(t, cmd.Process.Pid)
	settle(t, pass)
	must(t, cmd.Process.Signal(syscall.SIGCONT))
	must(t, in.Close()) // it writes all its tables and ends
	io.Copy(io.Discard, out)
	must(t, cmd.Wait())
	archive := finish(t, pass)

	to := subdir(t, openDirFor(t, uid), "cluster")
	_, err = Restore(context.Background(), bytes.NewReader(archive), to, RestoreOptions{})
	must(t, err)
	again := single(to)
	again.Stdin = strings.NewReader("select 'answer ' || count(*) from t\n")
	text, err := again.CombinedOutput()
	if err != nil {
		t.Fatalf("postgres over the restored cluster: %v\n%s", err, text)
	}
	answer(t, bufio.NewScanner(bytes.NewReader(text)), "answer 12345")
}

// answer reads until a line that holds the text.
func answer(t *testing.T, lines *bufio.Scanner, text string) {
	t.Helper()
	var seen []string
	for lines.Scan() {
		if strings.Contains(lines.Text(), text) {
			return
		}
		seen = append(seen, lines.Text())
	}
	t.Fatalf("no line with %q in\n%s", text, strings.Join(seen, "\n"))
}

// openDirFor makes a directory of another user's that he can reach.
func openDirFor(t *testing.T, uid int) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "durabledir-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	must(t, os.Chown(dir, uid, uid))
	return dir
}
