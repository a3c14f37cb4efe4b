// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package run

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"strings"

	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/containerd/typeurl/v2"
	"github.com/pelletier/go-toml/v2"
	"github.com/urfave/cli/v2"
	"google.golang.org/grpc"

	"github.com/ateom/ateom/artifacts"
	"github.com/ateom/ateom/cmd/ctr-ateom/exit"
	"github.com/ateom/ateom/cmd/ctr-ateom/node"
	"github.com/ateom/ateom/cmd/ctr-ateom/sandbox"
	"github.com/ateom/ateom/shim/config"
)

// Annotations of the container's spec that the shim reads.
const (
	restoreFromAnnotation = "ateom.dev/restore-from"
	storeAnnotation       = "ateom.dev/store"
	imageAnnotation       = "ateom.dev/image"
)

// urlStore is the name under which a store given as a URL is configured. A URL
// cannot travel by annotation: annotations carry no authority.
const urlStore = "cli"

// An origin is what the new container is to know of snapshots and stores.
type origin struct {
	from  artifacts.ID
	store string
	// configPath and configBody are the shim's runtime options.
	configPath, configBody string
}

func parseOrigin(c *cli.Context) (origin, error) {
	o := origin{store: c.String("store"), configPath: c.String("runtime-config-path")}
	if from := c.String("from"); from != "" || c.IsSet("from") {
		id, err := artifacts.ParseID(from)
		if err != nil {
			return o, exit.WithHint(exit.Usagef("run: --from: %s", err), "list snapshots with: ctr-ateom snapshots ls --store STORE")
		}
		o.from = id
	}
	if given := c.String(node.ConfigFlag); o.configPath == "" && given != "" {
		path, err := filepath.Abs(given)
		if err != nil {
			return o, fmt.Errorf("find the node's configuration: %w", err)
		}
		o.configPath = path
	}
	if o.store == node.Local {
		o.store = "" // where the shim looks first
	}
	if strings.Contains(o.store, "://") {
		body, err := toml.Marshal(map[string]any{"stores": map[string]config.Store{urlStore: {URL: o.store}}})
		if err != nil {
			return o, fmt.Errorf("write the store's configuration: %w", err)
		}
		o.configBody, o.store = string(body), urlStore
	}
	return o, nil
}

// asked reports whether the user used ateom's own flags.
func (o origin) asked() bool { return o.from != "" || o.store != "" }

// client returns a client like plain that adds o to every container it creates.
func (o origin) client(plain *client.Client) (*client.Client, error) {
	store := &annotatingStore{Store: plain.ContainerService(), images: plain.ImageService(), origin: o}
	conn, ok := plain.Conn().(*grpc.ClientConn)
	if !ok {
		return nil, fmt.Errorf("connect to containerd: got a connection of type %T: %w", plain.Conn(), errdefs.ErrInternal)
	}
	cl, err := client.NewWithConn(conn, client.WithServices(client.WithContainerStore(store)))
	if err != nil {
		return nil, fmt.Errorf("connect to containerd: %w", err)
	}
	return cl, nil
}

// explain adds to a failed start which snapshot it was about.
func (o origin) explain(id string, err error) error {
	if o.from == "" {
		return fmt.Errorf("run %q: %w", id, err)
	}
	err = fmt.Errorf("start %q from snapshot %s: %w", id, o.from, err)
	if errdefs.IsNotFound(err) && exit.Hint(err) == "" {
		return exit.WithHint(err, "list snapshots with: ctr-ateom snapshots ls --store STORE; named stores are in the configuration of the node's shim")
	}
	return err
}

// withArguments returns c with the saved program's arguments if the user gave
// none: a program that goes on in memory must be described as it was started.
// A manifest that this process cannot read is left to the shim, which has its
// own configuration.
func (o origin) withArguments(c *cli.Context) *cli.Context {
	if o.from == "" || c.NArg() != 2 || c.IsSet("config") {
		return c
	}
	stores, err := node.OpenStores(c.Context, c)
	if err != nil {
		log.L.WithError(err).Debug("look for the snapshot's arguments")
		return c
	}
	f, err := stores.Find(c.Context, o.from)
	if err != nil {
		log.L.WithError(err).Debug("look for the snapshot's arguments")
		return c
	}
	if f.Manifest.Scope != artifacts.Full || len(f.Manifest.Sandbox.Containers) == 0 {
		return c
	}
	set := flag.NewFlagSet(c.Command.Name, flag.ContinueOnError)
	args := append([]string{"--"}, c.Args().Slice()...)
	if err := set.Parse(append(args, f.Manifest.Sandbox.Containers[0].Args...)); err != nil {
		return c // "--" leaves nothing to parse
	}
	return cli.NewContext(c.App, set, c)
}

// An annotatingStore is containerd's container store, but new containers get
// what the shim needs to know: ctr's own code builds the container.
type annotatingStore struct {
	containers.Store
	images images.Store
	origin origin
}

func (s *annotatingStore) Create(ctx context.Context, c containers.Container) (containers.Container, error) {
	if err := s.annotate(ctx, &c); err != nil {
		return c, err
	}
	return s.Store.Create(ctx, c)
}

func (s *annotatingStore) annotate(ctx context.Context, c *containers.Container) error {
	var spec oci.Spec
	if err := typeurl.UnmarshalTo(c.Spec, &spec); err != nil {
		return fmt.Errorf("read the spec of container %q: %w", c.ID, err)
	}
	annotations, err := s.annotations(ctx, c.Image)
	if err != nil {
		return err
	}
	if spec.Annotations == nil {
		spec.Annotations = make(map[string]string)
	}
	for name, value := range annotations {
		spec.Annotations[name] = value
	}
	if c.Spec, err = typeurl.MarshalAny(&spec); err != nil {
		return fmt.Errorf("write the spec of container %q: %w", c.ID, err)
	}
	if s.origin.configPath == "" && s.origin.configBody == "" {
		return nil
	}
	c.Runtime.Options, err = typeurl.MarshalAny(&runtimeoptions.Options{
		ConfigPath: s.origin.configPath,
		ConfigBody: []byte(s.origin.configBody),
	})
	if err != nil {
		return fmt.Errorf("write the runtime options of container %q: %w", c.ID, err)
	}
	return nil
}

func (s *annotatingStore) annotations(ctx context.Context, image string) (map[string]string, error) {
	a := make(map[string]string)
	if image != "" {
		i, err := s.images.Get(ctx, image)
		if err != nil {
			return nil, fmt.Errorf("find image %q: %w", image, err)
		}
		a[imageAnnotation] = i.Name
		a[sandbox.ImageDigestAnnotation] = i.Target.Digest.String()
	}
	if s.origin.from != "" {
		a[restoreFromAnnotation] = string(s.origin.from)
	}
	if s.origin.store != "" {
		a[storeAnnotation] = s.origin.store
	}
	return a, nil
}
