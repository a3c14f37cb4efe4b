// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package durabledir

import (
	"github.com/ateom/ateom/artifacts"
)

// OnResume says what a sandbox starts from when its snapshot holds no memory.
type OnResume string

const (
	// ColdBoot starts the containers anew over the snapshot's DurableDirs.
	ColdBoot OnResume = "ColdBoot"
	// Golden starts from the memory of a golden Full snapshot, with this
	// snapshot's DurableDirs under it.
	Golden OnResume = "Golden"
)

// ParseScopes reads the annotations on-pause and on-commit; "" means unset.
// An unset on-pause is Full, and an unset on-commit follows on-pause: a Commit
// can keep what a Pause keeps or less, never more. Every error is a *FieldError.
func ParseScopes(onPause, onCommit string) (pause, commit artifacts.Scope, err error) {
	pause, err = parseScope("on-pause", onPause, artifacts.Full)
	if err != nil {
		return "", "", err
	}
	commit, err = parseScope("on-commit", onCommit, pause)
	if err != nil {
		return "", "", err
	}
	if !Contains(pause, commit) {
		return "", "", fieldf("on-commit", "must be within on-pause %s, got %s", pause, commit)
	}
	return pause, commit, nil
}

// ParseOnResume reads the annotation on-resume; "" means ColdBoot. Every error
// is a *FieldError.
func ParseOnResume(s string) (OnResume, error) {
	switch r := OnResume(s); r {
	case "":
		return ColdBoot, nil
	case ColdBoot, Golden:
		return r, nil
	}
	return "", fieldf("on-resume", "must be ColdBoot or Golden, got %q", s)
}

// Contains reports whether a snapshot of scope whole holds all that one of
// scope part holds.
func Contains(whole, part artifacts.Scope) bool { return rank(part) <= rank(whole) }

func rank(s artifacts.Scope) int {
	switch s {
	case artifacts.Full:
		return 2
	case artifacts.Data:
		return 1
	}
	return 0
}

func parseScope(field, s string, unset artifacts.Scope) (artifacts.Scope, error) {
	switch scope := artifacts.Scope(s); scope {
	case "":
		return unset, nil
	case artifacts.Full, artifacts.Data, artifacts.None:
		return scope, nil
	}
	return "", fieldf(field, "must be Full, Data or None, got %q", s)
}
