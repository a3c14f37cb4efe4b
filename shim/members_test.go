// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/ateom/ateom/artifacts"
)

func newOrigin() *origin {
	return &origin{manifest: &artifacts.Manifest{
		ID: "01jd0000090000000000000000", Scope: artifacts.Full,
		Sandbox: artifacts.Sandbox{
			Containers: []artifacts.Container{
				{ID: "p"},
				{ID: "a", Name: "app", Image: "app:1", Args: []string{"run"}, Mounts: []string{"/data", "/proc"}},
				{ID: "s", Name: "side"},
			},
			Completed: []string{"init"},
		},
	}}
}

func member(name, image string, args []string, mounts ...string) *container {
	spec := &specs.Spec{Process: &specs.Process{Args: args}, Annotations: map[string]string{annotationImage: image}}
	for _, m := range mounts {
		spec.Mounts = append(spec.Mounts, specs.Mount{Destination: m})
	}
	return &container{id: name, name: name, spec: spec}
}

func TestAContainerThatIsNotTheSnapshotsIsRefusedWithWhatDiffers(t *testing.T) {
	run := []string{"run"}
	for _, tt := range []struct {
		c    *container
		want string // "" is no error
	}{
		{member("app", "app:1", run, "/proc", "/data"), ""},
		{member("side", "any:1", []string{"x"}, "/a"), ""},
		{member("init", "any:1", nil), ""},
		{member("other", "app:1", run), `no container "other" (it has: app, side)`},
		{member("app", "app:2", run, "/data", "/proc"), "its image was app:1 and is app:2"},
		{member("app", "app:1", []string{"run", "-x"}, "/data", "/proc"), `its command was ["run"] and is ["run" "-x"]`},
		{member("app", "app:1", run, "/proc"), "nothing is mounted at /data any more"},
		{member("app", "app:1", run, "/data", "/proc", "/new"), "something is mounted at /new, where nothing was"},
	} {
		err := newOrigin().checkMember(tt.c, mountPoints(tt.c.spec))
		if tt.want == "" && err != nil || tt.want != "" && (!errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("container %s: %v, want %q", tt.c.name, err, tt.want)
		}
	}
}

func TestASandboxIsCompleteWhenTheLastContainerHasCome(t *testing.T) {
	o := newOrigin()
	if o.arrive(&container{name: "p"}, true) || o.arrive(&container{name: "side"}, false) {
		t.Error("complete without the app")
	}
	if got := o.missing(); len(got) != 1 || got[0] != "app" {
		t.Errorf("missing %v, want app", got)
	}
	if err := o.checkMember(member("side", "", nil), nil); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("a second container %q: %v", "side", err)
	}
	if !o.arrive(&container{name: "app"}, false) {
		t.Error("not complete with all")
	}
	// Whatever comes later is a container as any other.
	if err := o.checkMember(member("debugger", "", nil), nil); err != nil {
		t.Errorf("an ephemeral container: %v", err)
	}
}

// A container that is started again has not ended, whatever the one before has done.
func TestAContainerThatIsStartedAgainHasNotEnded(t *testing.T) {
	sb := &sandbox{id: "box", cri: true, completed: map[string]bool{}}
	sb.noteEnd(&container{id: "app-1", name: "app"}, 0)
	if names := sb.completedNames(); !slices.Equal(names, []string{"app"}) {
		t.Fatalf("ended are %q", names)
	}
	sb.noteStarted(&container{id: "app-2", name: "app"})
	if names := sb.completedNames(); len(names) > 0 {
		t.Errorf("ended are %q, though it runs", names)
	}
}
