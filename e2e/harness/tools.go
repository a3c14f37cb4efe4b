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

// Top is the top of the tree that the tests are of.
var Top = sync.OnceValues(func() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("find the top of the tree: no go.mod above the working directory")
		}
	}
	return "", err
})

// BinDir is where the programs under test are: $ATEOM_BIN, by default bin/ at
// the top of the tree, where `make build tools` puts them.
var BinDir = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv("ATEOM_BIN"); dir != "" {
		return dir, nil
	}
	top, err := Top()
	return filepath.Join(top, "bin"), err
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
