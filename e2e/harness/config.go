// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"text/template"

	"github.com/pelletier/go-toml/v2"

	"github.com/ateom/ateom/e2e/spaces"
	"github.com/ateom/ateom/shim/config"
)

// A Config is what a test may choose of a node's config.toml; what is empty
// gets a value: programs of BinDir, directories of the node, one store named
// "dir" in a directory of the node.
type Config struct {
	config.Config
	// Daemon is the program that is containerd: "containerd", which is the newest
	// release, by default, or "containerd-RELEASE".
	Daemon string
	// ShimDir is the directory where containerd finds the shim, by default BinDir.
	ShimDir string
	// CRI makes the node's containerd serve a kubelet.
	CRI *CRI
}

// complete fills in what is empty.
func (c Config) complete(dir string) (Config, error) {
	if c.CRI != nil {
		// A node of Kubernetes is as its installer leaves it.
		c.StateDir, c.RunDir = config.Default().StateDir, config.Default().RunDir
	}
	for name, path := range map[string]*string{"runsc": &c.Runsc, "ateom-gofer": &c.Gofer} {
		if *path != "" || c.CRI != nil {
			continue
		}
		found, err := Program(name)
		if err != nil {
			return c, err
		}
		*path = found
	}
	for path, name := range map[*string]string{&c.StateDir: "lib", &c.RunDir: "run"} {
		if *path == "" {
			*path = filepath.Join(dir, name)
		}
	}
	if c.Daemon == "" {
		c.Daemon = "containerd"
	}
	if c.CheckpointIO == "" {
		c.CheckpointIO = config.Gofer
	}
	if len(c.Stores) == 0 {
		store := filepath.Join(dir, "store")
		if c.CRI != nil {
			store = filepath.Join(c.StateDir, "store") // where the node's agent finds it
		}
		if err := os.MkdirAll(store, 0o700); err != nil {
			return c, err
		}
		c.Stores = map[string]config.Store{"dir": {URL: "file://" + store}}
		c.DefaultStore = "dir"
	}
	return c, nil
}

// Write writes what differs from nothing, as an operator does.
func (c Config) Write(path string) error {
	all, err := toml.Marshal(c.Config)
	if err != nil {
		return fmt.Errorf("encode configuration: %w", err)
	}
	settings := map[string]any{}
	if err := toml.Unmarshal(all, &settings); err != nil {
		return fmt.Errorf("encode configuration: %w", err)
	}
	maps.DeleteFunc(settings, func(_ string, value any) bool {
		v := reflect.ValueOf(value)
		return v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0
	})
	b, err := toml.Marshal(settings)
	if err != nil {
		return fmt.Errorf("encode configuration: %w", err)
	}
	return os.WriteFile(path, b, 0o600)
}

// daemonConfig is a containerd that has nothing to do with Kubernetes, unless
// there is a CRI, and writes nowhere but below its directory. The CRI plugin of 1.x
// does not load without NRI, which does nothing by default.
var daemonConfig = template.Must(template.New("").Parse(`version = {{.Version}}
root = "{{.Dir}}/root"
state = "{{.Dir}}/state"
disabled_plugins = [{{if not .CRI}}"io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime",
  "io.containerd.podsandbox.controller.v1.podsandbox",{{end}}
  {{if not (and .CRI (eq .Version 2))}}"io.containerd.nri.v1.nri", {{end}}"io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
  "io.containerd.internal.v1.opt"]
[grpc]
  address = "{{.Address}}"
[ttrpc]
  address = "{{.Address}}.ttrpc"
[debug]
  level = "debug"
{{with .CRI}}{{if eq $.Version 2}}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{{.PauseImage}}"
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "{{.CNIConfig}}"
{{else}}
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{{.PauseImage}}"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = "{{.CNIConfig}}"
{{end}}{{end}}`))

// A CRI is what containerd's plugin for Kubernetes is told. Its node has
// everything where nodes have it, and nothing of ateom before that is installed;
// there can be one in a process.
type CRI struct {
	// PauseImage is the reference of the image of pods' first containers.
	PauseImage string
	// CNIConfig is a directory of network configurations.
	CNIConfig string
}

// Places of a node that serves a kubelet.
const (
	criDaemonConfig = "/etc/containerd/config.toml"
	criAddress      = spaces.ShimSockets + "/containerd.sock"
	criConfig       = "/etc/ateom/config.toml"
)

// criNamespace is containerd's namespace of everything of Kubernetes.
const criNamespace = "k8s.io"

// daemonConfigPath is containerd's configuration.
func (n *Node) daemonConfigPath() string {
	if n.Config.CRI != nil {
		return criDaemonConfig
	}
	return filepath.Join(n.Dir, "containerd.toml")
}

func (n *Node) writeDaemonConfig() error {
	var b bytes.Buffer
	data := struct {
		Dir, Address string
		Version      int // of the configuration's form
		CRI          *CRI
	}{n.Dir, n.Address, 3, n.Config.CRI}
	if n.Config.Daemon == "containerd-1.7" {
		data.Version = 2
	}
	if err := daemonConfig.Execute(&b, data); err != nil {
		return err
	}
	path := n.daemonConfigPath()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o600)
}

// leftovers says what ateom left in a node's directories after all its tasks
// were deleted.
func (n *Node) leftovers() error {
	var errs []error
	for _, pattern := range []string{
		filepath.Join(n.Config.RunDir, "sandboxes", "*", "*"),
		filepath.Join(n.Config.RunDir, "runsc", "*", "*.state"),
		filepath.Join(n.Config.RunDir, "runsc", "*", "*.sock"),
		filepath.Join(n.Config.StateDir, "drafts", "*"),
		filepath.Join(n.Config.StateDir, "origins", "*", "*"),
		filepath.Join(n.Config.StateDir, "volumes", "*", "*"),
		filepath.Join(n.Dir, "state", "io.containerd.runtime.v2.task", "*", "*"),
	} {
		found, err := filepath.Glob(pattern)
		errs = append(errs, err)
		for _, path := range found {
			if strings.HasPrefix(filepath.Base(path), ".") {
				continue // a bundle that containerd was removing when it was killed: it never looks again
			}
			errs = append(errs, fmt.Errorf("close node: left behind: %s", path))
		}
	}
	return errors.Join(errs...)
}
