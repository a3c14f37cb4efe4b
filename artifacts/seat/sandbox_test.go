// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package seat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/log"

	"github.com/ateom/ateom/artifacts/job"
)

// built are the programs that the tests run, built once for all of them.
var built struct {
	once  sync.Once
	dir   string // holds guest, ateom-gofer and gvisor-bin/checkpointgofer
	runsc string
	err   error
}

func TestMain(m *testing.M) {
	if isCharger(os.Args) {
		if err := serveClaims(chargeFD); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	log.SetTarget(&log.Writer{Next: io.Discard}) // gVisor's own, of what hostile peers do
	code := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// programs builds the gofer and the guest, and finds runsc.
func programs(t testing.TB) (dir, runsc string) {
	t.Helper()
	built.once.Do(func() { built.err = buildPrograms() })
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.dir, built.runsc
}

func buildPrograms() error {
	var err error
	if built.runsc, err = findRunsc(); err != nil {
		return err
	}
	if built.dir, err = os.MkdirTemp("", "ateom-seat-"); err != nil {
		return err
	}
	for out, pkg := range map[string]string{
		filepath.Join("gvisor-bin", job.SeatBinary): "github.com/ateom/ateom/cmd/checkpointgofer",
		"ateom-gofer": "github.com/ateom/ateom/cmd/ateom-gofer",
		"guest":       "./testdata/guest",
	} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(built.dir, out), pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if msg, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", pkg, err, msg)
		}
	}
	return nil
}

// findRunsc looks where the Makefile puts it.
func findRunsc() (string, error) {
	if p := os.Getenv("ATEOM_RUNSC"); p != "" {
		return p, nil
	}
	cache := os.Getenv("ATEOM_CACHE")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		cache = filepath.Join(home, ".cache", "ateom")
	}
	for _, p := range []string{filepath.Join(cache, "bin", "runsc"), filepath.Join("..", "..", "bin", "runsc")} {
		if _, err := os.Stat(p); err == nil {
			return filepath.Abs(p)
		}
	}
	return "", errors.New("no runsc: run `make build`, or set ATEOM_RUNSC to a runsc binary")
}

// A testSandbox is a sandbox that runs the guest, and the directories it needs.
type testSandbox struct {
	t      testing.TB
	runsc  string
	bins   string
	dir    string // root, bundle, io, logs
	id     string
	asked  int
	alive  bool
	runs   int
	logDir string
}

// newSandbox prepares a sandbox whose guest gets args.
func newSandbox(t testing.TB, args ...string) *testSandbox {
	t.Helper()
	bins, runsc := programs(t)
	s := &testSandbox{t: t, runsc: runsc, bins: bins, dir: t.TempDir(), id: "guest"}
	s.logDir = filepath.Join(s.dir, "logs")
	rootfs := filepath.Join(s.dir, "bundle", "rootfs")
	for _, d := range []string{rootfs, filepath.Join(rootfs, "io"), filepath.Join(s.dir, "io"), filepath.Join(s.dir, "root"), s.logDir} {
		must(t, os.MkdirAll(d, 0o700))
	}
	must(t, os.Link(filepath.Join(bins, "guest"), filepath.Join(rootfs, "guest")))
	spec := map[string]any{
		"ociVersion": "1.2.0",
		"process": map[string]any{
			"args": append([]string{"/guest"}, args...), "cwd": "/", "env": []string{"GOMAXPROCS=2"},
			"user": map[string]any{"uid": 0, "gid": 0},
		},
		"root": map[string]any{"path": rootfs},
		"mounts": []any{
			map[string]any{"destination": "/proc", "type": "proc", "source": "proc"},
			map[string]any{"destination": "/io", "type": "bind", "source": filepath.Join(s.dir, "io"), "options": []string{"rw"}},
		},
		"linux": map[string]any{"namespaces": []any{
			map[string]any{"type": "pid"}, map[string]any{"type": "mount"}, map[string]any{"type": "ipc"}, map[string]any{"type": "uts"},
		}},
	}
	body, err := json.Marshal(spec)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(s.dir, "bundle", "config.json"), body, 0o600))
	t.Cleanup(func() {
		s.delete()
		// runsc keeps the empty network namespace of --network=none mounted here.
		if err := unix.Unmount(filepath.Join(s.dir, "root", "null-netns"), unix.MNT_DETACH); err != nil && err != unix.EINVAL && err != unix.ENOENT {
			t.Error(err)
		}
	})
	return s
}

// run runs runsc with a bound on its time and returns its output.
func (s *testSandbox) run(args ...string) (string, error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	s.runs++
	out, err := os.Create(filepath.Join(s.logDir, fmt.Sprintf("%03d-%s.out", s.runs, args[0])))
	must(s.t, err)
	defer out.Close()
	flags := []string{"--root", filepath.Join(s.dir, "root"), "--network=none", "--ignore-cgroups", "--debug-log", s.logDir + "/"}
	cmd := exec.CommandContext(ctx, s.runsc, append(flags, args...)...)
	cmd.Env = append(os.Environ(), "GVISOR_SIDECAR_BINARIES_DIR="+filepath.Join(s.bins, "gvisor-bin"))
	// Files, not pipes: the sandbox keeps them open.
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	text, rerr := os.ReadFile(out.Name())
	must(s.t, rerr)
	if err != nil {
		err = fmt.Errorf("runsc %s: %w: %s", strings.Join(args, " "), err, text)
	}
	return string(text), err
}

func (s *testSandbox) mustRun(args ...string) {
	s.t.Helper()
	if _, err := s.run(args...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *testSandbox) bundle() string { return filepath.Join(s.dir, "bundle") }

// start boots the guest afresh.
func (s *testSandbox) start() {
	s.t.Helper()
	s.alive = true
	s.mustRun("create", "--bundle", s.bundle(), s.id)
	s.mustRun("start", s.id)
}

// delete ends the sandbox, if there is one.
func (s *testSandbox) delete() {
	s.t.Helper()
	if !s.alive {
		return
	}
	s.alive = false
	s.mustRun("delete", "--force", s.id)
}

// seatDir writes a configuration as the shim does and returns its directory.
func (s *testSandbox) seatDir(cfg job.Seat) string {
	s.t.Helper()
	return writeSeat(s.t, cfg)
}

// writeSeat puts cfg into a private directory of its own.
func writeSeat(t testing.TB, cfg job.Seat) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o700))
	if cfg.Store.URL != "" {
		bins, _ := programs(t)
		cfg.Gofer = filepath.Join(bins, "ateom-gofer")
	}
	body, err := json.Marshal(cfg)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, job.SeatFile), body, 0o600))
	return dir
}

// save pauses the sandbox and saves it through the seat into a new draft.
func (s *testSandbox) save() (draft string, err error) {
	s.t.Helper()
	draft = privateDir(s.t)
	s.mustRun("pause", s.id)
	return draft, s.checkpoint(job.Seat{Version: job.SeatVersion, Mode: job.Save, Dir: draft})
}

// checkpoint runs a save of the paused sandbox.
func (s *testSandbox) checkpoint(cfg job.Seat) error {
	s.t.Helper()
	_, err := s.run("checkpoint", "--leave-running", "--image-path", s.seatDir(cfg), s.id)
	return err
}

// restore brings the sandbox back through the seat.
func (s *testSandbox) restore(cfg job.Seat) error {
	s.t.Helper()
	return s.restoreFrom(s.seatDir(cfg))
}

// restoreFrom brings the sandbox back from what runsc finds in imagePath.
func (s *testSandbox) restoreFrom(imagePath string) error {
	s.t.Helper()
	s.alive = true
	s.mustRun("create", "--bundle", s.bundle(), s.id)
	_, err := s.run("restore", "--background", "--detach", "--bundle", s.bundle(), "--image-path", imagePath, s.id)
	return err
}

// answer is what the guest says.
type answer struct {
	Nonce   string `json:"nonce"`
	Counter int    `json:"counter"`
	Memory  string `json:"memory"`
}

// ask has the guest do what and returns what it answers.
func (s *testSandbox) ask(what string) answer {
	s.t.Helper()
	a, err := s.tryAsk(what, 60*time.Second)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// rewind forgets what was asked after the answer a, which a clone of the guest
// of that time has not heard.
func (s *testSandbox) rewind(a answer) {
	s.t.Helper()
	for ; s.asked > a.Counter+1; s.asked-- {
		for _, name := range []string{"ask", "answer"} {
			must(s.t, os.RemoveAll(filepath.Join(s.dir, "io", fmt.Sprintf("%s-%d", name, s.asked-1))))
		}
	}
}

// tryAsk is ask with a bound on the time that the guest gets.
func (s *testSandbox) tryAsk(what string, within time.Duration) (answer, error) {
	s.t.Helper()
	n := s.asked
	s.asked++
	ask := filepath.Join(s.dir, "io", fmt.Sprintf("ask-%d", n))
	must(s.t, os.WriteFile(ask+".tmp", []byte(what), 0o600))
	must(s.t, os.Rename(ask+".tmp", ask))
	var body []byte
	err := poll(within, func() (err error) {
		body, err = os.ReadFile(filepath.Join(s.dir, "io", fmt.Sprintf("answer-%d", n)))
		return err
	})
	var a answer
	if err == nil {
		err = json.Unmarshal(body, &a)
	}
	return a, err
}

// poll calls f until it succeeds, or for the given time.
func poll(within time.Duration, f func() error) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(within)
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline:
			return fmt.Errorf("after %v: %w", within, err)
		}
	}
}

// privateDir returns a new directory that the gofer accepts.
func privateDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o700))
	return dir
}

// readStatus returns the status at path, waiting for the gofer to end if it
// has not yet.
func readStatus(t testing.TB, path string) job.SeatStatus {
	t.Helper()
	return awaitStatus(t, path, func(st *job.SeatStatus) error {
		if !st.Ended {
			return errors.New("the gofer still runs")
		}
		return nil
	})
}

// awaitStatus returns the status at path as soon as check has nothing against it.
func awaitStatus(t testing.TB, path string, check func(*job.SeatStatus) error) job.SeatStatus {
	t.Helper()
	var st job.SeatStatus
	if err := poll(30*time.Second, func() error {
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(body, &st); err != nil {
			return err
		}
		return check(&st)
	}); err != nil {
		t.Fatalf("status %s: %v", path, err)
	}
	return st
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// exists reports whether there is a file.
func exists(t testing.TB, path string) bool {
	t.Helper()
	_, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}
