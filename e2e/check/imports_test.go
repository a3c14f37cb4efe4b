// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"encoding/json"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/ateom/ateom"

// A rule names packages and what of this module they may import. A name that
// ends in "/..." stands for the package and all below it.
type rule struct {
	packages string
	may      []string
}

// rules are the arrows of ARCHITECTURE.md. The first rule that matches a
// package is the one that holds for it; every package must have one.
var rules = []rule{
	{"artifacts", nil},
	{"artifacts/job", []string{"artifacts"}},
	{"artifacts/local", []string{"artifacts"}},
	{"artifacts/cache", []string{"artifacts"}},
	{"artifacts/chunk", []string{"artifacts"}},
	{"artifacts/pack", []string{"artifacts"}},
	{"artifacts/bucket/...", []string{"artifacts", "artifacts/bucket/..."}},
	{"artifacts/transfer/...", []string{"artifacts", "artifacts/bucket/...", "artifacts/cache", "artifacts/chunk", "artifacts/job", "artifacts/local", "artifacts/pack", "artifacts/transfer/...", "durabledir"}},
	{"artifacts/seat/...", []string{"artifacts", "artifacts/cache", "artifacts/job", "artifacts/local", "artifacts/pack", "artifacts/seat/..."}},
	{"durabledir/...", []string{"artifacts", "durabledir/..."}},
	{"runsc", nil},
	{"proto/...", nil},

	// Rooms of the shim that must not know each other.
	{"shim/annotation", nil},
	{"shim/cgroup", nil},
	{"shim/inside", nil},
	{"shim/journal", nil},
	{"shim/network", nil},
	{"shim/hook", []string{"shim/annotation"}},
	{"shim/readiness", []string{"shim/annotation"}},
	{"shim/reap", nil},
	{"shim/sandboxid", nil},
	{"shim/allports", []string{"shim/network"}},
	{"shim/portforward", []string{"shim/allports"}},
	{"shim/standin", []string{"shim/allports"}},
	{"shim/stdio", nil},
	{"shim/pod", []string{"artifacts", "runsc", "shim/replace"}},
	{"shim/volumes", []string{"artifacts", "shim/dirlock", "shim/replace"}},
	{"shim/record", []string{"artifacts", "shim/network", "shim/replace"}},
	{"shim/roster", []string{"artifacts", "shim/dirlock", "shim/replace", "shim/rundir"}},
	{"shim/replace", nil},
	{"shim/rundir", nil},
	{"shim/sweep", []string{"artifacts/local", "shim/config", "shim/network", "shim/roster", "shim/rundir", "shim/volumes"}},
	{"shim/config", []string{"artifacts/cache", "artifacts/job"}},
	{"shim/gofer", []string{"artifacts", "artifacts/job", "runsc"}},
	{"shim/serve", []string{"shim", "shim/reap", "shim/sandboxid"}},
	{"shim/...", []string{"artifacts", "artifacts/job", "artifacts/local", "durabledir", "proto/...", "runsc", "shim/..."}},

	// The node agent reads what shims have noted, and calls none of their code.
	{"cmd/ateom-agent/...", []string{"cmd/ateom-agent/...", "cmd/wire", "shim/config", "shim/journal", "shim/replace", "shim/roster", "shim/rundir"}},
	{"cmd/containerd-shim-ateom-v1", []string{"shim/bootstrap", "shim/serve"}},
	{"cmd/ateom-gofer", []string{"artifacts/..."}},
	{"cmd/installer/...", []string{"cmd/installer/..."}},
	{"cmd/kubectl-ateom/...", []string{"cmd/ctr-ateom/view", "cmd/kubectl-ateom/...", "cmd/wire"}},
	{"cmd/wire", nil},
	{"cmd/checkpointgofer", []string{"artifacts/seat"}},
	{"cmd/ctr-ateom/...", []string{"artifacts/...", "cmd/ctr-ateom/...", "cmd/wire", "proto/...", "shim/config", "shim/sandboxid", "shim/sweep"}},

	{"deploy/...", nil},

	{"e2e/check", nil},
	{"e2e/bench/peers", []string{"artifacts/...", "e2e/...", "proto/...", "runsc"}},
	{"e2e/...", []string{"artifacts/...", "cmd/ateom-agent/traces/tracestest", "durabledir", "e2e/...", "proto/...", "shim/config"}},
}

// outside says which of this module's packages may import code from a foreign
// module, where that is not everybody's right.
var outside = map[string][]string{
	"gocloud.dev":                                {"artifacts/bucket/..."},
	"cloud.google.com/go":                        {"artifacts/bucket/..."},
	"github.com/aws":                             {"artifacts/bucket/..."},
	"github.com/Azure":                           {"artifacts/bucket/..."},
	"gvisor.dev/gvisor":                          {"artifacts/seat/...", "cmd/ateom-gofer", "runsc", "shim/..."},
	"github.com/urfave/cli":                      {"cmd/...", "deploy/...", "e2e/..."},
	"github.com/prometheus":                      {"cmd/ateom-agent/..."},
	"go.opentelemetry.io":                        {"cmd/ateom-agent/...", "e2e/..."},
	"github.com/gogo":                            {},
	"github.com/containerd/containerd/v2/client": {"cmd/ctr-ateom/...", "e2e/..."},
}

// clouds are what neither the shim's binary may link, nor the gofer's that runsc starts.
var clouds = []string{
	"gocloud.dev", "cloud.google.com/go", "google.golang.org/api", "github.com/aws", "github.com/Azure",
}

// matches reports whether path is pattern, or below it if that ends in "/...".
func matches(pattern, path string) bool {
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return under(base, path)
	}
	return pattern == path
}

// under reports whether the import path is base or below it.
func under(base, path string) bool {
	return path == base || strings.HasPrefix(path, base+"/")
}

type goPackage struct {
	ImportPath string
	Imports    []string
	Doc        string
	GoFiles    []string
	Standard   bool
}

// list runs `go list -json` with args.
func list(t *testing.T, args ...string) []goPackage {
	t.Helper()
	out := run(t, top, "go", append([]string{"list", "-json=ImportPath,Imports,Doc,GoFiles,Standard"}, args...)...)
	var packages []goPackage
	for d := json.NewDecoder(strings.NewReader(out)); ; {
		var p goPackage
		err := d.Decode(&p)
		if err == io.EOF {
			return packages
		}
		if err != nil {
			t.Fatalf("decode go list: %v", err)
		}
		packages = append(packages, p)
	}
}

func TestPackagesImportOnlyWhatTheirRoomMay(t *testing.T) {
	for _, p := range list(t, "./...") {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		i := slices.IndexFunc(rules, func(r rule) bool { return matches(r.packages, name) })
		if i < 0 {
			t.Errorf("package %s has no rule: say in %s what it may import, and in ARCHITECTURE.md what it is for", name, "e2e/check/imports_test.go")
			continue
		}
		for _, imported := range p.Imports {
			if rest, ok := strings.CutPrefix(imported, module+"/"); ok {
				if !slices.ContainsFunc(rules[i].may, func(m string) bool { return matches(m, rest) }) {
					t.Errorf("package %s imports %s; it may import %q of this module", name, rest, rules[i].may)
				}
				continue
			}
			for foreign, allowed := range outside {
				if under(foreign, imported) && !slices.ContainsFunc(allowed, func(a string) bool { return matches(a, name) }) {
					t.Errorf("package %s imports %s; only %q may", name, imported, allowed)
				}
			}
		}
	}
}

func TestRulesNamePackagesThatExist(t *testing.T) {
	packages := list(t, "./...")
	for _, r := range rules {
		if !slices.ContainsFunc(packages, func(p goPackage) bool {
			return matches(r.packages, strings.TrimPrefix(p.ImportPath, module+"/"))
		}) {
			t.Errorf("rule for %s matches no package: remove it", r.packages)
		}
	}
}

func TestShimAndSeatLinkNoCloud(t *testing.T) {
	for _, program := range []string{"containerd-shim-ateom-v1", "checkpointgofer"} {
		linked := list(t, "-deps", "./cmd/"+program)
		if len(linked) < 50 {
			t.Fatalf("go list shows only %d packages: this cannot be %s", len(linked), program)
		}
		for _, p := range linked {
			for _, c := range clouds {
				if under(c, p.ImportPath) {
					t.Errorf("%s links %s: credentials belong into ateom-gofer, and SDKs start slowly", program, p.ImportPath)
				}
			}
		}
	}
}

// A program that calls methods by names that it computes keeps every method of every
// type that it links, which makes each shim larger.
func TestShimLinksNoTemplates(t *testing.T) {
	tags := regexp.MustCompile(`(?m)^TAGS := (\S+)$`).FindStringSubmatch(read(t, "Makefile"))
	if tags == nil {
		t.Fatal("the Makefile does not say with which TAGS it builds")
	}
	for _, p := range list(t, "-deps", "-tags", tags[1], "./cmd/containerd-shim-ateom-v1") {
		if p.ImportPath == "text/template" {
			t.Error("containerd-shim-ateom-v1 links text/template")
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range list(t, "./...") {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("package %s has no documentation: write a doc.go that says what it is for and what it must never do", p.ImportPath)
		}
	}
}
