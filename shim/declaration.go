// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"fmt"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/durabledir"
	"github.com/ateom/ateom/shim/annotation"
	"github.com/ateom/ateom/shim/hook"
	"github.com/ateom/ateom/shim/inside"
	"github.com/ateom/ateom/shim/network"
	"github.com/ateom/ateom/shim/readiness"
)

// Annotations that a container's author may set.
const (
	annotationPrefix = "ateom.dev/"

	annotationOnPause         = "ateom.dev/on-pause"
	annotationOnCommit        = "ateom.dev/on-commit"
	annotationStore           = "ateom.dev/store"
	annotationRestoreFrom     = "ateom.dev/restore-from"
	annotationOnResume        = "ateom.dev/on-resume"
	annotationGolden          = "ateom.dev/golden"
	annotationPauseReturn     = "ateom.dev/pause-return"
	annotationPauseWithExec   = "ateom.dev/pause-with-exec"
	annotationExecWhilePaused = "ateom.dev/exec-while-paused"
	annotationImage           = "ateom.dev/image"
	annotationImageDigest     = "ateom.dev/image-digest"
)

// annotations lists every key with our prefix that means something.
var annotations = map[string]bool{
	annotationOnPause: true, annotationOnCommit: true, annotationStore: true, annotationRestoreFrom: true,
	annotationPauseReturn: true, annotationPauseWithExec: true, annotationExecWhilePaused: true,
	annotationOnResume: true, annotationGolden: true, annotationImage: true, annotationImageDigest: true,
	durabledir.Annotation: true, durabledir.VolumesAnnotation: true, readiness.Annotation: true, readiness.PolicyAnnotation: true,
	network.ConnectionsAnnotation: true, inside.Annotation: true, inside.SelfAnnotation: true,
	string(hook.PreSave): true, string(hook.PostSave): true, string(hook.PostRestore): true,
}

// A declaration is what a container's annotations ask for, checked.
type declaration struct {
	volumes     []durabledir.Declaration
	emptyDirs   []string // names of the pod's emptyDir volumes that are DurableDirs
	onPause     artifacts.Scope
	onCommit    artifacts.Scope
	probes      []readiness.Probe
	onNotReady  readiness.Policy
	connections network.Connections
	hooks       map[hook.Moment][]hook.Hook
	inside      string // where the container learns about itself; empty is nowhere
	self        map[inside.Verb]bool
	store       string // a name; empty is the node's default
	restoreFrom artifacts.ID
	// Words of policies.
	pauseReturn     string
	pauseWithExec   string
	execWhilePaused string
	// golden is the Full snapshot whose memory a Data snapshot is started
	// with; empty means a cold boot.
	golden artifacts.ID
}

// declare reads the annotations. Its errors name the annotation and field and
// are errdefs.ErrInvalidArgument.
func declare(values map[string]string) (*declaration, error) {
	if err := annotation.Check(values); err != nil {
		return nil, err
	}
	for key := range values {
		if strings.HasPrefix(key, annotationPrefix) && !annotations[key] {
			return nil, fmt.Errorf("annotation %s: there is no such setting: %w", key, errdefs.ErrInvalidArgument)
		}
	}
	d := &declaration{store: values[annotationStore]}
	var err error
	if text := values[durabledir.Annotation]; text != "" {
		if d.volumes, err = durabledir.Parse(text); err != nil {
			return nil, fmt.Errorf("annotation %s: %w", durabledir.Annotation, err)
		}
	}
	if d.emptyDirs, err = durabledir.ParseVolumes(values[durabledir.VolumesAnnotation]); err != nil {
		return nil, fmt.Errorf("annotation %s: %w", durabledir.VolumesAnnotation, err)
	}
	if d.onPause, d.onCommit, err = durabledir.ParseScopes(values[annotationOnPause], values[annotationOnCommit]); err != nil {
		return nil, fmt.Errorf("annotations %s and %s: %w", annotationOnPause, annotationOnCommit, err)
	}
	if d.probes, err = readiness.Parse(values[readiness.Annotation]); err != nil {
		return nil, fmt.Errorf("annotation %w", err)
	}
	if d.onNotReady, err = readiness.ParsePolicy(values[readiness.PolicyAnnotation]); err != nil {
		return nil, fmt.Errorf("annotation %w", err)
	}
	if d.connections, err = network.ParseConnections(values[network.ConnectionsAnnotation]); err != nil {
		return nil, fmt.Errorf("annotation %w", err)
	}
	d.hooks = map[hook.Moment][]hook.Hook{}
	for _, m := range hook.Moments {
		if d.hooks[m], err = hook.Parse(m, values[string(m)]); err != nil {
			return nil, fmt.Errorf("annotation %w", err)
		}
	}
	if err := d.readInside(values); err != nil {
		return nil, err
	}
	for key, value := range map[string]*string{
		annotationPauseReturn: &d.pauseReturn, annotationPauseWithExec: &d.pauseWithExec, annotationExecWhilePaused: &d.execWhilePaused,
	} {
		if *value, err = policy(key, values); err != nil {
			return nil, err
		}
	}
	if strings.ContainsAny(d.store, ":/?") {
		return nil, fmt.Errorf("annotation %s: want the name of a store in the node's configuration, got %q: %w", annotationStore, d.store, errdefs.ErrInvalidArgument)
	}
	if text := values[annotationRestoreFrom]; text != "" {
		if d.restoreFrom, err = artifacts.ParseID(text); err != nil {
			return nil, fmt.Errorf("annotation %s: %w: %w", annotationRestoreFrom, err, errdefs.ErrInvalidArgument)
		}
	}
	return d, d.readGolden(values)
}

// readInside reads inside and self; what may ask must be told.
func (d *declaration) readInside(values map[string]string) (err error) {
	if d.inside, err = inside.ParseDir(values[inside.Annotation]); err != nil {
		return fmt.Errorf("annotation %w", err)
	}
	if d.self, err = inside.ParseSelf(values[inside.SelfAnnotation]); err != nil {
		return fmt.Errorf("annotation %w", err)
	}
	if len(d.self) > 0 && d.inside == "" {
		return fmt.Errorf("annotation %s: requests are made in the directory that %s names, and it names none: %w", inside.SelfAnnotation, inside.Annotation, errdefs.ErrInvalidArgument)
	}
	return nil
}

// readGolden reads on-resume and golden, which mean something only together.
func (d *declaration) readGolden(values map[string]string) error {
	onResume, err := durabledir.ParseOnResume(values[annotationOnResume])
	if err != nil {
		return fmt.Errorf("annotation %s: %w", annotationOnResume, err)
	}
	golden := values[annotationGolden]
	if (onResume == durabledir.Golden) != (golden != "") {
		return fmt.Errorf("annotations %s and %s: %s goes with the id of a golden snapshot, and the other way round: %w",
			annotationOnResume, annotationGolden, durabledir.Golden, errdefs.ErrInvalidArgument)
	}
	if golden == "" {
		return nil
	}
	if d.restoreFrom == "" {
		return fmt.Errorf("annotation %s: there is no %s whose DurableDirs it could be given: %w", annotationGolden, annotationRestoreFrom, errdefs.ErrInvalidArgument)
	}
	if d.golden, err = artifacts.ParseID(golden); err != nil {
		return fmt.Errorf("annotation %s: %w: %w", annotationGolden, err, errdefs.ErrInvalidArgument)
	}
	return nil
}

// checkContainers refuses a probe or a hook of a container that a sandbox of one
// does not have: it would never be tried.
func (d *declaration) checkContainers(name string) error {
	refuse := func(key string, i int, container string) error {
		return fmt.Errorf("annotation %s[%d].container: there is no container %q, the only one is %q: %w", key, i, container, name, errdefs.ErrInvalidArgument)
	}
	for i, p := range d.probes {
		if p.Container != "" && p.Container != name {
			return refuse(readiness.Annotation, i, p.Container)
		}
	}
	for _, m := range hook.Moments {
		for i, h := range d.hooks[m] {
			if h.Container != "" && h.Container != name {
				return refuse(string(m), i, h.Container)
			}
		}
	}
	return nil
}

// checkDials refuses a probe that runsc could not dial: it forwards ports into its own
// network stack and into the host's, and into no other kind of network, though a
// sandbox without one has a loopback. kind is runsc's --network.
func (d *declaration) checkDials(kind string) error {
	if kind == "" || kind == "sandbox" || kind == "host" {
		return nil
	}
	for i := range d.probes {
		if field := d.probes[i].Dials(); field != "" {
			return fmt.Errorf("annotation %s[%d].%s: runsc forwards no ports into a sandbox with the node's runsc-flags network = %q; ask from inside, with an exec probe: %w",
				readiness.Annotation, i, field, kind, errdefs.ErrInvalidArgument)
		}
	}
	return nil
}
