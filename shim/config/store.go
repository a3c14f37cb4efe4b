// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/ateom/ateom/artifacts/job"
)

// Job returns the store as a gofer's job takes it. name is for messages.
func (s Store) Job(name string) job.Store {
	return job.Store{Name: name, URL: s.URL, Env: s.Env, KeyFile: s.KeyFile, KeyCommand: s.KeyCommand}
}

// checkKey checks what says where the keys are. The error begins with the setting.
func (s Store) checkKey() error {
	switch {
	case s.KeyFile != "" && len(s.KeyCommand) > 0:
		return errors.New("key-command: there is a key-file too; keep one of them")
	case s.KeyFile != "" && !filepath.IsAbs(s.KeyFile):
		return fmt.Errorf("key-file: want an absolute path, got %q", s.KeyFile)
	case len(s.KeyCommand) > 0 && !filepath.IsAbs(s.KeyCommand[0]):
		return errors.New("key-command: want a list that begins with the absolute path of a program")
	}
	return nil
}
