// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/ateom/ateom/e2e/bench/link"
)

// A Bucket is an S3 bucket on this machine, behind a link that shapes and
// counts what goes there.
type Bucket struct {
	*link.Link
	cmd  *exec.Cmd
	dir  string
	name string
}

// Keys of the bench's own server; it serves nobody else.
const (
	accessKey = "bench"
	secretKey = "benchbench"
	region    = "us-east-1"
)

// NewBucket starts the server binary (versitygw) with its objects below dir.
func NewBucket(ctx context.Context, binary, dir string) (_ *Bucket, err error) {
	b := &Bucket{dir: dir, name: "bench"}
	if err := os.MkdirAll(filepath.Join(dir, "data", b.name), 0o700); err != nil {
		return nil, err
	}
	target, err := freePort()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	b.cmd = exec.Command(binary, "--port", target, "--region", region, "--quiet", "posix", filepath.Join(dir, "data"))
	b.cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+accessKey, "ROOT_SECRET_KEY="+secretKey)
	b.cmd.Stdout, b.cmd.Stderr = log, log
	if err := b.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start S3 server: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	if err := awaitPort(ctx, target); err != nil {
		return nil, fmt.Errorf("start S3 server: %w", err)
	}
	b.Link, err = link.Listen(target, link.B0)
	return b, err
}

// Endpoint is where clients reach the bucket: through the link.
func (b *Bucket) Endpoint() string { return "http://" + b.Addr() }

// URL is how a store's configuration names the bucket.
func (b *Bucket) URL() string {
	q := url.Values{"endpoint": {b.Endpoint()}, "use_path_style": {"true"}, "region": {region}}
	return "s3://" + b.name + "?" + q.Encode()
}

// Env is what S3 clients take from their environment.
func (b *Bucket) Env() map[string]string {
	return map[string]string{
		"AWS_ACCESS_KEY_ID": accessKey, "AWS_SECRET_ACCESS_KEY": secretKey, "AWS_DEFAULT_REGION": region,
		"RCLONE_CONFIG_S3_TYPE": "s3", "RCLONE_CONFIG_S3_PROVIDER": "Other", "RCLONE_CONFIG_S3_ENDPOINT": b.Endpoint(),
		"RCLONE_CONFIG_S3_ACCESS_KEY_ID": accessKey, "RCLONE_CONFIG_S3_SECRET_ACCESS_KEY": secretKey,
		"RCLONE_CONFIG_S3_FORCE_PATH_STYLE": "true", "RCLONE_CONFIG_S3_NO_CHECK_BUCKET": "true",
		// This server answers no Expect: 100-continue, for which rclone would
		// wait a second with every part.
		"RCLONE_EXPECT_CONTINUE_TIMEOUT": "0",
	}
}

// Close ends the server and removes all objects.
func (b *Bucket) Close() error {
	var errs []error
	if b.Link != nil {
		errs = append(errs, b.Link.Close())
	}
	if err := b.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		errs = append(errs, err)
	}
	// It was killed.
	_ = b.cmd.Wait()
	return errors.Join(append(errs, os.RemoveAll(b.dir))...)
}

// freePort finds a loopback port that nobody listens on.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// awaitPort returns when somebody listens on addr.
func awaitPort(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}
