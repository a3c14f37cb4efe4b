// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// The program image writes the image of the node's pod as a tarball that any
// container tool imports or pushes: our static programs and the machine's list
// of certificate authorities, nothing else. The same programs give the same
// bytes.
package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/urfave/cli/v2"
)

// binDir is where the programs lie in the image, as on a node.
const binDir = "opt/ateom/bin"

// authorities is Debian's list, which stores on the network are verified by.
const authorities = "/etc/ssl/certs/ca-certificates.crt"

func main() {
	app := &cli.App{
		Name: "image", Usage: "write the image of the node's pod",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "bin", Value: "bin", Usage: "`DIRECTORY` of the programs"},
			&cli.StringFlag{Name: "ref", Value: "ateom.dev/node:latest", Usage: "the image's name"},
			&cli.StringFlag{Name: "output", Value: "dist/ateom-node.tar", Usage: "the `FILE` to write"},
		},
		Action: func(c *cli.Context) error {
			return write(c.String("bin"), c.String("ref"), c.String("output"))
		},
		ExitErrHandler: func(*cli.Context, error) {},
	}
	if err := app.Run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func write(bin, ref, output string) error {
	tag, err := name.NewTag(ref)
	if err != nil {
		return err
	}
	content, err := layer(bin)
	if err != nil {
		return err
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil })
	if err != nil {
		return fmt.Errorf("make layer: %w", err)
	}
	image, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		return fmt.Errorf("make image: %w", err)
	}
	image, err = mutate.ConfigFile(image, &v1.ConfigFile{
		Architecture: runtime.GOARCH, OS: "linux",
		Config: v1.Config{
			Entrypoint: []string{"/" + binDir + "/ateom-agent"}, WorkingDir: "/",
			Env: []string{"PATH=/" + binDir, "SSL_CERT_FILE=" + authorities},
		},
		RootFS: v1.RootFS{Type: "layers", DiffIDs: diffIDs(image)},
	})
	if err != nil {
		return fmt.Errorf("make image: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(output), 0o755); err != nil {
		return err
	}
	if err := tarball.WriteToFile(output, tag, image); err != nil {
		return fmt.Errorf("write %s: %w", output, err)
	}
	fmt.Println(ref, output)
	return nil
}

func diffIDs(image v1.Image) []v1.Hash {
	config, err := image.ConfigFile()
	if err != nil {
		return nil // an image in memory has one
	}
	return config.RootFS.DiffIDs
}

// layer is a tar archive of the programs and what they need. Links are
// followed; directories that are not for nodes are left out.
func layer(bin string) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	put := func(name, from string, mode int64) error {
		b, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(b))}); err != nil {
			return err
		}
		_, err = w.Write(b)
		return err
	}
	for _, dir := range []string{"opt/", "opt/ateom/", binDir + "/", "tmp/", "etc/", "etc/ssl/", "etc/ssl/certs/"} {
		mode := int64(0o755)
		if dir == "tmp/" {
			mode = 0o1777
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: mode}); err != nil {
			return nil, err
		}
	}
	err := filepath.WalkDir(bin, func(from string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && e.Name() == "tools" {
			return filepath.SkipDir
		}
		fi, err := os.Stat(from)
		if err != nil || !fi.Mode().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(bin, from)
		if err != nil {
			return err
		}
		return put(path.Join(binDir, filepath.ToSlash(rel)), from, 0o755)
	})
	if err != nil {
		return nil, fmt.Errorf("collect programs: %w", err)
	}
	if err := put(authorities[1:], authorities, 0o644); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	return out.Bytes(), w.Close()
}
