// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// flagsFirst puts the flags of a command line before its other arguments, where
// the parser wants them; kubectl takes them anywhere. args begins with the
// program.
func flagsFirst(commands []*cli.Command, args []string) []string {
	if len(args) < 2 {
		return args
	}
	i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.Name == args[1] })
	if i < 0 {
		return args
	}
	flags, others := slices.Clone(args[:2]), []string(nil)
	for rest := args[2:]; len(rest) > 0; rest = rest[1:] {
		switch arg := rest[0]; {
		case arg == "--":
			others = append(others, rest...)
			return append(flags, others...)
		case !strings.HasPrefix(arg, "-") || arg == "-":
			others = append(others, arg)
		default:
			flags = append(flags, arg)
			if len(rest) > 1 && takesValue(commands[i].Flags, arg) {
				flags = append(flags, rest[1])
				rest = rest[1:]
			}
		}
	}
	return append(flags, others...)
}

// takesValue reports whether the next argument belongs to a flag.
func takesValue(flags []cli.Flag, arg string) bool {
	name := strings.TrimLeft(arg, "-")
	return slices.ContainsFunc(flags, func(f cli.Flag) bool {
		_, isBool := f.(*cli.BoolFlag)
		return !isBool && slices.Contains(f.Names(), name) // a name with its value behind = is none
	})
}
