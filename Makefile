# Every verb of the project. `make help` lists them; the first run of a verb sets up what it needs.

PYTHON ?= python3
HTTP ?= 127.0.0.1:9009
DATA ?= data
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
export CARGO_TARGET_DIR ?= $(CURDIR)/native/target

NATIVE_SOURCES := $(shell find native/src -name '*.rs') native/Cargo.toml native/Cargo.lock pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help run cluster build native-quick test unit peers differential torture faults simulate lint format bench conformance proto docs lock image clean

help: ## List the verbs
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---- set-up: stamps make a second call start at once ----

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Rondel needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@command -v cargo >/dev/null || { echo "Rondel needs a Rust toolchain: https://rustup.rs"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements/run.lock | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

$(VENV)/.dev: requirements/dev.lock | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@ $(VENV)/.run

$(VENV)/.native: $(NATIVE_SOURCES) | $(VENV)/.run
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop --release --locked --quiet
	@touch $@

# ---- verbs ----

run: build ## Set up and run the standalone server (HTTP=host:port, DATA=directory, ARGS=more options)
	$(BIN)/rondel standalone --data-dir $(DATA) --http-listen $(HTTP) $(ARGS)

cluster: build $(VENV)/.dev ## A cluster of real processes on this machine (COUNT=ingesters in each of three zones, DATA=directory, ARGS=more options)
	$(BIN)/python -m deploy.local --directory $(DATA)/cluster --count $(or $(COUNT),1) $(ARGS)

build: $(VENV)/.run $(VENV)/.native ## Make the environment and build the native core

native-quick: $(VENV)/.run ## Rebuild the native core with the fast-linking profile (edit-build-test loop)
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop --profile quick --locked --quiet

test: build $(VENV)/.dev $(if $(filter no,$(PEERS)),,peers) ## Everything the tests need, then all tests (PEERS=no leaves out those with real peers)
	native/test $(CURDIR)/$(BIN)/python
	$(if $(ARGS),$(BIN)/python -m pytest,tests/together $(BIN)/python) -m "not faults and not $(if $(filter no,$(PEERS)),peer,current_peer)" $(ARGS)

unit: build $(VENV)/.dev ## Only the tests that start no process
	$(BIN)/python -m pytest -m "not e2e" $(ARGS)

peers: ## Fetch the real servers that tests and benchmarks compare with (Debian packages, unpacked into .peers)
	@tests/support/fetch-peers prometheus prometheus-node-exporter victoria-metrics

differential: build $(VENV)/.dev ## Many random expressions against Debian's newest Prometheus (COUNT=20000 SEED=1)
	@tests/support/fetch-peers prometheus-3
	E2E_EXPRESSIONS=$(or $(COUNT),20000) E2E_SEED=$(or $(SEED),1) \
		$(BIN)/python -m pytest tests/e2e/test_mixed_expressions.py $(ARGS)

torture: build $(VENV)/.dev ## Kill and restart the server for a long time (ROUNDS=200)
	E2E_KILL_ROUNDS=$(or $(ROUNDS),200) $(BIN)/python -m pytest tests/e2e/test_kill_loses_nothing.py --timeout 7200 $(ARGS)

faults: build $(VENV)/.dev peers ## Break everything in a cluster once and write the table of docs/reliability.md (ARGS="-k etcd")
	FAULTS_PAGE=docs/reliability.md $(BIN)/python -m pytest tests/e2e/test_cluster_faults.py tests/e2e/test_prometheus_and_dying_processes.py -s $(ARGS)

simulate: build $(VENV)/.dev ## Many random schedules of faults for ring, quorum, joins and leaves (COUNT=1000 FIRST=0)
	$(BIN)/python -m tests.sim $(or $(COUNT),1000) $(or $(FIRST),0)

lint: build $(VENV)/.dev ## Style, types, import contracts, Rust lints, native stubs
	PATH="$(CURDIR)/$(BIN):$$PATH" .ci/lint

format: $(VENV)/.dev ## Format Python and Rust
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .
	cargo fmt --manifest-path native/Cargo.toml

bench: build $(VENV)/.dev peers ## Measure side by side with Prometheus and VictoriaMetrics (QUICK=1, ONLY=ingest, DATA_FILE=x.npz)
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) $(if $(DATA_FILE),--data $(DATA_FILE)) $(ARGS)

conformance: build $(VENV)/.dev ## Run PromQL scripts: make conformance DIR=../shared/promqltest (ARGS=--http for a server beside the engine)
	$(BIN)/python -m tests.promql.conformance $(or $(DIR),tests/promql) $(ARGS)

proto: $(VENV)/.dev ## Regenerate code from proto/
	proto/generate $(BIN)/python

docs: build $(VENV)/.dev ## Regenerate generated pages and check that links resolve
	$(BIN)/python -m services.standalone.reference docs/configuration.md
	$(BIN)/python -m services.standalone.metricspage docs/metrics.md
	$(BIN)/python -m pytest -q tests/unit/test_tidy.py

lock: $(VENV)/.dev ## Renew the lock files (ARGS=--upgrade)
	PATH="$(CURDIR)/$(BIN):$$PATH" requirements/compile $(ARGS)

image: ## Build the container image of all roles (IMAGE=rondel:dev; needs docker)
	docker build --tag $(or $(IMAGE),rondel:dev) .

clean: ## Remove what was built (keeps data/)
	rm -rf $(VENV) .peers native/target dist rondel/_native*.so
