// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// must stops a test's preparation at the first error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// makeDeep makes a chain of directories whose path is longer than PATH_MAX.
func makeDeep(t testing.TB, dir string, depth int) {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_RDONLY, 0)
	must(t, err)
	for i := range depth {
		name := fmt.Sprintf("level-%d", i)
		must(t, unix.Mkdirat(fd, name, 0o755))
		next, err := unix.Openat(fd, name, unix.O_DIRECTORY|unix.O_RDONLY, 0)
		must(t, err)
		unix.Close(fd)
		fd = next
	}
	file, err := unix.Openat(fd, "bottom", unix.O_CREAT|unix.O_WRONLY, 0o644)
	must(t, err)
	_, err = unix.Write(file, []byte("made it"))
	must(t, err)
	unix.Close(file)
	unix.Close(fd)
}

// makeSocket leaves a socket behind that nobody listens on.
func makeSocket(t testing.TB, name string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	must(t, err)
	l.SetUnlinkOnClose(false)
	must(t, l.Close())
}

// A place is a directory on one kind of file system.
type place struct{ name, dir string }

// places returns a directory on every kind of file system that the kernel has:
// tests of a capture run on each. One that it does not have is a test that is
// skipped and says so.
func places(t *testing.T) []place {
	t.Helper()
	list := []place{{"default", t.TempDir()}, {"tmpfs", t.TempDir()}}
	must(t, unix.Mount("none", list[1].dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, ""))
	t.Cleanup(func() { must(t, unix.Unmount(list[1].dir, unix.MNT_DETACH)) })
	for _, kind := range []string{"ext4", "xfs", "btrfs"} {
		if why := lacks(t, kind); why != "" {
			t.Run(kind, func(t *testing.T) { notTested(t, why) })
			continue
		}
		list = append(list, place{kind, mountLoop(t, kind)})
	}
	return list
}

// lacks says why the kernel cannot mount a kind of file system, or nothing.
func lacks(t *testing.T, kind string) string {
	t.Helper()
	// Where it is a module, nobody may have asked for it yet.
	out, err := exec.Command("modprobe", kind).CombinedOutput()
	known, readErr := os.ReadFile("/proc/filesystems")
	must(t, readErr)
	for line := range strings.Lines(string(known)) {
		if fields := strings.Fields(line); fields[len(fields)-1] == kind {
			return ""
		}
	}
	return fmt.Sprintf("%s: it is not in /proc/filesystems, and modprobe says %v %s", kind, err, bytes.TrimSpace(out))
}

// notTested leaves out what the kernel of this machine cannot do, and says so.
func notTested(t *testing.T, what string) {
	t.Helper()
	t.Skip("NOT TESTED: this kernel lacks " + what)
}

// mountLoop mounts a new file system of a kind that the kernel has; mkfs are
// further arguments of mkfs.
func mountLoop(t *testing.T, kind string, mkfs ...string) (dir string) {
	t.Helper()
	image := filepath.Join(t.TempDir(), kind)
	f, err := os.Create(image)
	must(t, err)
	must(t, f.Truncate(400<<20))
	must(t, f.Close())
	dir = t.TempDir()
	for _, command := range [][]string{
		append(append([]string{"mkfs." + kind, "-q"}, mkfs...), image),
		{"mount", "-t", kind, "-o", "loop,nosuid,nodev", image, dir},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v; make packages installs what it needs\n%s", command, err, out)
		}
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// capture returns the archive of a volume.
func capture(t testing.TB, dir string, opts CaptureOptions) ([]byte, Report) {
	t.Helper()
	var b bytes.Buffer
	report, err := Capture(context.Background(), dir, &b, opts)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), report
}

// subdir makes a directory.
func subdir(t testing.TB, parent, name string) string {
	t.Helper()
	dir := filepath.Join(parent, name)
	must(t, os.Mkdir(dir, 0o700))
	return dir
}
