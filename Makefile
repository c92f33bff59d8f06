# What a contributor runs. `.ci/run` runs the same targets from a clean checkout.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# The pinned tools are built once, outside of the checkout.
CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/muster
GOLANGCI_LINT_VERSION := v2.15.0
GOLANGCI_LINT := $(CACHE)/golangci-lint-$(GOLANGCI_LINT_VERSION)/golangci-lint
GOVULNCHECK_VERSION := v1.8.0
GOVULNCHECK := $(CACHE)/govulncheck-$(GOVULNCHECK_VERSION)/govulncheck

# This module and the ones nested in it, as go.work joins them.
MODULES := $(patsubst %/,%,$(dir $(wildcard go.mod */go.mod)))
EVERY_PACKAGE := $(patsubst %,./%/...,$(filter-out .,$(MODULES))) ./...

# How long each fuzz target runs, and what `make test` and `make interop` add to the commands.
FUZZTIME ?= 5s
TESTFLAGS ?=
INTEROPFLAGS ?=

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-17s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: test
test: ## run all tests of all modules (TESTFLAGS='-race -run …')
	go test $(TESTFLAGS) $(EVERY_PACKAGE)
	$(MAKE) --no-print-directory test-sql

.PHONY: test-sql
test-sql: ## run the tests of handler and directories on SQLite and PostgreSQL (skipped where that is not installed)
	@# -count=1: the cache does not see which store it was. Not under the race detector: SQLite in Go is many times slower there, and the modules' own tests of the stores are.
	for store in sqlite postgres; do SCIM_TEST_STORE=$$store go test -count=1 $(filter-out -race,$(TESTFLAGS)) -timeout 30m -overlay sqltest/overlay.json . ./directory; done

.PHONY: cover
cover: ## fail if a package that must be covered is below 90 % of its statements
	.ci/cover

.PHONY: fuzz
fuzz: ## run each fuzz target of every package for FUZZTIME (5s)
	.ci/fuzz $(FUZZTIME)

.PHONY: interop
interop: ## run software of others against the quickstart (INTEROPFLAGS='-only node -v')
	go run -C interop . -cache "$(CACHE)" $(INTEROPFLAGS)

.PHONY: bench
bench: ## print the speed figures, beside those of a peer and of SQL written by hand
	go run -C bench .
	go run -C bench . sql

.PHONY: bench-scale
bench-scale: ## the same for a million users in PostgreSQL: some minutes, 10 GB of disk
	go run -C bench . scale

.PHONY: bench-directories
bench-directories: ## a role mapping changed for 50,000 users on every store, other requests meanwhile
	go run -C bench . directories

.PHONY: docs
docs: ## write what is generated: docs/conformance.md, docs/dialects.md
	go test . -run '^Test(Conformance|Dialects)Document$$' -update

.PHONY: vet
vet: ## run go vet in all modules
	go vet $(EVERY_PACKAGE)

.PHONY: lint
lint: $(GOLANGCI_LINT) ## run the linters and the check of the format in all modules
	$(GOLANGCI_LINT) config verify
	$(GOLANGCI_LINT) run $(EVERY_PACKAGE)

.PHONY: fmt
fmt: $(GOLANGCI_LINT) ## format all Go files
	$(GOLANGCI_LINT) fmt

.PHONY: tidy
tidy: ## bring go.mod and go.sum of all modules up to date
	for module in $(MODULES); do go mod tidy -C "$$module"; done

.PHONY: tidy-check
tidy-check: ## fail if `make tidy` would change something
	for module in $(MODULES); do go mod tidy -C "$$module" -diff; done

.PHONY: vuln
vuln: $(GOVULNCHECK) ## look for known vulnerabilities that the code reaches
	$(GOVULNCHECK) $(EVERY_PACKAGE)

.PHONY: ci
ci: ## run everything that a change must pass
	.ci/run

$(GOLANGCI_LINT):
	GOBIN="$(@D)" go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)

$(GOVULNCHECK):
	GOBIN="$(@D)" go install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)
