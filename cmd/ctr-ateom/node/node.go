// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

// Package node is what the commands know of the node that they run on: its
// configuration, its local store of snapshots, and the stores it is configured
// to use.
package node

import (
	"github.com/urfave/cli/v2"

	"github.com/ateom/ateom/cmd/ctr-ateom/exit"
	"github.com/ateom/ateom/shim/config"
)

// ConfigFlag is the name of the global flag.
const ConfigFlag = "ateom-config"

// Flags are global flags of the program.
var Flags = []cli.Flag{
	&cli.StringFlag{
		Name:    ConfigFlag,
		Usage:   "The node's ateom configuration (default: " + config.DefaultPath + ", which need not exist)",
		EnvVars: []string{config.PathEnv},
	},
}

// Config reads the node's configuration.
func Config(c *cli.Context) (*config.Config, error) {
	cfg, err := config.Load(c.String(ConfigFlag), "")
	return cfg, exit.WithHint(err, "--%s or %s names the file", ConfigFlag, config.PathEnv)
}
