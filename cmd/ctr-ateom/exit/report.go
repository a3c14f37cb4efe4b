// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package exit

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

// A Document is the JSON value that a failed command prints with --json.
type Document struct {
	Error struct {
		// Code is a containerd errdefs word such as "not_found".
		Code    string `json:"code"`
		Message string `json:"message"`
		Hint    string `json:"hint,omitempty"`
		// Exit is the exit code of the command.
		Exit int `json:"exit"`
	} `json:"error"`
}

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
		var doc Document
		doc.Error.Code, doc.Error.Exit = Word(err), code
		doc.Error.Message, doc.Error.Hint = j.Error(), Hint(err)
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
