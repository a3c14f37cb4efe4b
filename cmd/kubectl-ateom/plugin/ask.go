// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"

	"github.com/ateom/ateom/cmd/wire"
)

// forwarding is what kubectl port-forward says when it is ready.
var forwarding = regexp.MustCompile(`^Forwarding from (127\.0\.0\.1:\d+) ->`)

// ask asks an agent; a body makes the request a POST. A failure that the agent
// tells of is an error.
func (k *kubectl) ask(ctx context.Context, agent, path string, body any) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the forwarding
	address, wait, err := k.forward(ctx, agent)
	if err != nil {
		return nil, fmt.Errorf("reach the agent %s: %w", agent, err)
	}
	defer wait()
	defer cancel()
	method, content := http.MethodGet, []byte(nil)
	if body != nil {
		method = http.MethodPost
		if content, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+address+path, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask the agent %s: %w", agent, err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("ask the agent %s: %w", agent, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask the agent %s: %s: %s", agent, resp.Status, bytes.TrimSpace(out))
	}
	return out, failureOf(out)
}

// forward forwards a free local port to an agent, until ctx ends; wait returns
// when kubectl has.
func (k *kubectl) forward(ctx context.Context, agent string) (address string, wait func(), err error) {
	cmd := exec.CommandContext(ctx, "kubectl", append(k.flags, "port-forward", "--namespace="+k.agents, "--address=127.0.0.1", "pod/"+agent, ":"+wire.VerbsPort)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("run kubectl: %w", err)
	}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if m := forwarding.FindStringSubmatch(lines.Text()); m != nil {
			return m[1], func() {
				_, _ = io.Copy(io.Discard, stdout)
				_ = cmd.Wait() // it was told to end
			}, nil
		}
	}
	if err := cmd.Wait(); err != nil {
		return "", nil, fmt.Errorf("kubectl port-forward: %s", strings.TrimSpace(stderr.String()))
	}
	return "", nil, fmt.Errorf("kubectl port-forward ended: %s", strings.TrimSpace(stderr.String()))
}
