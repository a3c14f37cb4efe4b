// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/url"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func TestNamespacesHavePartsOfAStoreForThemselves(t *testing.T) {
	c := &Config{DefaultStore: "plain", Stores: map[string]Store{
		"plain":  {URL: "s3://b?region=r&prefix=pool"},
		"bare":   {URL: "file:///srv/snapshots"},
		"marked": {URL: "gs://b?prefix=ns/{namespace}/v1"},
		"shared": {URL: "gs://b?prefix=golden", Shared: true},
		"some":   {URL: "gs://b", Namespaces: []string{"team-a"}},
	}}
	for _, tt := range []struct{ store, namespace, name, prefix string }{
		{"", "team-a", "plain/team-a", "pool/namespaces/team-a"},
		{"plain", "a", "plain/a", "pool/namespaces/a"},
		{"bare", "a", "bare/a", "namespaces/a"},
		{"marked", "team-a", "marked/team-a", "ns/team-a/v1"},
		{"shared", "team-a", "shared", "golden"},
		{"some", "team-a", "some/team-a", "namespaces/team-a"},
	} {
		name, s, err := c.PodStore(tt.store, tt.namespace)
		if err != nil {
			t.Errorf("PodStore(%q, %q): %v", tt.store, tt.namespace, err)
			continue
		}
		u, err := url.Parse(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		if got := u.Query().Get("prefix"); name != tt.name || got != tt.prefix {
			t.Errorf("PodStore(%q, %q) = %s, prefix %q, want %s, %q", tt.store, tt.namespace, name, got, tt.name, tt.prefix)
		}
	}
	if _, _, err := c.PodStore("some", "team-b"); !errdefs.IsPermissionDenied(err) {
		t.Errorf("a namespace that is not on the store's list: %v", err)
	}
	for _, namespace := range []string{"", "..", "a/b", "A", "a b", "{namespace}", strings.Repeat("a", 64)} {
		if _, _, err := c.PodStore("plain", namespace); !errdefs.IsInvalidArgument(err) {
			t.Errorf("namespace %q: %v", namespace, err)
		}
	}
	// A pod's namespace is its own, whatever it names.
	for _, name := range []string{"plain/team-b", "plain/", "/", "plain/../team-b"} {
		if _, _, err := c.PodStore(name, "team-a"); err == nil {
			t.Errorf("a pod was given store %q", name)
		}
	}
}

func TestOperatorsNameAPartByItsNamespace(t *testing.T) {
	c := &Config{Stores: map[string]Store{"plain": {URL: "gs://b"}, "marked": {URL: "gs://b?prefix={namespace}"}}}
	for name, want := range map[string]string{
		"plain": "gs://b", "plain/a": "gs://b?prefix=namespaces%2Fa", "marked/a": "gs://b?prefix=a",
	} {
		if got, s, err := c.Store(name); err != nil || got != name || s.URL != want {
			t.Errorf("Store(%q) = %s, %s, %v, want %s", name, got, s.URL, err, want)
		}
	}
	if _, _, err := c.Store("marked"); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "marked/NAMESPACE") {
		t.Errorf("a store of namespaces alone: %v", err)
	}
}

func TestMarksThatWouldMixNamespacesAreRefused(t *testing.T) {
	for _, s := range []Store{
		{URL: "gs://b?prefix=a-{namespace}"}, {URL: "gs://b?prefix={namespace}-a/x"}, {URL: "gs://b?prefix={ns}"},
		{URL: "gs://{namespace}"}, {URL: "s3://b?profile={namespace}"}, {URL: "gs://b?prefix={namespace}", Shared: true},
		{URL: "gs://b", Namespaces: []string{"../a"}},
	} {
		c := Default()
		c.Stores = map[string]Store{"s": s}
		if err := c.resolve(); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "stores.s") {
			t.Errorf("store %+v: %v", s, err)
		}
	}
}
