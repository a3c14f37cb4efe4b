// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package runsc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// An Identity says which runsc a binary is. runsc restores only images that
// the same version wrote; the checksum tells apart what calls itself the same.
type Identity struct {
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
}

// Identify returns the identity of the binary. Hashing 80 MB takes tens of
// milliseconds, so that the answer is kept in cacheDir (created if need be),
// under the file's device, inode, size and change time.
func Identify(ctx context.Context, binary, cacheDir string) (Identity, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(binary, &st); err != nil {
		return Identity{}, fmt.Errorf("stat runsc %s: %w", binary, err)
	}
	key := fmt.Sprintf("runsc-%x-%x-%x-%x.%x.json", st.Dev, st.Ino, st.Size, st.Ctim.Sec, st.Ctim.Nsec)
	cached := filepath.Join(cacheDir, key)
	var id Identity
	if b, err := os.ReadFile(cached); err == nil && json.Unmarshal(b, &id) == nil && id.SHA256 != "" {
		return id, nil
	}
	id, err := identify(ctx, binary)
	if err != nil {
		return Identity{}, err
	}
	b, err := json.Marshal(id)
	if err != nil {
		return Identity{}, err
	}
	// A cache that cannot be written costs time, nothing else.
	if err := os.MkdirAll(cacheDir, 0o700); err == nil {
		tmp := fmt.Sprintf("%s.%d", cached, os.Getpid())
		if os.WriteFile(tmp, b, 0o600) == nil {
			_ = os.Rename(tmp, cached)
		}
	}
	return id, nil
}

func identify(ctx context.Context, binary string) (Identity, error) {
	f, err := os.Open(binary)
	if err != nil {
		return Identity{}, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return Identity{}, fmt.Errorf("hash runsc %s: %w", binary, err)
	}
	version, err := readVersion(ctx, binary)
	if err != nil {
		return Identity{}, err
	}
	return Identity{Version: version, SHA256: hex.EncodeToString(h.Sum(nil))}, nil
}

// readVersion asks the binary; its first line is "runsc version V". It writes
// into a file, so that a process which reaps all children may call it.
func readVersion(ctx context.Context, binary string) (string, error) {
	out, err := tempFile()
	if err != nil {
		return "", err
	}
	defer out.Close()
	ctx, cancel := context.WithTimeout(ctx, shortLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "--version")
	cmd.Stdout = out
	runErr := cmd.Run()
	b, err := readBack(out)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	version, ok := strings.CutPrefix(line, "runsc version ")
	if !ok {
		return "", fmt.Errorf("ask %s for its version: %q is not runsc's answer (%v)", binary, line, runErr)
	}
	return version, nil
}
