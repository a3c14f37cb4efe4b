// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/ateom/ateom/cmd/ctr-ateom/view"
	"github.com/ateom/ateom/cmd/wire"
)

// done are the verbs' past participles.
var done = map[string]string{"pause": "paused", "resume": "resumed", "commit": "committed"}

// show writes an answer for people, or as it is with --json.
func show(c *cli.Context, answer []byte) error {
	if c.Bool("json") {
		_, err := c.App.Writer.Write(answer)
		return err
	}
	if c.Command.Name == "snapshots" {
		return showSnapshots(c, answer)
	}
	w, pod := c.App.Writer, c.Args().First()
	if c.Command.Name == wire.StatusVerb {
		var a wire.Status
		if err := json.Unmarshal(answer, &a); err != nil {
			return fmt.Errorf("read the agent's answer: %w", err)
		}
		fmt.Fprintf(w, "%s is %s\n", pod, a.State)
		if a.Snapshot != nil {
			fmt.Fprintf(w, "snapshot %s  %s  %s\n", a.Snapshot.ID, a.Snapshot.Scope, view.Bytes(a.Snapshot.Bytes))
		}
		return nil
	}
	var a wire.Result
	if err := json.Unmarshal(answer, &a); err != nil {
		return fmt.Errorf("read the agent's answer: %w", err)
	}
	fmt.Fprintf(w, "%s %s in %s (%s)\n", done[c.Command.Name], pod, view.Duration(a.Took), view.Phases(a.Phases))
	switch {
	case a.Snapshot == nil:
	case a.BytesSent != nil:
		fmt.Fprintf(w, "%s, %s, %s sent, to %s\n%s\n", a.Snapshot.Scope, view.Bytes(a.Snapshot.Bytes), view.Bytes(*a.BytesSent), a.Snapshot.Store, a.Snapshot.ID)
	default:
		fmt.Fprintf(w, "snapshot %s  %s  %s\n", a.Snapshot.ID, a.Snapshot.Scope, view.Bytes(a.Snapshot.Bytes))
	}
	return nil
}

func showSnapshots(c *cli.Context, answer []byte) error {
	var list []wire.Snapshot
	if err := json.Unmarshal(answer, &list); err != nil {
		return fmt.Errorf("read the agent's answer: %w", err)
	}
	rows := make([][]string, 0, len(list))
	for _, s := range list {
		rows = append(rows, []string{s.ID, s.Scope, view.Bytes(s.Bytes), s.Created.Local().Format(time.DateTime)})
	}
	return view.Table(c.App.Writer, []string{"ID", "SCOPE", "SIZE", "CREATED"}, rows)
}
