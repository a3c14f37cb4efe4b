// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package config is the node's configuration: which runsc, where state lives,
// which stores there are. Operators write it; nothing that a container or a
// snapshot says may change it.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/pelletier/go-toml/v2"

	"github.com/ateom/ateom/artifacts/job"
)

// Where the configuration is looked for.
const (
	// DefaultPath is read if nothing else is named; it need not exist.
	DefaultPath = "/etc/ateom/config.toml"
	// PathEnv is an environment variable that names another file, which must exist.
	PathEnv = "ATEOM_CONFIG"
)

// Config is the content of config.toml. docs/configuration.md describes it.
type Config struct {
	// Runsc is the path of the runsc binary. Empty: "runsc" beside the shim's
	// own binary, else in PATH.
	Runsc string `toml:"runsc"`
	// RunscBuilds are other builds of runsc that the node keeps for the Full
	// snapshots that they made; new sandboxes use Runsc.
	RunscBuilds []RunscBuild `toml:"runsc-builds"`
	// Gofer is the path of ateom-gofer. Empty: beside the shim's own binary, else in PATH.
	Gofer string `toml:"gofer"`
	// RunscFlags are global flags of runsc by name, without dashes.
	RunscFlags map[string]string `toml:"runsc-flags"`
	// StateDir keeps what must survive a reboot: snapshots, volumes, the cache.
	StateDir string `toml:"state-dir"`
	// CacheSize is how much of the file system of StateDir the cache of what was
	// fetched from stores may take; zero turns it off.
	CacheSize DiskSize `toml:"cache-size"`
	// RunDir keeps what need not: runsc's state, sockets, the shim's own notes.
	RunDir string `toml:"run-dir"`
	// DefaultStore is the store that is used where none is named.
	DefaultStore string `toml:"default-store"`
	// Stores by name.
	Stores map[string]Store `toml:"stores"`
	// KubeletDir is kubelet's root directory, below which it keeps pods' volumes.
	KubeletDir string `toml:"kubelet-dir"`
	// CheckpointIO chooses who moves checkpoint bytes: "gofer" (default) or "files".
	CheckpointIO CheckpointIO `toml:"checkpoint-io"`
	// Hydrate says how pages that nobody waits for are loaded once a sandbox is
	// ready: "full" (default) as fast as it goes, "lazy" at a trickle.
	Hydrate job.Pace `toml:"hydrate"`
}

// A RunscBuild is a build of runsc, known by the checksum of its binary, with its
// own gvisor-bin/ beside it.
type RunscBuild struct {
	Path string `toml:"path"`
	// SHA256 of the file at Path, in hexadecimal. What has another one is not run.
	SHA256 string `toml:"sha256"`
}

// CheckpointIO says who moves the bytes of a checkpoint.
type CheckpointIO string

const (
	// Gofer is the side-car that runsc starts as its checkpointgofer.
	Gofer CheckpointIO = "gofer"
	// Files is runsc itself, through plain files.
	Files CheckpointIO = "files"
)

// A Store is a named place for snapshots.
type Store struct {
	// URL as gocloud.dev/blob understands it: file:///dir, s3://bucket?region=…,
	// gs://bucket, azblob://container; `prefix=p/` places the snapshots below a prefix.
	URL string `toml:"url"`
	// Env is set for the process that opens the store, for credentials that
	// differ between stores.
	Env map[string]string `toml:"env"`
	// KeyFile holds the age secret key that everything in the store is
	// encrypted with, and after it older ones; empty means that nothing is, or
	// that KeyCommand says it. Losing a key loses the data.
	KeyFile string `toml:"key-file"`
	// KeyCommand is a program and its arguments that print what a KeyFile holds.
	KeyCommand []string `toml:"key-command"`
	// Namespaces are those of Kubernetes whose pods may use the store; none
	// means all.
	Namespaces []string `toml:"namespaces"`
	// Shared lets pods of all these namespaces see each other's snapshots. By
	// default each namespace has a part of the store for itself.
	Shared bool `toml:"shared"`
}

// Default returns the configuration that an empty file means.
func Default() *Config {
	return &Config{
		StateDir:     "/var/lib/ateom",
		CacheSize:    DiskSize{Percent: 10},
		RunDir:       "/run/ateom",
		KubeletDir:   "/var/lib/kubelet",
		CheckpointIO: Gofer,
		Hydrate:      job.PaceFull,
	}
}

// Load reads the file at path over the defaults, and body, TOML text again,
// over both. An empty path means what PathEnv names, else DefaultPath.
func Load(path, body string) (*Config, error) {
	mustExist := path != ""
	if path == "" {
		path = os.Getenv(PathEnv)
		mustExist = path != ""
	}
	if path == "" {
		path = DefaultPath
	}
	c := Default()
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !mustExist:
	case err != nil:
		return nil, fmt.Errorf("read configuration: %w", err)
	default:
		if err := c.merge(string(text)); err != nil {
			return nil, fmt.Errorf("read configuration %s: %w", path, err)
		}
	}
	if err := c.merge(body); err != nil {
		return nil, fmt.Errorf("read configuration from the runtime options: %w", err)
	}
	if err := c.resolve(); err != nil {
		return nil, fmt.Errorf("check configuration %s: %w", path, err)
	}
	return c, nil
}

// merge decodes text over c: scalars replace, stores and flags are added by name.
func (c *Config) merge(text string) error {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	stores, flags := c.Stores, c.RunscFlags
	c.Stores, c.RunscFlags = nil, nil
	d := toml.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(c); err != nil {
		var strict *toml.StrictMissingError
		if errors.As(err, &strict) {
			return fmt.Errorf("unknown setting %q: %w", strings.Join(strict.Errors[0].Key(), "."), errdefs.ErrInvalidArgument)
		}
		return fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
	}
	c.Stores = overlay(stores, c.Stores)
	c.RunscFlags = overlay(flags, c.RunscFlags)
	return nil
}

func overlay[V any](under, over map[string]V) map[string]V {
	if len(under)+len(over) == 0 {
		return nil
	}
	m := make(map[string]V, len(under)+len(over))
	maps.Copy(m, under)
	maps.Copy(m, over)
	return m
}

// reservedFlags are the flags of runsc that package runsc sets itself.
var reservedFlags = []string{"root", "log", "log-format", "panic-log"}

// resolve checks what can be checked without touching anything and finds the binaries.
func (c *Config) resolve() error {
	for _, d := range []struct{ key, path string }{{"state-dir", c.StateDir}, {"run-dir", c.RunDir}, {"kubelet-dir", c.KubeletDir}} {
		if !filepath.IsAbs(d.path) {
			return fmt.Errorf("%s: want an absolute path, got %q: %w", d.key, d.path, errdefs.ErrInvalidArgument)
		}
	}
	if c.CheckpointIO != Gofer && c.CheckpointIO != Files {
		return fmt.Errorf("checkpoint-io: want %q or %q, got %q: %w", Gofer, Files, c.CheckpointIO, errdefs.ErrInvalidArgument)
	}
	if c.Hydrate != job.PaceFull && c.Hydrate != job.PaceLazy {
		return fmt.Errorf("hydrate: want %q or %q, got %q: %w", job.PaceFull, job.PaceLazy, c.Hydrate, errdefs.ErrInvalidArgument)
	}
	for _, flag := range reservedFlags {
		if _, ok := c.RunscFlags[flag]; ok {
			return fmt.Errorf("runsc-flags.%s: it is set for each sandbox and cannot be configured: %w", flag, errdefs.ErrInvalidArgument)
		}
	}
	if c.RunscFlags["overlay2"] == "none" {
		return fmt.Errorf("runsc-flags.overlay2: %q would leave rootfs writes out of every snapshot: %w", "none", errdefs.ErrInvalidArgument)
	}
	if err := checkBuilds(c.RunscBuilds); err != nil {
		return err
	}
	for name, s := range c.Stores {
		if err := s.checkKey(); err != nil {
			return fmt.Errorf("stores.%s.%w: %w", name, err, errdefs.ErrInvalidArgument)
		}
		if s.URL == "" {
			return fmt.Errorf("stores.%s.url: missing: %w", name, errdefs.ErrInvalidArgument)
		}
		// The URL itself is not quoted: it may hold what is nobody's business.
		if u, err := url.Parse(s.URL); err != nil || u.Scheme == "" {
			return fmt.Errorf("stores.%s.url: want a URL such as s3://bucket or file:///directory: %w", name, errdefs.ErrInvalidArgument)
		}
		if err := s.checkNamespaces(); err != nil {
			return fmt.Errorf("stores.%s: %w: %w", name, err, errdefs.ErrInvalidArgument)
		}
	}
	if _, ok := c.Stores[c.DefaultStore]; c.DefaultStore != "" && !ok {
		return fmt.Errorf("default-store: there is no store %q: %w", c.DefaultStore, errdefs.ErrInvalidArgument)
	}
	return nil
}

// Store returns the store of that name, for somebody who operates the node; an
// empty name means the default one, and NAME/NAMESPACE the part of a store that
// belongs to the pods of a Kubernetes namespace. A URL is not a name.
func (c *Config) Store(name string) (string, Store, error) {
	if name, namespace, ok := strings.Cut(name, "/"); ok && !strings.Contains(name, ":") {
		name, s, err := c.find(name)
		if err != nil {
			return "", Store{}, err
		}
		return s.of(name, namespace)
	}
	name, s, err := c.find(name)
	if err == nil && s.isMarked() {
		err = fmt.Errorf("store %s holds nothing but parts of Kubernetes namespaces; name one as %s/NAMESPACE: %w", name, name, errdefs.ErrInvalidArgument)
	}
	return name, s, err
}

func (c *Config) find(name string) (string, Store, error) {
	if name == "" {
		name = c.DefaultStore
	}
	if name == "" {
		return "", Store{}, fmt.Errorf("no store is named and the node's configuration has no default-store: %w", errdefs.ErrInvalidArgument)
	}
	s, ok := c.Stores[name]
	if !ok {
		return "", Store{}, fmt.Errorf("the node's configuration has no store %q (it has: %s): %w",
			name, strings.Join(slices.Sorted(maps.Keys(c.Stores)), ", "), errdefs.ErrNotFound)
	}
	return name, s, nil
}

// Flags returns RunscFlags as arguments, sorted.
func (c *Config) Flags() []string {
	var flags []string
	for _, name := range slices.Sorted(maps.Keys(c.RunscFlags)) {
		flags = append(flags, "--"+name+"="+c.RunscFlags[name])
	}
	return flags
}
