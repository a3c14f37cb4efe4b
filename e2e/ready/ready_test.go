// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package ready

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/client"

	"github.com/ateom/ateom/e2e/bench/lab"
	"github.com/ateom/ateom/e2e/harness"
)

// probes are one of each kind, with what its error says of a guest that is busy.
var probes = []struct{ name, action, busy string }{
	{"tcpSocket", `"tcpSocket":{"port":8081}`, "tcpSocket :8081 did not succeed within 5s"},
	{"httpGet", `"httpGet":{"port":"8082","path":"/x"}`, "httpGet http://:8082/x did not succeed within 5s: status 503"},
	{"https", `"httpGet":{"port":8083,"scheme":"HTTPS"}`, "httpGet https://:8083/ did not succeed within 5s: status 503"},
	{"grpc", `"grpc":{"port":8084,"service":"door"}`, `grpc :8084 service "door" did not succeed within 5s: service "door" is NOT_SERVING`},
	{"exec", `"exec":{"command":["/guest","check"]}`, `exec ["/guest" "check"] did not succeed within 5s: exit status 3`},
}

// annotation is a probe that is tried for five seconds, so that a busy machine can answer.
func annotation(actions ...string) string {
	var list []string
	for _, a := range actions {
		list = append(list, "{"+a+`,"periodSeconds":5,"timeoutSeconds":5,"failureThreshold":1}`)
	}
	return "[" + strings.Join(list, ",") + "]"
}

func guest(t *testing.T, network *lab.Net, annotations map[string]string) harness.Container {
	return harness.GuestContainer(t, "./guest", network, annotations)
}

// post tells the guest something.
func post(t *testing.T, network *lab.Net, path string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("http://%s:8080/%s", network.IP, path), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", path, resp.Status)
	}
}

// A resume waits for every kind of probe; one that does not succeed leaves the
// sandbox paused, says why, and can be tried again.
func TestEveryKindOfProbe(t *testing.T) {
	t.Parallel()
	everyKind(t, harness.Shared(t))
}

func everyKind(t *testing.T, n *harness.Node) {
	for _, p := range probes {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			network := harness.NewNetwork(t)
			task := n.Run(t, guest(t, network, map[string]string{"ateom.dev/readiness": annotation(p.action)}))
			task.AwaitLog(t, "serving")
			ctx := n.Context(t)
			for range 2 {
				if err := task.Pause(ctx); err != nil {
					t.Fatal(err)
				}
				if err := task.Resume(ctx); err != nil {
					t.Fatal(err)
				}
			}
			post(t, network, "busy")
			if err := task.Pause(ctx); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				err := task.Resume(ctx)
				if err == nil {
					t.Fatal("a resume succeeded whose probe cannot")
				}
				for _, want := range []string{p.busy, "container " + task.ID, "it is paused again", "intact", "last output", "ready: false"} {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("the error does not say %q: %v", want, err)
					}
				}
				task.WantState(t, client.Paused)
			}
		})
	}
}

func TestKeepLetsASandboxRunThatIsNotReady(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	network := harness.NewNetwork(t)
	container := guest(t, network, map[string]string{
		"ateom.dev/readiness": annotation(probes[0].action), "ateom.dev/on-not-ready": "Keep",
	})
	task := n.Run(t, container)
	task.AwaitLog(t, "serving")
	ctx := n.Context(t)
	post(t, network, "busy")
	if err := task.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	wantUnready := func() {
		t.Helper()
		if err := task.Resume(ctx); err == nil || !strings.Contains(err.Error(), "it runs on, not ready") || !strings.Contains(err.Error(), probes[0].busy) {
			t.Errorf("Resume = %v", err)
		}
		task.WantState(t, client.Running)
	}
	wantUnready()
	// It is watched like any other that was resumed: it can be paused again, and
	// its end is noticed.
	if err := task.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	wantUnready()
	post(t, network, "ready")
	if code := task.KillAndWait(t, 9); code != 137 {
		t.Errorf("exit code %d", code)
	}
}

// A new task from a snapshot is ready when Start returns; the policy decides
// what becomes of one that is not.
func TestStartFromASnapshotWaitsToo(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	network := harness.NewNetwork(t)
	annotations := map[string]string{"ateom.dev/readiness": annotation(probes[0].action, probes[3].action)}
	task := n.Run(t, guest(t, network, annotations))
	task.AwaitLog(t, "serving")
	commit := func() string { return harness.LastLine(n.Ateom(t, "tasks", "commit", "--scope", "Full", task.ID)) }
	ready := commit()
	post(t, network, "busy")
	busy := commit()

	wake := func(from, policy string) (*harness.Task, *lab.Net, error) {
		network := harness.NewNetwork(t)
		c := guest(t, network, map[string]string{
			"ateom.dev/readiness": annotations["ateom.dev/readiness"], "ateom.dev/restore-from": from, "ateom.dev/store": "dir", "ateom.dev/on-not-ready": policy,
		})
		task, err := n.TryRun(t, c)
		return task, network, err
	}
	woken, at, err := wake(ready, "")
	if err != nil {
		t.Fatal(err)
	}
	post(t, at, "busy")
	woken.WantState(t, client.Running)

	if _, _, err := wake(busy, "Kill"); err == nil || !strings.Contains(err.Error(), busy) || !strings.Contains(err.Error(), "did not succeed within 5s") {
		t.Errorf("start of a busy snapshot: %v", err)
	}
	kept, at, err := wake(busy, "Keep")
	if err != nil {
		t.Fatalf("start of a busy snapshot that is to be kept: %v", err)
	}
	kept.WantState(t, client.Running)
	post(t, at, "ready")
}

// The memory of a group comes back with its last container; nobody waits for
// the first alone.
func TestProbesOfAGroupWaitForItsLastContainer(t *testing.T) {
	t.Parallel()
	n := harness.Shared(t)
	network := harness.NewNetwork(t)
	group := func(name string, network *lab.Net, more map[string]string) []harness.Container {
		var list []harness.Container
		for _, container := range []string{"main", "side"} {
			annotations := map[string]string{
				"io.containerd.ateom.v1.group": name, "io.kubernetes.cri.container-name": container,
				"ateom.dev/readiness": `[{"container":"main","tcpSocket":{"port":8081},"failureThreshold":1},{"container":"side","exec":{"command":["true"]}}]`,
			}
			for k, v := range more {
				annotations[k] = v
			}
			list = append(list, guest(t, network, annotations))
		}
		list[1].Args = []string{"sleep", "1000"}
		return list
	}
	var tasks []*harness.Task
	for _, c := range group(harness.NewID(t), network, nil) {
		tasks = append(tasks, n.Run(t, c))
	}
	tasks[0].AwaitLog(t, "serving")
	id := harness.LastLine(n.Ateom(t, "tasks", "commit", "--scope", "Full", tasks[0].ID))
	for _, c := range group(harness.NewID(t), harness.NewNetwork(t), map[string]string{"ateom.dev/restore-from": id, "ateom.dev/store": "dir"}) {
		if _, err := n.TryRun(t, c); err != nil {
			t.Fatal(err)
		}
	}
}
