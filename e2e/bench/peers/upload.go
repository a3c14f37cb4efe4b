// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/ateom/ateom/artifacts"
)

// A Committer is a Sandbox whose peer can put a snapshot into the bucket.
type Committer interface {
	// Commit puts a snapshot of scope Full or Data into the bucket and returns
	// what names it there. The workload runs on, or stays paused.
	Commit(ctx context.Context, scope artifacts.Scope) (id string, err error)
}

// Uploaders: what follows "tar | zstd |" in a script. $KEY is the object's.
var uploaders = map[string]string{
	"rclone": `rclone rcat "s3:bench/$KEY"`,
	"aws":    `aws --endpoint-url "$RCLONE_CONFIG_S3_ENDPOINT" s3 cp --quiet - "s3://bench/$KEY"`,
}

// Commit does what a script would. Full: checkpoint --leave-running, then tar,
// zstd and the upload in one pipe. Data: the same pipe over the shared
// directory, or, where the script says so, over a tarball that is made while
// the workload is frozen.
func (s *runscSandbox) Commit(ctx context.Context, scope artifacts.Scope) (string, error) {
	s.commits++
	if scope == artifacts.Data {
		key := fmt.Sprintf("%s/%d%s", s.id, s.commits, dataSuffix)
		return key, s.commitData(ctx, key)
	}
	key := fmt.Sprintf("%s/%d.tar.zst", s.id, s.commits)
	if err := os.RemoveAll(s.image); err != nil {
		return "", err
	}
	if _, err := s.peer.runsc(ctx, "checkpoint", "--leave-running", "--image-path", s.image, s.id); err != nil {
		return "", err
	}
	return key, s.peer.upload(ctx, s.image, key)
}

func (s *runscSandbox) commitData(ctx context.Context, key string) (err error) {
	if err := s.Freeze(ctx); err != nil {
		return err
	}
	if s.peer.Upload != "" {
		err = s.peer.upload(ctx, s.share, key)
	} else {
		err = s.peer.shell(ctx, `tar -cf "$OUT" -C "$DIR" .`, "DIR="+s.share, "OUT="+s.dir+"/data.tar")
	}
	return errors.Join(err, s.Thaw(ctx))
}

// upload sends a directory to the bucket; a peer without uploader keeps it.
func (p *runscPeer) upload(ctx context.Context, dir, key string) error {
	if p.Upload == "" {
		return nil
	}
	return p.shell(ctx, `tar -c `+p.TarFlags+` -C "$DIR" . | zstd -T0 -q | `+uploaders[p.Upload], "DIR="+dir, "KEY="+key)
}

// shell runs a line of script in the peer's account.
func (p *runscPeer) shell(ctx context.Context, script string, env ...string) error {
	cmd := exec.CommandContext(ctx, "bash", "-o", "pipefail", "-c", script)
	// Nothing else of the environment: proxies and certificates of the host
	// are not for this bucket.
	cmd.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + p.root}, env...)
	if p.ground.Bucket != nil {
		for k, v := range p.ground.Bucket.Env() {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := p.account.Start(cmd); err != nil {
		return fmt.Errorf("run a shell: %w", err)
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("run %s: %w: %s", script, err, bytes.TrimSpace(out.Bytes()))
	}
	return nil
}

// PrepareFrom prepares a sandbox that downloads first.
func (p *runscPeer) PrepareFrom(ctx context.Context, w Workload, id string) (Sandbox, error) {
	s, err := p.Prepare(ctx, w)
	if err != nil {
		return nil, err
	}
	return &fromBucket{runscSandbox: s.(*runscSandbox), key: id}, nil
}

// dataSuffix ends the keys of Data commits.
const dataSuffix = ".data.tar.zst"

// fromBucket is a sandbox that starts from an object in the bucket.
type fromBucket struct {
	*runscSandbox
	key string
}

// Start downloads the whole object, unpacks it and restores, or starts anew
// over the volume.
func (s *fromBucket) Start(ctx context.Context) error {
	if strings.HasSuffix(s.key, dataSuffix) {
		if err := s.peer.shell(ctx, `rclone cat "s3:bench/$KEY" | zstd -dc | tar -xp -C "$DIR"`, "DIR="+s.share, "KEY="+s.key); err != nil {
			return err
		}
		return s.runscSandbox.Start(ctx)
	}
	if err := os.MkdirAll(s.image, 0o700); err != nil {
		return err
	}
	script := `rclone copyto "s3:bench/$KEY" "$DIR.tar.zst" && zstd -dc "$DIR.tar.zst" | tar -x -C "$DIR"`
	if err := s.peer.shell(ctx, script, "DIR="+s.image, "KEY="+s.key); err != nil {
		return err
	}
	return s.restore(ctx)
}
