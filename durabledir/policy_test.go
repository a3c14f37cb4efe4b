// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ateom/ateom/durabledir/treetest"
)

// restoreWith restores entries under a policy.
func restoreWith(t *testing.T, opts RestoreOptions, entries ...raw) (dir string, report Report) {
	t.Helper()
	dir = t.TempDir()
	report, err := Restore(context.Background(), bytes.NewReader(tarOf(entries...)), dir, opts)
	must(t, err)
	return dir, report
}

func modeOf(t *testing.T, dir, name string) uint32 {
	t.Helper()
	return mustStat(t, filepath.Join(dir, name)).Sys().(*syscall.Stat_t).Mode & 0o7777
}

func TestSetuidPolicies(t *testing.T) {
	entries := []raw{
		{flag: '0', name: "program", mode: "0006755"},
		{flag: '5', name: "dir", mode: "0002775"},
		{flag: '0', name: "sticky", mode: "0001644"},
	}
	dir, report := restoreWith(t, RestoreOptions{}, entries...)
	if got := modeOf(t, dir, "program"); got != 0o6755 || len(report.Warnings) > 0 {
		t.Errorf("kept: mode %o, warnings %q; want 6755 and none", got, report.Warnings)
	}
	dir, report = restoreWith(t, RestoreOptions{Setuid: SetuidClear}, entries...)
	if got := modeOf(t, dir, "program"); got != 0o755 {
		t.Errorf("cleared: mode %o, want 755", got)
	}
	if got := modeOf(t, dir, "dir"); got != 0o2775 {
		t.Errorf("cleared: mode of the directory %o, want 2775: it makes no program of another user's", got)
	}
	if got := modeOf(t, dir, "sticky"); got != 0o1644 {
		t.Errorf("cleared: mode %o, want 1644", got)
	}
	want := []string{`"program": mode 06755 restored without setuid and setgid`}
	if diff := cmp.Diff(want, report.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestAttributesForTheHostAreLeftOut(t *testing.T) {
	xattr := func(name string) string { return rec("SCHILY.xattr."+name, "x") }
	records := []string{xattr("trusted.overlay.opaque"), xattr("user.kept"), xattr("security.selinux"), rec("SCHILY.xattr.system.posix_acl_access", treetest.ACL(7))}
	entries := []raw{fileEntry("one", "", records...), fileEntry("two", "", records...)}
	dir, report := restoreWith(t, RestoreOptions{}, entries...)
	for _, name := range []string{"one", "two"} {
		got := xattrText(t, filepath.Join(dir, name))
		if !strings.Contains(got, "user.kept") || !strings.Contains(got, "posix_acl_access") || strings.Contains(got, "trusted") || strings.Contains(got, "selinux") {
			t.Errorf("%s has %s, want what programs use and no more", name, got)
		}
	}
	if len(report.Warnings) != 2 {
		t.Errorf("warnings %q, want one for each attribute left out", report.Warnings)
	}
	dir, report = restoreWith(t, RestoreOptions{AllXattrs: true}, fileEntry("one", "", xattr("trusted.overlay.opaque")))
	if got := xattrText(t, filepath.Join(dir, "one")); !strings.Contains(got, "trusted.overlay.opaque") || len(report.Warnings) > 0 {
		t.Errorf("with all: %s, warnings %q; want the attribute and none", got, report.Warnings)
	}
}

func TestOwnersAreIgnoredOnDemand(t *testing.T) {
	entries := []raw{{flag: '5', name: "d", uid: "0001750", mode: "0000755"}, {flag: '0', name: "d/f", uid: "0001750"}, {flag: '6', name: "p", uid: "0001750"}}
	for _, ignore := range []bool{false, true} {
		dir, _ := restoreWith(t, RestoreOptions{IgnoreOwners: ignore}, entries...)
		want := uint32(1000)
		if ignore {
			want = uint32(os.Getuid())
		}
		for _, name := range []string{"d", "d/f", "p"} {
			if got := mustStat(t, filepath.Join(dir, name)).Sys().(*syscall.Stat_t).Uid; got != want {
				t.Errorf("ignored %v: %s is of user %d, want %d", ignore, name, got, want)
			}
		}
	}
}

// A directory with a default ACL would hand it on to all that is made in it.
func TestDefaultACLOfTheDirectoryIsNotInherited(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	treetest.Write(t, filepath.Join(from, "d/file"), "x")
	must(t, unix.Setxattr(to, "system.posix_acl_default", []byte(treetest.ACL(99)), 0))
	archive, _ := capture(t, from, CaptureOptions{})
	_, err := Restore(context.Background(), bytes.NewReader(archive), to, RestoreOptions{})
	must(t, err)
	if diff := cmp.Diff(listing(t, from), listing(t, to)); diff != "" {
		t.Errorf("tree (-captured +restored):\n%s", diff)
	}
}

// Without root's rights a user captures what he can read and restores it as his own.
func TestOrdinaryUser(t *testing.T) {
	const dirKey = "DURABLEDIR_TEST_USER_DIR"
	if dir := os.Getenv(dirKey); dir != "" {
		archive, _ := capture(t, filepath.Join(dir, "from"), CaptureOptions{})
		_, err := Restore(context.Background(), bytes.NewReader(archive), filepath.Join(dir, "to"), RestoreOptions{IgnoreOwners: true})
		must(t, err)
		return
	}
	const nobody = 65534
	dir := openDirFor(t, nobody)
	must(t, os.Chmod(dir, 0o755))
	must(t, os.Mkdir(filepath.Join(dir, "to"), 0o700))
	must(t, os.Chown(filepath.Join(dir, "to"), nobody, nobody))
	from := filepath.Join(dir, "from")
	treetest.Write(t, filepath.Join(from, "of root/file"), "x") // cannot be opened without access time
	treetest.Write(t, filepath.Join(from, "locked/file"), "y")
	treetest.MakeSparse(t, filepath.Join(from, "sparse"), 1<<20, 512<<10)
	must(t, unix.Mkfifo(filepath.Join(from, "fifo"), 0o644))
	must(t, os.Chown(filepath.Join(from, "locked"), nobody, nobody))
	must(t, os.Chmod(filepath.Join(from, "locked"), 0o500)) // nothing can be added to it once it is restored
	must(t, os.Chmod(filepath.Join(from, "locked/file"), 0o444))

	cmd := exec.Command("/proc/self/exe", "-test.run=^TestOrdinaryUser$")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), dirKey+"="+dir, "TMPDIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("as user %d: %v\n%s", nobody, err, out)
	}
	owner := strings.NewReplacer("owner=65534:65534", "owner=0:0")
	var got []string
	for _, line := range listing(t, filepath.Join(dir, "to")) {
		got = append(got, owner.Replace(line))
	}
	var want []string
	for _, line := range listing(t, from) {
		want = append(want, owner.Replace(line))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tree (-captured +restored):\n%s", diff)
	}
}
