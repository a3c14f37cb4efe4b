// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package exit

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/ateom/ateom/cmd/wire"
)

// asJSON marks an error whose command was asked for JSON.
type asJSON struct{ error }

func (j asJSON) Unwrap() error { return j.error }

// Action wraps a command's action so that Report knows whether to answer in JSON.
func Action(action cli.ActionFunc) cli.ActionFunc {
	return func(c *cli.Context) error {
		err := action(c)
		if err != nil && c.Bool("json") {
			return asJSON{err}
		}
		return err
	}
}

// OnUsage is a command's cli.OnUsageErrorFunc: flags that do not parse are
// reported like every other error, without the page of help around it.
func OnUsage(c *cli.Context, err error, _ bool) error {
	err = WithHint(Usagef("%s", err), "see %s --help", c.Command.HelpName)
	if c.Bool("json") {
		return asJSON{err}
	}
	return err
}

// Report tells err to a person on stderr and, if its command was asked for
// JSON, to a program on stdout. It returns the exit code.
func Report(err error, name string, stdout, stderr io.Writer) int {
	if err == nil {
		return OK
	}
	if status, ok := err.(cli.ExitCoder); ok && status.Error() == "" {
		return status.ExitCode() // the program's own status
	}
	code := Code(err)
	if j, ok := err.(asJSON); ok {
		doc := wire.Document{Error: &wire.Failure{Code: Word(err), Message: j.Error(), Hint: Hint(err), Exit: code}}
		enc := json.NewEncoder(stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if encErr := enc.Encode(doc); encErr != nil {
			fmt.Fprintf(stderr, "%s: write the answer: %v\n", name, encErr)
		}
	}
	fmt.Fprintf(stderr, "%s: %s\n", name, strings.TrimSpace(err.Error()))
	if hint := Hint(err); hint != "" {
		fmt.Fprintf(stderr, "hint: %s\n", hint)
	}
	return code
}
