// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// BinDir is where the programs under test are: $ATEOM_BIN, by default bin/ at
// the top of the tree, where `make build tools` puts them.
var BinDir = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv("ATEOM_BIN"); dir != "" {
		return dir, nil
	}
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "bin"), nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("find bin/: no go.mod above the working directory; set ATEOM_BIN")
		}
	}
	return "", err
})

// Program returns the path of a program that make built.
func Program(name string) (string, error) {
	bin, err := BinDir()
	if err != nil {
		return "", err
	}
	for _, path := range []string{filepath.Join(bin, name), filepath.Join(bin, "tools", name)} {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("find %s: it is neither in %s nor in its tools/; run make build tools", name, bin)
}
