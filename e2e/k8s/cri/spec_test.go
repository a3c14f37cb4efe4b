// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/ateom/ateom/e2e/harness"
	"github.com/ateom/ateom/e2e/k8s/cluster"
)

var specs = []check{
	{"a program finds what its configuration says", configurationHolds},
	{"directories of the node are mounted", directoriesAreMounted},
	{"an emptyDir is the containers' together", emptyDirIsShared},
	{"an emptyDir in memory holds what its limit says", memoryIsLimited},
	{"containers see each other's processes if they share them", processesAreShared},
	{"a sandbox is reached at its address", addressIsReached},
	{"privileges are those of the sandbox", privilegesStayInside},
}

func configurationHolds(t *testing.T, n *node) {
	p := n.run(t)
	security := func(change func(*criv1.LinuxContainerSecurityContext)) func(*criv1.ContainerConfig) {
		return func(c *criv1.ContainerConfig) { change(c.Linux.SecurityContext) }
	}
	for i, c := range []struct {
		what, script, want string
		change             func(*criv1.ContainerConfig)
	}{
		{"environment", "echo $COLOUR", "blue", func(c *criv1.ContainerConfig) {
			c.Envs = []*criv1.KeyValue{{Key: "COLOUR", Value: []byte("blue")}}
		}},
		{"working directory", "pwd", "/var/new", func(c *criv1.ContainerConfig) { c.WorkingDir = "/var/new" }},
		{"arguments", "unused", "a b", func(c *criv1.ContainerConfig) { c.Command, c.Args = []string{"echo"}, []string{"a", "b"} }},
		{"user and groups", "echo $(id -u) $(id -g) $(id -G)", "1000 1001 1001 2000", security(func(s *criv1.LinuxContainerSecurityContext) {
			s.RunAsUser, s.RunAsGroup, s.SupplementalGroups = &criv1.Int64Value{Value: 1000}, &criv1.Int64Value{Value: 1001}, []int64{2000}
		})},
		{"user by name", "id -u", "65534", security(func(s *criv1.LinuxContainerSecurityContext) { s.RunAsUsername = "nobody" })},
		{"first process", "echo $$", "1", nil},
		{"host name", "hostname", "pod-of-tests", nil},
		{"name servers", "echo $(cat /etc/resolv.conf)", "search default.svc.cluster.local nameserver 10.92.0.10 options ndots:5", nil},
		{"root file system", "touch /x 2>/dev/null && echo written", "written", nil},
		{"root file system that is read-only", "touch /x 2>&1 || true", "touch: /x: Read-only file system", security(func(s *criv1.LinuxContainerSecurityContext) {
			s.ReadonlyRootfs = true
		})},
		{"no capabilities", "grep CapEff /proc/self/status", "CapEff:\t0000000000000000", security(func(s *criv1.LinuxContainerSecurityContext) {
			s.Capabilities = &criv1.Capability{DropCapabilities: []string{"ALL"}}
		})},
		{"a capability more", "echo $((0x$(awk '/CapEff/{print $2}' /proc/self/status) >> 12 & 1))", "1", security(func(s *criv1.LinuxContainerSecurityContext) {
			s.Capabilities = &criv1.Capability{AddCapabilities: []string{"NET_ADMIN"}}
		})},
		{"terminal", "test -t 0 && test -t 1 && test -t 2 && echo yes", "yes", func(c *criv1.ContainerConfig) { c.Tty = true }},
	} {
		changes := []func(*criv1.ContainerConfig){}
		if c.change != nil {
			changes = append(changes, c.change)
		}
		made := p.start(t, fmt.Sprintf("c%d", i), c.script, changes...)
		made.awaitEnd(t)
		if got := strings.Join(made.lines(t), "\n"); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}

func directoriesAreMounted(t *testing.T, n *node) {
	p := n.run(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "of-the-node"), []byte("before"), 0o644); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(file, []byte("one file"), 0o644); err != nil {
		t.Fatal(err)
	}
	c := p.start(t, "app", "sleep 1000", func(c *criv1.ContainerConfig) {
		c.Mounts = []*criv1.Mount{
			{ContainerPath: "/rw", HostPath: dir}, {ContainerPath: "/ro", HostPath: dir, Readonly: true},
			{ContainerPath: "/etc/hosts", HostPath: file},
		}
	})
	if got := c.sh(t, "cat /rw/of-the-node /etc/hosts; echo of the sandbox > /rw/new; cat /ro/new"); got != "beforeone fileof the sandbox\n" {
		t.Errorf("the sandbox reads %q", got)
	}
	if got := harness.ReadFile(t, filepath.Join(dir, "new")); got != "of the sandbox\n" {
		t.Errorf("the node reads %q", got)
	}
	if got := c.sh(t, "touch /ro/x 2>&1; echo $?"); !strings.Contains(got, "Read-only file system") {
		t.Errorf("writing to what is read-only says %q", got)
	}
	if mounts := c.status(t).Mounts; len(mounts) != 3 {
		t.Errorf("the status has the mounts %v", mounts)
	}
}

// withEmptyDir makes an emptyDir volume, as kubelet does before it asks for a sandbox.
func withEmptyDir(t *testing.T, name string) func(*criv1.PodSandboxConfig) {
	return func(c *criv1.PodSandboxConfig) {
		if err := os.MkdirAll(emptyDir(c, name), 0o777); err != nil {
			t.Fatal(err)
		}
	}
}

func emptyDir(c *criv1.PodSandboxConfig, name string) string {
	return filepath.Join(cluster.KubeletDir, "pods", c.Metadata.Uid, "volumes", "kubernetes.io~empty-dir", name)
}

func emptyDirIsShared(t *testing.T, n *node) {
	p := n.run(t, withEmptyDir(t, "scratch"))
	mount := func(c *criv1.ContainerConfig) {
		c.Mounts = []*criv1.Mount{{ContainerPath: "/scratch", HostPath: emptyDir(p.config, "scratch")}}
	}
	a, b := p.start(t, "a", "sleep 1000", mount), p.start(t, "b", "sleep 1000", mount)
	a.sh(t, "echo hello > /scratch/x")
	if got := b.sh(t, "cat /scratch/x"); got != "hello\n" {
		t.Errorf("the other container reads %q", got)
	}
	if _, err := os.Stat(filepath.Join(emptyDir(p.config, "scratch"), "x")); err == nil {
		t.Error("the file is on the node: the volume is not in the sandbox")
	}
}

// withMemory makes an emptyDir volume in memory, as large as kubelet makes it: its
// sizeLimit, or what the pod may use.
func withMemory(t *testing.T, name, size string) func(*criv1.PodSandboxConfig) {
	return func(c *criv1.PodSandboxConfig) {
		withEmptyDir(t, name)(c)
		dir := emptyDir(c, name)
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(dir, 0); err != nil {
				t.Error(err)
			}
		})
	}
}

// memoryIsLimited fills a volume while it is new, after a sleep, and in another
// sandbox to which kubelet gives more.
func memoryIsLimited(t *testing.T, n *node) {
	start := func(p *pod) *container {
		return p.start(t, "app", "sleep 1000", func(c *criv1.ContainerConfig) {
			c.Mounts = []*criv1.Mount{{ContainerPath: "/scratch", HostPath: emptyDir(p.config, "scratch")}}
		})
	}
	wantLimit := func(when string, c *container) {
		t.Helper()
		if got := c.sh(t, "head -c 4194304 /dev/zero > /scratch/x; stat -c %s /scratch/x; rm /scratch/x"); got != "2097152\n" {
			t.Errorf("%s, this many bytes go into the volume: %s", when, got)
		}
	}
	p := n.run(t, withMemory(t, "scratch", "2m"))
	c := start(p)
	wantLimit("at first", c)
	c.pause(t)
	n.Node.Ateom(t, "tasks", "resume", c.id)
	wantLimit("after a sleep", c)
	id := harness.LastLine(n.Node.Ateom(t, "tasks", "commit", "--scope", "Full", c.id))
	p.remove(t)
	q := n.run(t, withMemory(t, "scratch", "8m"), func(c *criv1.PodSandboxConfig) {
		c.Annotations["ateom.dev/restore-from"], c.Annotations["ateom.dev/store"] = id, "dir"
	})
	wantLimit("in another sandbox", start(q))
}

func processesAreShared(t *testing.T, n *node) {
	p := n.run(t, func(c *criv1.PodSandboxConfig) {
		c.Linux.SecurityContext.NamespaceOptions.Pid = criv1.NamespaceMode_POD
	})
	p.start(t, "a", "exec sleep 4321")
	b := p.start(t, "b", "sleep 1000")
	if got := b.sh(t, "ps"); !strings.Contains(got, "sleep 4321") {
		t.Errorf("one container does not see the other's processes: %s", got)
	}
	q := n.run(t)
	q.start(t, "a", "exec sleep 4321")
	b = q.start(t, "b", "sleep 1000")
	if got := b.sh(t, "ps"); strings.Contains(got, "sleep 4321") {
		t.Errorf("one container sees the other's processes: %s", got)
	}
}

func addressIsReached(t *testing.T, n *node) {
	p := n.run(t)
	p.start(t, "web", "mkdir /www; echo hello > /www/x; exec busybox httpd -f -p 8080 -h /www")
	other := p.start(t, "other", "sleep 1000")
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	harness.Eventually(t, func() error {
		resp, err := client.Get("http://" + p.status(t).Network.Ip + ":8080/x")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); string(b) != "hello\n" {
			return fmt.Errorf("the server says %q, %v", b, err)
		}
		return nil
	})
	if got := other.sh(t, "wget -qO- http://127.0.0.1:8080/x"); got != "hello\n" {
		t.Errorf("the other container's loopback answers %q", got)
	}
}

// A privileged container has all of gVisor's capabilities and none of the node's
// devices: the sandbox is its own, and the node is not.
func privilegesStayInside(t *testing.T, n *node) {
	p := n.run(t, func(c *criv1.PodSandboxConfig) { c.Linux.SecurityContext.Privileged = true })
	c := p.start(t, "app", "sleep 1000", func(c *criv1.ContainerConfig) { c.Linux.SecurityContext.Privileged = true })
	if got := c.sh(t, "mount -t tmpfs none /mnt 2>&1 || mkdir -p /mnt && mount -t tmpfs none /mnt && echo mounted"); !strings.Contains(got, "mounted") {
		t.Errorf("it cannot mount in its sandbox: %s", got)
	}
	if got := c.sh(t, "dmesg | head -3; uname -v"); !strings.Contains(got, "gVisor") {
		t.Errorf("its kernel is %s", got)
	}
	// containerd names the node's devices to it, and gVisor has none of them.
	if got := c.sh(t, "for f in $(ls -d /dev/*); do if [ -b $f ] && head -c1 $f >/dev/null 2>&1; then echo $f; fi; done; cat /dev/kmsg 2>&1 || true"); !strings.Contains(got, "cat: ") || strings.Contains(got, "/dev/loop") || strings.Contains(got, "/dev/vd") {
		t.Errorf("it has the node's devices: %s", got)
	}
}
