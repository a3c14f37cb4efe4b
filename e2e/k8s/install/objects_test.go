// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// An object of Kubernetes, or a part of one.
type object map[string]any

// daemonSet is where objects finds the DaemonSet.
const daemonSet = "DaemonSet " + agentNamespace + "/ateom-node"

// list returns the objects that a field is a list of.
func list(o object, field string) (out []object) {
	items, _ := o[field].([]any)
	for _, v := range items {
		out = append(out, v.(map[string]any))
	}
	return out
}

// pod is what an object makes pods by.
func (o object) pod() object {
	return object(o["spec"].(map[string]any))["template"].(map[string]any)["spec"].(map[string]any)
}

// containers are those of the pods that an object makes.
func (o object) containers() []object {
	return append(list(o.pod(), "initContainers"), list(o.pod(), "containers")...)
}

func (o object) container(name string) object {
	for _, c := range o.containers() {
		if c["name"] == name {
			return c
		}
	}
	return nil
}

// command is what a container runs.
func (o object) command(container string) string {
	c := o.container(container)
	words := []string{}
	for _, field := range []string{"command", "args"} {
		more, _ := c[field].([]any)
		for _, w := range more {
			words = append(words, fmt.Sprint(w))
		}
	}
	return strings.Join(words, " ")
}

// mounts are the paths in a container with the paths of the node that are
// mounted there, "" for what is not the node's.
func (o object) mounts(container string) map[string]string {
	from := map[any]string{}
	for _, v := range list(o.pod(), "volumes") {
		host, _ := v["hostPath"].(map[string]any)
		from[v["name"]], _ = host["path"].(string)
	}
	found := map[string]string{}
	for _, m := range list(o.container(container), "volumeMounts") {
		found[fmt.Sprint(m["mountPath"])] = from[m["name"]]
	}
	return found
}

// objects decodes manifests: each object under its kind, namespace and name, with
// lists whose order means nothing by name.
func objects(t *testing.T, manifests string) map[string]object {
	t.Helper()
	found := map[string]object{}
	for _, text := range strings.Split("\n"+manifests, "\n---\n") {
		var o object
		if err := yaml.UnmarshalStrict([]byte(text+"\n"), &o); err != nil {
			t.Fatalf("decode an object: %v\n%s", err, text)
		}
		if o == nil {
			continue // nothing but comments
		}
		meta, _ := o["metadata"].(map[string]any)
		name := fmt.Sprint(meta["name"])
		if ns, ok := meta["namespace"]; ok {
			name = fmt.Sprint(ns, "/", name)
		}
		found[fmt.Sprint(o["kind"], " ", name)] = o
	}
	if o, ok := found[daemonSet]; ok {
		sortBy(o.pod(), "volumes", "name")
		for _, c := range o.containers() {
			sortBy(c, "volumeMounts", "mountPath")
		}
	}
	return found
}

func sortBy(o object, field, key string) {
	items, _ := o[field].([]any)
	slices.SortFunc(items, func(a, b any) int {
		return strings.Compare(fmt.Sprint(a.(map[string]any)[key]), fmt.Sprint(b.(map[string]any)[key]))
	})
}
