// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"testing"
	"time"

	"github.com/ateom/ateom/artifacts"
	"github.com/google/go-cmp/cmp"
)

func TestRetentionKeepsWhatEitherRuleKeeps(t *testing.T) {
	var all []*artifacts.Manifest
	for i := range 6 {
		m := manifest(artifacts.NewID(epoch.Add(time.Duration(i)*time.Hour)), artifacts.Data)
		m.Sandbox.ID = []string{"a", "b"}[i%2]
		all = append(all, m)
	}
	now := epoch.Add(5 * time.Hour)
	for name, c := range map[string]struct {
		r    Retention
		want []int
	}{
		"nothing is said":  {Retention{}, nil},
		"last":             {Retention{KeepLast: 1}, []int{0, 1, 2, 3}},
		"last two":         {Retention{KeepLast: 2}, []int{0, 1}},
		"within":           {Retention{KeepWithin: 2 * time.Hour}, []int{0, 1, 2}},
		"last and within":  {Retention{KeepLast: 1, KeepWithin: 3 * time.Hour}, []int{0, 1}},
		"within for years": {Retention{KeepWithin: 1000 * time.Hour}, nil},
	} {
		var want []artifacts.ID
		for _, i := range c.want {
			want = append(want, all[i].ID)
		}
		var got []artifacts.ID
		for _, m := range c.r.Expired(all, now) {
			got = append(got, m.ID)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
