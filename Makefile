# Copyright The ateom Authors.
# SPDX-License-Identifier: Apache-2.0
#
# `make help` says what there is. A fresh clone needs Go, make and git; every
# other program is built from a module of its own or installed from Debian when
# it is missing, and kept in $(ATEOM_CACHE), outside the tree.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS   += --no-print-directory

export ATEOM_CACHE ?= $(HOME)/.cache/ateom
export CGO_ENABLED := 0

GO       ?= go
PKGS     ?= ./...
GOTEST   ?= $(GO) test -count=1
VERSION  := $(shell git describe --tags --match 'v*' --dirty 2>/dev/null || \
              git log -1 --date=format:%Y%m%d%H%M%S --format=0.0.0-%cd-%h 2>/dev/null || echo 0.0.0-unknown)
REVISION := $(shell git rev-parse HEAD 2>/dev/null)
STAMP    := github.com/containerd/containerd/v2/version
LDFLAGS  := -s -w -X main.version=$(VERSION) -X $(STAMP).Package=github.com/ateom/ateom -X $(STAMP).Version=$(VERSION) -X $(STAMP).Revision=$(REVISION)

# Without it, gRPC links html/template, which calls methods by their names: the linker
# then keeps every method that there is, a fifth of the shim, and Go's heap profiler.
TAGS := grpcnotrace

TOOLS := containerd containerd-2.3 containerd-2.2 containerd-1.7 runsc-other gvisor_sentry-other ctr versitygw fake-gcs-server azurite
KUBERNETES := etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kubectl helm containerd-shim-runc-v2

##@ Build

.PHONY: build
build: bin/runsc ## build the static binaries into bin/, runsc and its side-car folder included
	$(GO) build -trimpath -tags $(TAGS) -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...
	@mv bin/checkpointgofer bin/gvisor-bin/checkpointgofer

.PHONY: bin/runsc
bin/runsc:
	@mkdir -p bin/gvisor-bin
	@path=$$(e2e/tools/install runsc) && { cmp -s $$path $@ || install -m 0755 $$path $@; }
	@path=$$(e2e/tools/install gvisor_sentry) && { cmp -s $$path bin/gvisor-bin/gvisor_sentry || install -m 0755 $$path bin/gvisor-bin/gvisor_sentry; }

.PHONY: tools
tools: packages ## build containerd, ctr, an S3, a GCS and an Azure server, cached, and link them into bin/tools/
	@mkdir -p bin/tools && paths=$$(e2e/tools/install $(TOOLS)) && for path in $$paths; do ln -sfn $$path bin/tools/; done

.PHONY: kubernetes
kubernetes: packages ## build etcd, Kubernetes, Helm and runc's shim, cached, and link them into bin/tools/
	@e2e/tools/packages /usr/lib/cni/bridge=containernetworking-plugins iptables=iptables criu=criu runc=runc
	@mkdir -p bin/tools && paths=$$(e2e/tools/install $(KUBERNETES)) && for path in $$paths; do ln -sfn $$path bin/tools/; done

.PHONY: rootfs
rootfs: packages ## make the root filesystems that the tests run in, cached
	$(GO) run ./e2e/images/mkimages

.PHONY: images
images: build ## write the image of the node's pod to dist/ateom-node.tar, without a registry
	$(GO) run ./deploy/image

.PHONY: packages
packages:
	@e2e/tools/packages gcc=gcc /usr/include/stdlib.h=libc6-dev ip=iproute2 debootstrap=debootstrap protoc=protobuf-compiler /usr/include/google/protobuf/timestamp.proto=libprotobuf-dev zstd=zstd git=git chattr=e2fsprogs \
		mkfs.xfs=xfsprogs mkfs.btrfs=btrfs-progs sqlite3=sqlite3 /usr/bin/python3=python3-venv getfattr=attr getfacl=acl strace=strace \
		/usr/share/postgresql-common/pg_wrapper=postgresql node=nodejs npm=npm

.PHONY: generate
generate: packages ## regenerate protobuf code and Bazel's files
	e2e/tools/generate .
	$(GOTEST) -run '^TestBazelFilesAreInSync$$' ./e2e/check -update

.PHONY: fmt
fmt: ## format all Go code
	gofmt -w $$(git ls-files -co --exclude-standard '*.go')

.PHONY: clean
clean: ## remove what build and tools have put into the tree (the cache stays)
	rm -rf bin dist

##@ Check

.PHONY: check
check: packages ## everything that needs no root: format, vet, staticcheck, generated code, dependency rules, headers
	@bad=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); [ -z "$$bad" ] || { echo "not formatted (run make fmt): $$bad" >&2; exit 1; }
	$(GO) vet $(PKGS)
	$$(e2e/tools/install staticcheck) $(PKGS)
	$(GOTEST) ./e2e/check

.PHONY: test
test: unit histories e2e e2e-k8s ## all tests: unit, then the order of concurrent verbs, end to end, and on Kubernetes

.PHONY: unit
unit: build tools ## the tests of single packages; some run the real runsc
	$(GOTEST) -timeout 15m $$($(GO) list ./... | grep -v '^github.com/ateom/ateom/e2e/')

.PHONY: histories
histories: packages ## HISTORIES=1000 histories of concurrent verbs under the race detector, each explained by a model
	CGO_ENABLED=1 GOGC=400 ATEOM_HISTORIES=$(or $(HISTORIES),1000) $(GOTEST) -race -timeout 30m -run '^(TestConcurrentVerbsHappenInSomeOrder|TestTheModelFindsLies)$$' ./shim

.PHONY: race
race: build tools ## the tests of single packages under the race detector, and thousands of concurrent histories
	CGO_ENABLED=1 ATEOM_HISTORIES=2000 $(GOTEST) -race -timeout 60m $$($(GO) list ./... | grep -v '^github.com/ateom/ateom/e2e/')

.PHONY: e2e
e2e: build tools rootfs ## the tests on a real containerd, runsc, S3 and GCS server (root)
	$(GOTEST) -timeout 20m $$($(GO) list ./e2e/... | grep -Ev '/e2e/(check|k8s)(/|$$)')

.PHONY: e2e-k8s
e2e-k8s: build tools kubernetes rootfs images ## the tests on a real kubelet and API server (root)
	$(GOTEST) -p 1 -timeout 20m ./e2e/k8s/...

.PHONY: many
many: build tools rootfs ## pause 200 sandboxes at once, weigh and watch them, commit and resume them at random (root)
	ATEOM_MANY=200 $(GOTEST) -timeout 20m -v -run ManyAsleep ./e2e/observe

.PHONY: soak
soak: build tools rootfs ## thousands of kills at random moments, SOAK=200 pauses and resumes of each of six kinds of programs; hours (root)
	$(GO) run ./e2e/images/mkimages programs
	ATEOM_KILLS=$$(( 10 * $(or $(SOAK),200) )) ATEOM_CYCLES=$(or $(SOAK),200) $(GOTEST) -timeout 12h -v ./e2e/endure

##@ Show

.PHONY: demo
demo: build tools rootfs ## pause, resume, commit and wake up elsewhere, told as a time line (root)
	$(GO) run ./e2e/demo

.PHONY: bench
bench: build tools ## measure against plain runsc and scripts, half an hour; ROW=2,4 runs some rows, QUICK=1 measures less often, DOCS=1 rewrites docs/performance.md (root)
	@e2e/tools/packages /usr/bin/aws=awscli rclone=rclone zstd=zstd debootstrap=debootstrap
	PATH=/usr/bin:$$PATH $(GO) run ./e2e/bench $(if $(ROW),-row $(ROW)) $(if $(QUICK),-quick) $(if $(DOCS),-docs docs/performance.md)

##@ Help

.PHONY: help
help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } /^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
