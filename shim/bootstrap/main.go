// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	taskapi "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/protobuf"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/containerd/v2/version"
	"github.com/containerd/log"
	"google.golang.org/protobuf/proto"

	"github.com/ateom/ateom/shim/reap"
)

// ttrpcAddressEnv is where containerd says how it takes events.
const ttrpcAddressEnv = "TTRPC_ADDRESS"

// An invocation is how the binary was run, in the words of containerd's protocol for
// shims.
type invocation struct {
	debug, version, info   bool
	namespace, id, address string
	action                 string
}

func parse(args []string) (i invocation, err error) {
	flags := flag.NewFlagSet(filepath.Base(args[0]), flag.ContinueOnError) // which says what is wrong itself
	flags.BoolVar(&i.debug, "debug", false, "log more")
	flags.BoolVar(&i.version, "v", false, "show the version")
	flags.BoolVar(&i.info, "info", false, "describe the runtime, in protobuf")
	flags.StringVar(&i.namespace, "namespace", "", "containerd's `namespace`")
	flags.StringVar(&i.id, "id", "", "`id` of the task")
	flags.StringVar(&i.address, "address", "", "`path` of containerd's socket")
	flags.String("bundle", "", "`path` of the bundle, which is the working directory, too")
	flags.String("publish-binary", "", "`path` of what older shims publish events with")
	if err := flags.Parse(args[1:]); err != nil {
		return i, err
	}
	i.action = flags.Arg(0)
	return i, nil
}

// Main does what the binary was run for, and returns its exit status: an action of the
// runtime, or, without one, serve, which is the shim's process itself.
func Main(runtime string, serve func(context.Context) error) int {
	i, err := parse(os.Args)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2
	}
	if err := i.run(actions{name: runtime}, serve, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %s", runtime, err)
		return 1
	}
	return 0
}

// run does it, and writes nothing but the answer: containerd reads what start writes
// together with its errors.
func (i invocation) run(a actions, serve func(context.Context) error, in io.Reader, out io.Writer) error {
	if i.version {
		_, err := fmt.Fprintf(out, "%s:\n  Version:  %s\n  Revision: %s\n  Go version: %s\n\n", filepath.Base(os.Args[0]), version.Version, version.Revision, version.GoVersion)
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if i.info {
		info, err := a.Info(ctx, in)
		if err != nil {
			return err
		}
		b, err := proto.Marshal(info)
		return write(out, b, err)
	}
	if i.namespace == "" {
		return errors.New("-namespace is missing: containerd runs this binary, by the protocol of its shims")
	}
	ctx = namespaces.WithNamespace(log.WithLogger(ctx, log.G(ctx).WithField("runtime", a.name)), i.namespace)
	switch i.action {
	case "start":
		params, err := a.Start(ctx, i.id, shim.StartOpts{Address: i.address, TTRPCAddress: os.Getenv(ttrpcAddressEnv), Debug: i.debug})
		if err != nil {
			return err
		}
		b, err := json.Marshal(params)
		return write(out, b, err)
	case "delete":
		return i.delete(ctx, a, out)
	case "":
		if err := i.setLevel(); err != nil {
			return err
		}
		return serve(ctx)
	}
	return fmt.Errorf("unknown action %q: this release knows start and delete", i.action)
}

func (i invocation) delete(ctx context.Context, a actions, out io.Writer) error {
	if err := errors.Join(i.setLevel(), reap.Children(ctx)); err != nil {
		return err
	}
	status, err := a.Stop(ctx, i.id)
	if err != nil {
		return err
	}
	b, err := proto.Marshal(&taskapi.DeleteResponse{
		Pid: uint32(status.Pid), ExitStatus: uint32(status.ExitStatus), ExitedAt: protobuf.ToTimestamp(status.ExitedAt),
	})
	return write(out, b, err)
}

func (i invocation) setLevel() error {
	if !i.debug {
		return nil
	}
	return log.SetLevel("debug")
}

// write writes an answer that could be encoded.
func write(out io.Writer, b []byte, err error) error {
	if err == nil {
		_, err = out.Write(b)
	}
	if err != nil {
		return fmt.Errorf("answer containerd: %w", err)
	}
	return nil
}
