// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ateom/ateom/e2e/harness"
)

// limit bounds a command of kubectl, and a wait for what Kubernetes does: there
// several programs act one after the other, on a machine that may be busy.
const limit = 4 * harness.Limit

// waitLimit leaves kubectl the time to say what it has waited for.
const waitLimit = limit - 20*time.Second

// lookPeriod is between two looks, most of which are a process.
const lookPeriod = 200 * time.Millisecond

// Eventually is harness.Eventually for what Kubernetes does.
func Eventually(t testing.TB, check func() error) {
	t.Helper()
	if err := harness.PollFor(limit, lookPeriod, check); err != nil {
		t.Fatal(err)
	}
}

// run runs kubectl as the administrator, within limit.
func (k *Cluster) run(stdin []byte, args ...string) (harness.Result, error) {
	path, err := harness.Program("kubectl")
	if err != nil {
		return harness.Result{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, append([]string{"--kubeconfig", k.Kubeconfig}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	cmd.WaitDelay = time.Second
	began := time.Now()
	err = cmd.Run()
	r := harness.Result{Stdout: stdout.String(), Stderr: stderr.String(), Took: time.Since(began), Code: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return r, fmt.Errorf("kubectl %s: %w", strings.Join(args, " "), err)
	}
	return r, nil
}

// try runs kubectl, whose failure is an error.
func (k *Cluster) try(args ...string) error {
	r, err := k.run(nil, args...)
	if err == nil && r.Code != 0 {
		err = fmt.Errorf("kubectl %s: %s", strings.Join(args, " "), r.Stderr)
	}
	return err
}

// Try runs kubectl and tells how it ended.
func (k *Cluster) Try(t testing.TB, args ...string) harness.Result {
	t.Helper()
	r, err := k.run(nil, args...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Kubectl runs kubectl, which must succeed, and returns its output.
func (k *Cluster) Kubectl(t testing.TB, args ...string) string {
	t.Helper()
	r := k.Try(t, args...)
	if r.Code != 0 {
		t.Fatalf("kubectl %s: exit code %d\n%s%s", strings.Join(args, " "), r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// Await runs a command of kubectl that waits for something, which must come.
func (k *Cluster) Await(t testing.TB, args ...string) {
	t.Helper()
	r := k.Try(t, append(args, "--timeout="+waitLimit.String())...)
	if r.Code != 0 {
		t.Fatalf("kubectl %s: %s%s\n%s\n%s", strings.Join(args, " "), r.Stdout, r.Stderr, k.Try(t, "describe", "pods", "--all-namespaces").Stdout, k.Logs())
	}
}

// Apply applies manifests, which are removed when the test ends.
func (k *Cluster) Apply(t testing.TB, manifests string) {
	t.Helper()
	k.ApplyIn(t, "", manifests)
}

// ApplyIn is Apply for objects that name no namespace.
func (k *Cluster) ApplyIn(t testing.TB, namespace, manifests string) {
	t.Helper()
	if r, err := k.run([]byte(manifests), "apply", "--namespace="+namespace, "-f", "-"); err != nil || r.Code != 0 {
		t.Fatalf("apply: %v %s%s\n%s", err, r.Stdout, r.Stderr, manifests)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(k.Logs())
		}
		r, err := k.run([]byte(manifests), "delete", "--namespace="+namespace, "--ignore-not-found", "--now", "-f", "-")
		if err != nil || r.Code != 0 {
			t.Errorf("delete what was applied: %v %s%s\n%s", err, r.Stdout, r.Stderr, k.Logs())
		}
	})
}

// AwaitWarning waits until an event warns of a pod in words that are wanted.
func (k *Cluster) AwaitWarning(t testing.TB, namespace, pod, want string) {
	t.Helper()
	Eventually(t, func() error {
		events := k.Kubectl(t, "get", "events", "-n", namespace, "--field-selector", "involvedObject.name="+pod+",type=Warning", "-o", "jsonpath={.items[*].message}")
		if !strings.Contains(events, want) {
			return fmt.Errorf("no event of pod %s says %q: %s", pod, want, events)
		}
		return nil
	})
}

// DryRun has the API server say whether it would apply manifests; unknown fields
// are an error.
func (k *Cluster) DryRun(t testing.TB, manifests string) harness.Result {
	t.Helper()
	r, err := k.run([]byte(manifests), "apply", "--dry-run=server", "--validate=strict", "-f", "-")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Get decodes an object of the API into v.
func (k *Cluster) Get(t testing.TB, v any, args ...string) {
	t.Helper()
	out := k.Kubectl(t, append([]string{"get", "-o", "json"}, args...)...)
	if err := json.Unmarshal([]byte(out), v); err != nil {
		t.Fatalf("decode %q: %v", args, err)
	}
}

// Forward forwards a free local port to one of a pod, until the returned function
// is called, and returns the local address.
func (k *Cluster) Forward(t testing.TB, pod string, port int) (address string, stop func()) {
	t.Helper()
	path, err := harness.Program("kubectl")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--kubeconfig", k.Kubeconfig, "port-forward", "--address=127.0.0.1", "pod/"+pod, fmt.Sprintf(":%d", port))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(stop)
	line, err := bufio.NewReader(stdout).ReadString('\n')
	_, rest, ok := strings.Cut(line, "Forwarding from ")
	if err != nil || !ok {
		stop()
		t.Fatalf("kubectl port-forward says %q, %v: %s", line, err, stderr.String())
	}
	address, _, _ = strings.Cut(rest, " ")
	return address, stop
}

// GetJSON decodes what an HTTP server answers into v.
func GetJSON(url string, v any) error {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("get %s: %s", url, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(v)
}
