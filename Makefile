# One build configuration for everything: release. `make` alone lists the targets.
SWIFT ?= swift
BUILD  = $(SWIFT) build -c release
PYTEST = .build-peers/tests/bin/python -m pytest -o cache_dir=$(CURDIR)/.build-peers/pytest-cache
APUS   = .build/release/apus

.DEFAULT_GOAL := help
.PHONY: help setup setup-peers build up test test-unit test-integration alloc-gate bench bench-seeing simulate fuzz format lint clean

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 28

setup: ## install what building needs (Debian packages; checks the Swift toolchain)
	@Scripts/setup

setup-peers: ## install the real programs that the tests run against
	@Scripts/setup-peers tests

build: setup ## build the programs
	@Scripts/build $(BUILD)

up: build ## start a mesh with a small shop of services and traffic in it
	@exec $(APUS) up --demo

test: test-unit alloc-gate test-integration ## run every test (30 minutes on two cores from a clean clone)

test-unit: setup ## run the Swift tests
	@Scripts/progress "Building the programs and their tests" $(BUILD) --build-tests
	$(SWIFT) test -c release --skip-build --disable-xctest

# Real processes, real time: what fails is tried once more, in the open, and fails for good the second time.
test-integration: build setup-peers ## run real programs through the built ones (ARGS are passed to pytest)
	$(PYTEST) Tests/Integration $(ARGS) || { echo "SOME TESTS FAILED: trying those once more"; \
	  $(PYTEST) Tests/Integration $(ARGS) --last-failed --last-failed-no-failures none; }

alloc-gate: build setup-peers ## count allocations and retains of one steady request: both must be zero
	@Benchmarks/alloc-gate

bench: build ## compare with Envoy, HAProxy and nginx (ARGS, e.g. ARGS=--quick)
	@Scripts/setup-peers bench
	@.build-peers/bench/bin/python Benchmarks/run.py $(ARGS)
	@$(MAKE) --no-print-directory bench-seeing

bench-seeing: build setup-peers ## what scrapes, an hour of statistics and the dashboard with 200 services cost
	@.build-peers/tests/bin/python Benchmarks/scrape.py
	@Scripts/progress "Building the history" $(BUILD) --product apus-history
	@.build/release/apus-history
	@.build-peers/tests/bin/python Benchmarks/dashboard.py

simulate: setup ## play the data path in virtual time from seeds (ARGS=10000: so many of each scenario)
	@Scripts/progress "Building the simulation" $(BUILD) --product apus-simulate
	.build/release/apus-simulate $(or $(ARGS),1000)

fuzz: setup ## feed hostile bytes to a parser (ARGS="http1 3600" for an hour)
	@Scripts/fuzz $(or $(ARGS),http1 60)

format: setup ## format the sources
	@Scripts/format

lint: setup ## check formatting and scripts
	@Scripts/format --check

clean: ## remove everything that was built or installed here
	rm -rf .build .build-peers Benchmarks/results
