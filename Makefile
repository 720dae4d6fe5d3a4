# make               Build ./poolrun, ./poolrun-etcd, ./pool_server and ./pool_client.
# make cluster       Build ./poolrun-etcd, which poolrun needs for pools on etcd.
# make etcd          Build ./etcd, an etcd server to try such pools with. It takes minutes the first time.
# make demo          Show poolrun at work.
# make demo-cluster  Show a pool on etcd that several simulated machines share.
# make test          Run all tests.
# make check         Check a change: format, vet, staticcheck, the packages' tests with the race detector,
#                    the tests of the program without the direct path, fuzzing.
# make storm         Kill, stop and cancel many poolruns at once, and check what must hold.
#                    DURATION=60s, SEED=n
# make storm-cluster The same for pools on etcd, while its servers and networks fail too. DURATION=60s, SEED=n
# make bench         Measure poolrun beside flock(1) and all comparable tools that are installed.
# make bench-quick   The same in a few minutes, with fewer rounds.
# make bench-compare Compare ./poolrun with an older build, in two minutes. OLD=path
# make bench-cluster Measure pools on etcd beside etcdctl lock and the mutex of its client.
# make plots         Draw the figures of the last benchmark into docs/.
# make install       Install poolrun and poolrun-etcd, with man pages and completions. PREFIX=/usr/local, DESTDIR=
# make dist          Make the tarballs of a release in dist/, with checksums and lists of what is linked.
#                    ARCH="amd64 arm64"
# make deb           Make the Debian packages of a release in dist/.
# make clean         Remove the programs, and build/ and dist/.

GO      ?= go
PREFIX  ?= /usr/local
DESTDIR ?=
DURATION ?= 60s
SEED    ?=
ARCH    := amd64 arm64

# The version of the next release. It is written only here.
RELEASE := 0.1.0

# The commit with the tag v0.1.0 has the version 0.1.0. So has a source tree without git, with the date 2026-01-01. Any
# other commit has a version that precedes 0.1.0 and contains its time and hash, as the pseudo-versions of Go do:
# 0.1.0-dev.20261130011646.ge5bc7d3950e8, followed by .dirty if files were changed. In a Debian package, it begins with
# 0.1.0~dev.
ifeq ($(wildcard .git),)
VERSION ?= $(RELEASE)
COMMIT  ?= unknown
SOURCE_DATE_EPOCH ?= 1767225600
else
COMMIT  ?= $(or $(shell git describe --always --dirty=.dirty --exclude='*' --abbrev=12),unknown)
tag     := $(shell git describe --tags --match='v$(RELEASE)' --dirty=.dirty 2>/dev/null)
time    := $(shell TZ=UTC git log -1 --format=%cd --date=format-local:%Y%m%d%H%M%S)
VERSION ?= $(RELEASE)$(if $(filter-out v$(RELEASE),$(or $(tag),none)),-dev.$(time).g$(COMMIT))
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)
endif

cli     := github.com/poolrun/poolrun/internal/cli
build   := env CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false
# -E sets the entry point, which does not work with cgo: see supervisor/entry_linux.go.
ldflags := -s -w -E poolrun_entry -X $(cli).version=$(VERSION) -X $(cli).commit=$(COMMIT)
etcd_ldflags := -s -w -X main.version=$(VERSION)
# The program that makes a release runs on this machine, whatever GOOS and GOARCH are.
release := SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) GOOS= GOARCH= $(GO) run ./internal/release -version '$(VERSION)' -arch '$(ARCH)' \
	-poolrun '$(ldflags)' -poolrun-etcd '$(etcd_ldflags)'

# Commands in the module for pools on etcd. The modules of etcd take minutes to compile, and are compiled anew for other flags.
in_cluster := cd cluster && exec env CGO_ENABLED=0 GOFLAGS="$$GOFLAGS -trimpath" POOLRUN_TEST_ETCD="$${POOLRUN_TEST_ETCD:-$(CURDIR)/etcd}"
# The others consist of a main function that calls a program of etcd.
checked = $(shell cd cluster && $(GO) list ./... | grep -v /tests/etcd)

.PHONY: all poolrun poolrun-etcd cluster etcd pool_server pool_client demo demo-cluster test check storm storm-cluster bench bench-quick bench-compare bench-cluster plots install dist deb clean
.DEFAULT_GOAL := all
# dist and deb write checksums into the same file.
.NOTPARALLEL:

all: poolrun poolrun-etcd pool_server pool_client

# The target is phony because the go command itself decides what to rebuild.
poolrun:
	$(build) -ldflags '$(ldflags)' -o $@ .

# A module of its own, so that nothing else needs the modules of etcd.
poolrun-etcd:
	cd cluster && $(build) -ldflags '$(etcd_ldflags)' -o ../$@ .

cluster: poolrun-etcd

etcd:
	$(in_cluster) $(GO) build -o ../$@ ./tests/etcd

pool_server pool_client:
	$(build) -ldflags '-s -w' -o $@ ./examples/$@

demo: poolrun pool_server pool_client
	./run_demo.sh --mode=golden
	./run_demo.sh --mode=failure; test $$? -eq 2

demo-cluster: poolrun poolrun-etcd etcd
	$(in_cluster) $(GO) build -o ../build/demo-cluster ./demo
	$(in_cluster) ../build/demo-cluster

test: etcd
	CGO_ENABLED=0 $(GO) test -count=1 -timeout 20m ./...
	$(in_cluster) $(GO) test -count=1 -timeout 20m ./...

# Fuzzing has a number of runs, since before Go 1.27 a limit of time is sometimes reported as a failure
# (go.dev/issue/75804).
check: etcd
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not formatted by gofmt: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags crashpoints ./...
	$(GO) vet -tags nodirect ./...
	GOARCH=arm64 $(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(in_cluster) $(GO) vet $(checked)
	$(in_cluster) $(shell $(GO) tool -n staticcheck) $(checked)
	@if command -v shellcheck >/dev/null; then shellcheck run_demo.sh .ci/run examples/*/*.sh; else echo 'shellcheck is not installed: skipping the scripts'; fi
	CGO_ENABLED=1 $(GO) test -count=1 -timeout 20m -race $$($(GO) list ./... | grep -v /tests$$)
	$(in_cluster) CGO_ENABLED=1 $(GO) test -count=1 -timeout 20m -race ./internal/...
	WITHOUT_DIRECT_PATH=1 CGO_ENABLED=0 $(GO) test -count=1 -timeout 20m ./tests
	$(GO) test -run '^$$' -fuzz FuzzLedger -fuzztime 3000x -fuzzminimizetime 1x ./pool

storm:
	STORM_DURATION=$(DURATION) STORM_SEED=$(SEED) CGO_ENABLED=0 $(GO) test -count=1 -timeout 0 -v -run '^TestStorm$$' ./tests

storm-cluster: etcd
	$(in_cluster) STORM_DURATION=$(DURATION) STORM_SEED=$(SEED) $(GO) test -count=1 -timeout 0 -v -run '^TestStorm$$' ./tests

bench: poolrun
	$(GO) run ./tests/bench

bench-quick: poolrun
	$(GO) run ./tests/bench -quick

bench-compare: poolrun
	@test -n '$(OLD)' || { echo 'bench-compare needs OLD=path, an older build of poolrun'; exit 1; }
	$(GO) run ./tests/bench -old '$(OLD)'

bench-cluster: poolrun poolrun-etcd etcd
	$(in_cluster) $(GO) build -o ../build/etcdctl ./tests/etcdctl
	$(in_cluster) $(GO) run ./tests/bench

plots:
	$(GO) run ./tests/bench -plot docs

install: poolrun poolrun-etcd
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/bin poolrun poolrun-etcd
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man1 docs/poolrun.1
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man7 docs/poolrun-etcd.7
	mkdir -p build
	for shell in bash zsh fish; do ./poolrun completion $$shell >build/completion.$$shell || exit; done
	install -D -m 644 build/completion.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/poolrun
	install -D -m 644 build/completion.zsh $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_poolrun
	install -D -m 644 build/completion.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/poolrun.fish

dist deb:
	$(release) $@ $(build)

clean:
	rm -rf poolrun poolrun-etcd etcd pool_server pool_client build dist
