// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Places on the node, below Root.
const (
	// DefaultDir holds the programs and the journal.
	DefaultDir = "/opt/ateom"
	// ConfigDir holds ateom's own configuration, and the keys that it names.
	ConfigDir = "/etc/ateom"

	journalName = "journal.json"
	dropInName  = "ateom.toml"
	shimName    = "containerd-shim-ateom-v1"
)

// Options say what is installed, and where.
type Options struct {
	// Root of the node's file system: "/", or where a pod has it mounted.
	Root string
	// Source is the directory of programs that is copied.
	Source string
	// Dir on the node holds the programs and the journal.
	Dir string
	// Config are files of ConfigDir by name; others that are there are left alone.
	Config map[string][]byte
	// Containerd is the path of containerd's main configuration on the node.
	Containerd string
	// DropIn is where our addition to it goes; empty is conf.d/ beside it.
	DropIn string
	// Restart restarts containerd.
	Restart func(context.Context) error
	// CRI returns the runtimes that containerd's CRI plugin has, by their handlers,
	// when it serves.
	CRI func(context.Context) (map[string]Runtime, error)
	// Log gets a line for each thing that is done.
	Log io.Writer
}

func (o *Options) logf(format string, args ...any) { fmt.Fprintf(o.Log, format+"\n", args...) }

// journal opens the journal of the installation in dir on the node.
func (o *Options) journal(dir string) (*journal, error) {
	return openJournal(o.Root, filepath.Join(dir, journalName))
}

// dropInPath is where our addition to containerd's configuration goes.
func (o *Options) dropInPath() string {
	if o.DropIn != "" {
		return o.DropIn
	}
	return filepath.Join(filepath.Dir(o.Containerd), "conf.d", dropInName)
}

// Install makes the node one that runs the runtime; what is there already in
// that form is left alone. If containerd does not come up with its new
// configuration, or does not know the runtime then, everything is as before when
// Install returns.
func Install(ctx context.Context, o Options) error {
	j, err := o.journal(o.Dir)
	if err != nil {
		return err
	}
	fresh := !j.hasFiles()
	restart, err := o.write(j)
	restart = restart || j.Pending
	j.Pending = restart
	if err == nil {
		err = j.save()
	}
	if err == nil && restart {
		o.logf("restarting containerd: its configuration has changed")
		err = o.restart(ctx)
	}
	if err == nil {
		err = o.wantRuntime(ctx, filepath.Join(o.Dir, "bin", shimName))
	}
	if err == nil && restart {
		j.Pending = false
		err = j.save()
	}
	if err == nil {
		return nil
	}
	if !fresh {
		return fmt.Errorf("install: %w; an earlier installation is in place: uninstall it to go back to before", err)
	}
	_, undone := j.undo()
	if restart {
		undone = errors.Join(undone, o.restart(context.WithoutCancel(ctx)))
	}
	if undone == nil {
		undone = j.remove()
	}
	if undone != nil {
		return fmt.Errorf("install: %w; and going back failed: %w", err, undone)
	}
	return fmt.Errorf("install; the node is as it was: %w", err)
}

// write writes all files and says whether containerd must be restarted.
func (o *Options) write(j *journal) (restart bool, err error) {
	if err := j.settle(); err != nil {
		return false, err
	}
	bin := filepath.Join(o.Dir, "bin")
	if err := j.mkdir(bin); err != nil {
		return false, err
	}
	if err := o.keepBuild(j, bin); err != nil {
		return false, err
	}
	if err := o.copyPrograms(j, bin); err != nil {
		return false, err
	}
	if err := j.mkdir(ConfigDir); err != nil {
		return false, err
	}
	for _, name := range slices.Sorted(maps.Keys(o.Config)) {
		path := filepath.Join(ConfigDir, name)
		changed, err := j.write(path, o.Config[name], 0o600)
		if err != nil {
			return false, err
		}
		if changed {
			o.logf("wrote %s", path)
		}
	}
	path := o.dropInPath()
	text, err := dropIn(o.Root, o.Containerd, filepath.Join(bin, shimName))
	if err != nil {
		return false, err
	}
	pending := j.Pending
	j.Pending = true // as long as the next two are under way
	// Both may hold what only root is to read, as a registry's password: on
	// containerd 1.x the drop-in repeats what the main file says.
	mode := j.modeBefore(o.Containerd)
	changed, err := j.write(path, text, mode)
	if err != nil {
		return false, err
	}
	if changed {
		o.logf("wrote %s", path)
	}
	main, err := os.ReadFile(j.at(o.Containerd))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return changed, fmt.Errorf("read containerd's configuration: %w", err)
	}
	// If it fails, the import is there, and nothing is written.
	_ = o.rebase(j)
	imported, err := withImport(string(main), path)
	if err != nil {
		return changed, err
	}
	added, err := j.write(o.Containerd, []byte(imported), mode)
	j.Pending = pending
	if added {
		o.logf("added the import to %s", o.Containerd)
	}
	return changed || added, err
}
