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

// node finds where a pod runs, and its namespace.
func (k *kubectl) node(ctx context.Context, pod string) (node, namespace string, err error) {
	args := []string{"get", "pod", pod, "-o", "json"}
	if k.own != "" {
		args = append(args, "--namespace="+k.own)
	}
	out, err := k.run(ctx, nil, args...)
	if err != nil {
		return "", "", err
	}
	var found struct {
		Metadata struct{ Namespace string }
		Spec     struct{ NodeName string }
	}
	if err := json.Unmarshal(out, &found); err != nil {
		return "", "", fmt.Errorf("read pod %s: %w", pod, err)
	}
	if found.Spec.NodeName == "" {
		return "", "", fmt.Errorf("pod %s is on no node yet", pod)
	}
	return found.Spec.NodeName, found.Metadata.Namespace, nil
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
