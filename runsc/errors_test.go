// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package runsc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestErrorQuotesWhatTheCallLogged(t *testing.T) {
	r, _ := fakeRunsc(t, `{
echo '{"msg":"starting","level":"info"}'
echo 'not json'
echo '{"msg":" first ","level":"error"}'
echo '{"msg":"second","level":"fatal"}'
} >>"$LOG"; exit 128`)
	writeFile(t, r.Log, `{"msg":"of an earlier call","level":"error"}`+"\n", 0o600)
	err := r.Pause(t.Context(), "c")
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("Pause = %v, want an Error", err)
	}
	want := &Error{Verb: "pause", Status: 128, Messages: []string{"first", "second"}}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
	if got, want := err.Error(), "runsc pause: first; second"; got != want {
		t.Errorf("text %q, want %q", got, want)
	}
}

func TestErrorWithoutMessagesTellsTheStatus(t *testing.T) {
	r, _ := fakeRunsc(t, "exit 5")
	if err := r.Pause(t.Context(), "c"); err == nil || err.Error() != "runsc pause: exit status 5" {
		t.Errorf("Pause = %v", err)
	}
}

func TestErrorIsFoundBehindALotOfLog(t *testing.T) {
	r, _ := fakeRunsc(t, `i=0; while [ $i -lt 40 ]; do printf '{"msg":"%010000d","level":"debug"}\n' 0; i=$((i+1)); done >>"$LOG"
printf '{"msg":"panic %0100000d","level":"error"}\n' 0 >>"$LOG"
echo '{"msg":"the reason","level":"error"}' >>"$LOG"; exit 1`)
	var e *Error
	if err := r.Pause(t.Context(), "c"); !errors.As(err, &e) {
		t.Fatalf("Pause = %v, want an Error", err)
	}
	if n := len(e.Messages); n != 2 || e.Messages[1] != "the reason" {
		t.Errorf("%d messages, want the panic and the reason", n)
	}
}

func TestErrorMessagesKeepsTheLastFew(t *testing.T) {
	var log strings.Builder
	for i := range 9 {
		fmt.Fprintf(&log, "{\"msg\":\"%d\",\"level\":\"error\"}\n", i)
	}
	if diff := cmp.Diff([]string{"5", "6", "7", "8"}, errorMessages(strings.NewReader(log.String()))); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

func TestErrorMessagesAreBounded(t *testing.T) {
	long := "beginning " + strings.Repeat("é", maxQuote) + " end"
	for _, messages := range [][]string{{long}, {long, "short"}, {"short", long}, {long, long, long}} {
		n := len(messages)
		got := bounded(slices.Clone(messages))
		var all int
		for _, m := range got {
			all += len(m)
			if m != "short" && (!strings.HasPrefix(m, "beginning é") || !strings.HasSuffix(m, "é end") || !utf8.ValidString(m)) {
				t.Errorf("shortened to %q", m)
			}
		}
		if all > maxQuote || len(got) == 0 || (messages[n-1] == "short") != (got[len(got)-1] == "short") {
			t.Errorf("%d messages, the last one of %d bytes, became %d of %d bytes", n, len(messages[n-1]), len(got), all)
		}
	}
	if got := bounded([]string{"a", "b"}); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("short messages became %q", got)
	}
}

func TestIsNotExist(t *testing.T) {
	tests := []struct {
		err  error
		want bool
	}{
		{&Error{Messages: []string{"FetchSpec failed: loading container: file does not exist"}}, true},
		{fmt.Errorf("wrapped: %w", &Error{Messages: []string{"x", "loading container: file does not exist"}}), true},
		{&Error{Messages: []string{"destroying container: cgroup /a does not exist"}}, false},
		{&Error{Messages: []string{"loading container: permission denied"}}, false},
		{&Error{}, false},
		{errors.New("loading container: file does not exist"), false},
		{nil, false},
	}
	for _, tt := range tests {
		if got := IsNotExist(tt.err); got != tt.want {
			t.Errorf("IsNotExist(%v) = %v", tt.err, got)
		}
	}
}
