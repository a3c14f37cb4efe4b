// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Names of containerd's plugin for Kubernetes in its configuration: version 3,
// which containerd 2 introduced, and version 2, which 1.x has.
const (
	criPlugin3 = "io.containerd.cri.v1.runtime"
	criPlugin2 = "io.containerd.grpc.v1.cri"
)

// handler is what RuntimeClasses call the runtime.
const handler = "ateom"

type table = map[string]any

// dropIn returns a configuration file that adds the runtime to what the main
// file and those that it imports say.
//
// containerd 1.x takes a plugin's section from the last file that has one,
// instead of merging them: there the drop-in repeats the section in force.
func dropIn(root, main string, shim string) ([]byte, error) {
	config, err := readTOML(onNode(root, main))
	if err != nil {
		return nil, err
	}
	version := versionOf(config)
	runtime := table{
		"runtime_type": runtimeType, "runtime_path": shim, "pod_annotations": []string{"ateom.dev/*"},
	}
	plugin := table{}
	name := criPlugin3
	if version < 3 {
		name = criPlugin2
		if plugin, err = section(root, main, config); err != nil {
			return nil, err
		}
	}
	runtimes := subtable(subtable(plugin, "containerd"), "runtimes")
	if version < 3 && len(runtimes) == 0 {
		// What containerd 1.x has as long as nobody names a runtime (its DefaultConfig),
		// and without which its CRI plugin does not load.
		runtimes["runc"] = table{"runtime_type": "io.containerd.runc.v2"}
	}
	runtimes[handler] = runtime
	b, err := toml.Marshal(table{"version": version, "plugins": table{name: plugin}})
	if err != nil {
		return nil, fmt.Errorf("encode drop-in: %w", err)
	}
	return append([]byte("# Written by ateom's installer, which replaces it.\n"), b...), nil
}

// dirOf is the directory on the node that a drop-in takes the shim's binary from,
// "" if it is none of ours.
func dirOf(root, dropIn string) string {
	config, err := readTOML(onNode(root, dropIn))
	if err != nil {
		return "" // somebody else's
	}
	for _, name := range []string{criPlugin3, criPlugin2} {
		at := config
		for _, key := range []string{"plugins", name, "containerd", "runtimes", handler} {
			at, _ = at[key].(table)
		}
		if shim, _ := at["runtime_path"].(string); filepath.Base(shim) == shimName {
			return filepath.Dir(filepath.Dir(shim))
		}
	}
	return ""
}

// versionOf is the version that a configuration says it has; 1 is what a file
// without one has, which containerd 1.x reads as 2 for plugins' full names.
func versionOf(config table) int64 {
	if v, ok := config["version"].(int64); ok {
		return v
	}
	return 2
}

// section returns the CRI plugin's section that containerd 1.x goes by, without ours.
func section(root, main string, config table) (table, error) {
	found := table{}
	take := func(c table) {
		plugins, _ := c["plugins"].(table)
		if s, ok := plugins[criPlugin2].(table); ok {
			found = s
		}
	}
	take(config)
	for _, pattern := range imports(config) {
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(filepath.Dir(main), pattern)
		}
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, fmt.Errorf("import %s: %w", pattern, err)
		}
		for _, path := range paths {
			if filepath.Base(path) == dropInName {
				continue
			}
			c, err := readTOML(onNode(root, strings.TrimPrefix(path, root)))
			if err != nil {
				return nil, err
			}
			take(c)
		}
	}
	return found, nil
}

// subtable returns the table under a key, which it makes if need be.
func subtable(t table, key string) table {
	sub, ok := t[key].(table)
	if !ok {
		sub = table{}
	} else {
		sub = maps.Clone(sub)
	}
	t[key] = sub
	return sub
}

func imports(config table) []string {
	var patterns []string
	list, _ := config["imports"].([]any)
	for _, v := range list {
		if s, ok := v.(string); ok {
			patterns = append(patterns, s)
		}
	}
	return patterns
}

func readTOML(path string) (table, error) {
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return table{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read containerd's configuration: %w", err)
	}
	config := table{}
	if err := toml.Unmarshal(b, &config); err != nil {
		return nil, fmt.Errorf("read containerd's configuration %s: %w", path, err)
	}
	return config, nil
}
