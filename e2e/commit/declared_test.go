// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package commit

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/ateom/ateom/durabledir"
	"github.com/ateom/ateom/e2e/harness"
)

// oddPath is a legal mount path.
const oddPath = "/home/my agent\t/..config/x..y/dätä"

// declared are the volumes of a sandbox of two containers: one that both see, and
// that the first mounts twice, and one for the second alone.
func declared(t *testing.T) string {
	t.Helper()
	uid, gid := 1000, 1001
	home := durabledir.Declaration{Name: "home", MountPath: oddPath, UID: &uid, GID: &gid, Mode: "2750"}
	again := home
	again.MountPath, again.ReadOnly = "/again", true
	db := durabledir.Declaration{Name: "db", MountPath: "/var/lib/db", Container: "db", SizeLimit: 1 << 20}
	text, err := json.Marshal([]durabledir.Declaration{home, again, db})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// runDeclared runs such a sandbox.
func runDeclared(t *testing.T, n *harness.Node, annotations map[string]string) (web, db *harness.Task) {
	t.Helper()
	group := harness.NewID(t)
	run := func(name string) *harness.Task {
		all := map[string]string{
			"io.containerd.ateom.v1.group": group, "io.kubernetes.cri.container-name": name, "ateom.dev/durable-dirs": declared(t),
		}
		maps.Copy(all, annotations)
		return n.Run(t, harness.Container{Args: []string{"sleep", "1000"}, Annotations: all})
	}
	return run("web"), run("db")
}

// as runs a command in the task's container as another user, who may be refused.
func as(t *testing.T, task *harness.Task, user, command string) (string, bool) {
	t.Helper()
	r := task.Node.Do(t, harness.Command{Program: "ctr", Args: []string{
		"tasks", "exec", "--exec-id", harness.NewID(t), "--user", user, task.ID, "sh", "-c", command}})
	return strings.TrimSpace(r.Stdout + r.Stderr), r.Code == 0
}

func TestVolumesAreMountedAsDeclared(t *testing.T) {
	n := harness.NewNode(t, harness.Config{})
	web, db := runDeclared(t, n, nil)
	for _, c := range []struct {
		task          *harness.Task
		user, command string
		says          string // what the command prints if it succeeds, else a word of why it does not
		ok            bool
	}{
		{web, "0", `stat -c "%u %g %a" "` + oddPath + `"`, "1000 1001 2750", true},
		{web, "1000:1001", `echo mine >"` + oddPath + `/file" && stat -c "%u %g" "` + oddPath + `/file"`, "1000 1001", true},
		{web, "1000:1001", `cat /again/file`, "mine", true},
		{db, "1000:1001", `cat "` + oddPath + `/file"`, "mine", true},
		{web, "2000:2000", `cat /again/file`, "denied", false},
		{web, "0", `echo x >/again/other`, "Read-only", false},
		{web, "0", `ls /var/lib/db`, "No such file", false},
		{db, "0", `ls -A /var/lib/db && stat -c "%u %g %a" /var/lib/db`, "0 0 777", true},
	} {
		if said, ok := as(t, c.task, c.user, c.command); ok != c.ok || !strings.Contains(said, c.says) {
			t.Errorf("%s as %s: it says %q and succeeds %t, want %q and %t", c.command, c.user, said, ok, c.says, c.ok)
		}
	}

	// A volume that outgrows its limit makes a commit fail; that is all.
	guestSh(t, db, "dd if=/dev/urandom of=/var/lib/db/large bs=1M count=2")
	r := n.Do(t, harness.Command{Program: "ctr-ateom", Args: []string{"tasks", "commit", "--scope", "Data", web.ID}})
	if r.Code == 0 || !strings.Contains(r.Stderr, `volume "db"`) || !strings.Contains(r.Stderr, "sizeLimit") {
		t.Errorf("commit: exit code %d, %q; want a refusal that names the volume and its limit", r.Code, r.Stderr)
	}
	if all := snapshots(t, n, "dir"); len(all) > 0 {
		t.Errorf("the refused commit left the snapshots %q", all)
	}
	guestSh(t, db, "rm /var/lib/db/large; echo small >/var/lib/db/small")
	id := commit(t, web, "--scope", "Data")

	// The second container's volume comes when it does.
	newWeb, newDB := runDeclared(t, n, map[string]string{"ateom.dev/restore-from": id})
	for task, want := range map[*harness.Task]string{newWeb: "mine 1000 1001", newDB: "mine 1000 1001 small"} {
		command := `cat "` + oddPath + `/file"; stat -c "%u %g" "` + oddPath + `/file"; cat /var/lib/db/small 2>/dev/null || true`
		if got := strings.Join(strings.Fields(guestSh(t, task, command)), " "); got != want {
			t.Errorf("%s has %q from the snapshot, want %q", task.ID, got, want)
		}
	}
}
