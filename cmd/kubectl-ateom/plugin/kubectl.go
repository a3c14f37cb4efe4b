// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"

	"github.com/urfave/cli/v2"
)

// A kubectl runs the program of that name with the user's connection flags.
type kubectl struct {
	flags  []string
	agents string // namespace of the node agents
	own    string // namespace that the user has named
}

func newKubectl(c *cli.Context) *kubectl {
	k := &kubectl{agents: c.String("agent-namespace"), own: c.String("namespace")}
	for _, name := range []string{"kubeconfig", "context", "cluster", "user", "as"} {
		if value := c.String(name); value != "" {
			k.flags = append(k.flags, "--"+name+"="+value)
		}
	}
	for _, group := range c.StringSlice("as-group") {
		k.flags = append(k.flags, "--as-group="+group)
	}
	return k
}

func (k *kubectl) run(ctx context.Context, stdin []byte, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "kubectl", append(k.flags, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if text := strings.TrimSpace(stderr.String()); text != "" {
			return nil, fmt.Errorf("%s", text)
		}
		return nil, fmt.Errorf("run kubectl: %w", err)
	}
	return stdout.Bytes(), nil
}

// namespace is the one that the user means.
func (k *kubectl) namespace(ctx context.Context) (string, error) {
	if k.own != "" {
		return k.own, nil
	}
	out, err := k.run(ctx, nil, "config", "view", "--minify", "-o", "jsonpath={..namespace}")
	if err != nil {
		return "", err
	}
	if name := string(out); name != "" {
		return name, nil
	}
	return "default", nil
}

// pod is what the API server says of a pod.
type pod struct {
	Metadata struct{ Namespace string }
	Spec     struct {
		NodeName      string
		RestartPolicy string
	}
	Status struct {
		ContainerStatuses []struct {
			Name  string
			State struct{ Waiting *struct{} }
		}
	}
}

// checkPause refuses a pause that would cost the pod a container: kubelet's start of one
// is refused as long as the pod sleeps, and there is no second one.
func (p *pod) checkPause(name string) error {
	if p.Spec.RestartPolicy != "Never" {
		return nil
	}
	for _, c := range p.Status.ContainerStatuses {
		if c.State.Waiting != nil {
			return fmt.Errorf("container %s of pod %s has not started yet, and with restartPolicy Never kubelet would not try it a second time; pause the pod when it runs", c.Name, name)
		}
	}
	return nil
}

// pod finds a pod that is on a node.
func (k *kubectl) pod(ctx context.Context, name string) (*pod, error) {
	args := []string{"get", "pod", name, "-o", "json"}
	if k.own != "" {
		args = append(args, "--namespace="+k.own)
	}
	out, err := k.run(ctx, nil, args...)
	if err != nil {
		return nil, err
	}
	var found pod
	if err := json.Unmarshal(out, &found); err != nil {
		return nil, fmt.Errorf("read pod %s: %w", name, err)
	}
	if found.Spec.NodeName == "" {
		return nil, fmt.Errorf("pod %s is on no node yet", name)
	}
	return &found, nil
}

// agent finds the agent's pod on a node, or on any if node is empty.
func (k *kubectl) agent(ctx context.Context, node string) (string, error) {
	selector := "status.phase=Running"
	if node != "" {
		selector += ",spec.nodeName=" + node
	}
	out, err := k.run(ctx, nil, "get", "pods", "--namespace="+k.agents, "--selector=app.kubernetes.io/name=ateom-node",
		"--field-selector="+selector, "-o", "jsonpath={.items[*].metadata.name}")
	if err != nil {
		return "", err
	}
	names := strings.Fields(string(out))
	if len(names) == 0 {
		return "", fmt.Errorf("no agent runs in namespace %s on node %q; is the node labelled ateom.dev/node=true?", k.agents, node)
	}
	return names[0], nil
}
