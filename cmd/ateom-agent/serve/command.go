// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"fmt"
	"net"

	"github.com/urfave/cli/v2"

	"github.com/ateom/ateom/shim/config"
)

// Command returns the command of a program of that version.
func Command(version string) *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "Serve /metrics and /healthz until a signal comes",
		Flags: []cli.Flag{
			&cli.StringFlag{
				Name:    "config",
				Usage:   "The node's ateom configuration (default: " + config.DefaultPath + ", which need not exist)",
				EnvVars: []string{config.PathEnv},
			},
			&cli.StringFlag{Name: "listen", Value: DefaultListen, Usage: "`ADDRESS` to serve on: HOST:PORT, or unix:///PATH"},
			&cli.StringFlag{Name: "verbs", Usage: "let whoever reaches " + DefaultVerbsListen + " pause, commit and resume pods, by this `PATH` of ctr-ateom"},
		},
		Action: func(c *cli.Context) error {
			cfg, err := config.Load(c.String("config"), "")
			if err != nil {
				return err
			}
			return Serve(c.Context, Options{
				Config: cfg, Listen: c.String("listen"), Verbs: c.String("verbs"), VerbsListen: DefaultVerbsListen, Version: version,
				Serving: func(a net.Addr) { fmt.Fprintf(c.App.ErrWriter, "ateom-agent: serving on %s\n", a) },
			})
		},
	}
}
