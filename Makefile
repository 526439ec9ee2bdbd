# Every target sets up what it needs: the first call makes .venv from the lock files, with uv where it is installed.
SHELL := /bin/bash
# Python keeps what it compiles, wherever this runs: the tests start hundreds of interpreters.
unexport PYTHONDONTWRITEBYTECODE
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
# `up`, `status` and `down` are for the stack on this machine unless told otherwise; the rest is for `dev`.
STACK ?= $(if $(filter up status down,$(MAKECMDGOALS)),local,dev)
BASE ?=
OUT ?=
STOCK ?=
VENV := .venv
BIN := $(VENV)/bin
COMMAND := $(BIN)/python -m gke_llm_inference
UV := $(shell command -v uv 2>/dev/null)
ACTIONLINT := v1.7.12
KUBE_SCORE := v1.20.0
CHECKOV := $(VENV)-checkov
# A stack on a Standard cluster and one on Autopilot.
LINTED := prod dev
PROGRAMS := __main__.py provider/__main__.py policy-pack/__main__.py
SOURCES := __main__.py benchmarks components gke_llm_inference local policy-pack provider tests tools

.PHONY: help up status capacity down preview policy plan new test test-servers test-cluster test-engine test-capacity test-models test-faults test-languages lint lint-workflows lint-manifests \
  typecheck compare-security check format generate benchmark lock clean dist test-observability test-package test-processes test-searches

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# What a preview needs; the stamp holds the lock's place in time.
$(VENV)/.runtime: requirements.txt
	@echo "Setting up $(VENV) ($(if $(UV),uv,venv and pip)) ..." >&2
	@if [ ! -x $(BIN)/python ]; then $(if $(UV),$(UV) venv --quiet --python $(PYTHON) $(VENV),$(PYTHON) -m venv $(VENV)); fi
	@$(if $(UV),$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r $<,$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r $<)
	@# Compile what a preview imports now; the SDKs are large, and later starts are then seconds faster.
	@$(BIN)/python -c 'import components, gke_llm_inference.cli.main, gke_llm_inference.cli.plan_report, gke_llm_inference.preview.child, gke_llm_inference.preview.shortcuts, gke_llm_inference.preview.monitor, gke_llm_inference.preview.render, rich.table'
	@touch $@

# What the local stack needs besides.
$(VENV)/.local: requirements-local.txt $(VENV)/.runtime
	@$(if $(UV),$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r $<,$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r $<)
	@touch $@

# What working on the project needs besides.
$(VENV)/.development: requirements-dev.txt $(VENV)/.runtime
	@echo "Adding the tools for development ..." >&2
	@$(if $(UV),$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r $<,$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r $<)
	@touch $@

up: $(VENV)/.local ## Deploy STACK; `local`, the default, to simulated nodes on this machine
	@$(BIN)/python -m local.engine up --stack $(STACK)

status: $(VENV)/.local ## Show what runs
	@$(BIN)/python -m local.engine status --stack $(STACK)

capacity: $(VENV)/.local ## Show or set the machines that Google has for the stack `local`, and what they cost: STOCK="spot=0 onDemand=2"
	@$(BIN)/python -m local.gke capacity $(STOCK)

down: $(VENV)/.local ## Delete STACK; for `local`, its control plane and files too
	@$(BIN)/python -m local.engine down --stack $(STACK)

preview: $(VENV)/.runtime ## Show what `pulumi up` would create for STACK (default dev), without a cloud; BASE=REF: what changes since; OUT=DIR writes files
	@$(COMMAND) $(if $(BASE),diff --base $(BASE) $(STACK:%=--stack %),preview --stack $(STACK)) $(if $(OUT),--out $(OUT))

policy: $(VENV)/.runtime ## Check the policies of STACK's environment on an offline preview
	@$(COMMAND) policy --stack $(STACK)

plan: $(VENV)/.runtime ## Show the plan of STACK alone: memory of the GPUs, machine, start, cost
	@$(COMMAND) plan --stack $(STACK)

new: $(VENV)/.runtime ## Write a stack file from a few answers, which are planned as you give them
	@$(COMMAND) new

test: $(VENV)/.development ## Run the tests that need no cloud and no time: three minutes on two cores
	@$(BIN)/python -m pytest -m "not processes and not searches"

test-searches: $(VENV)/.development ## Run the tests of goals and optimize, and of predictions of many loads (1 minute)
	@$(BIN)/python -m pytest -m searches

test-processes: $(VENV)/.development ## Run the tests of programs on terminals and over gRPC, that hang, die or find damaged files (1 minute)
	@$(BIN)/python -m pytest -m processes

test-package: $(VENV)/.development ## Install wheel and sdist into fresh environments, and use them there (3 minutes)
	@TEST_PACKAGE=1 $(BIN)/python -m pytest -n 0 tests/package

dist: $(VENV)/.development ## Build the wheel and the source distribution into dist/
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation --outdir dist . > /dev/null
	@ls -l dist

test-servers: $(VENV)/.development ## Hold arguments and metrics against the servers' own packages from PyPI; TEST_SERVERS=all for every version
	@TEST_SERVERS=$(or $(TEST_SERVERS),default) $(BIN)/python -m pytest -n 0 tests/servers

test-cluster: $(VENV)/.development ## Run every example and preset on a real control plane with simulated nodes; MODES=standard for less of production
	@TEST_CLUSTER=1 ENDPOINT_PICKER=$(ENDPOINT_PICKER) $(if $(MODES),PRODUCTION_MODES="$(MODES)") $(BIN)/python -m pytest -n 0 tests/cluster

test-capacity: $(VENV)/.development ## Place every list of tiers, mode, family of machines and way to the model by a real scheduler (an hour)
	@TEST_CLUSTER=1 CAPACITY_MATRIX=all $(BIN)/python -m pytest -n 0 tests/cluster/test_capacity_matrix.py

test-models: $(VENV)/.development ## Plan, preview and place every model of the catalog on its cheapest machine (15 minutes)
	@TEST_CLUSTER=1 MODELS=all $(BIN)/python -m pytest -n 0 tests/cluster/test_models.py

test-engine: $(VENV)/.development ## Run stacks through the real Pulumi engine and Kubernetes provider, on simulated nodes
	@TEST_ENGINE=1 $(BIN)/python -m pytest -n 0 tests/engine

test-faults: $(VENV)/.development ## Kill, stop, corrupt and fill up the stack on this machine; writes docs/faults.md (10 minutes at most)
	@TEST_FAULTS=1 $(BIN)/python -m pytest -n 0 tests/faults

test-languages: $(VENV)/.development ## Generate SDKs, check and deploy programs in other languages (needs Go and Node.js; three to six minutes)
	@TEST_LANGUAGES=1 $(BIN)/python -m pytest -n 0 tests/languages

test-observability: $(VENV)/.development ## Run every query of dashboards and alerts in Prometheus's engine, over simulated series (1 minute; 3 the first time; needs Go and Node.js)
	@TEST_OBSERVABILITY=1 $(BIN)/python -m pytest -n 0 tests/promql

lint: $(VENV)/.development ## Check style and formatting
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)

typecheck: $(VENV)/.development ## Check types, strictly
	@$(BIN)/mypy
	@# A module each of the same name, so one at a time.
	@for file in $(PROGRAMS); do $(BIN)/mypy $$file; done

lint-workflows: $(VENV)/.development ## Check the GitHub workflows with zizmor, and with actionlint where Go is installed
	@$(BIN)/zizmor --offline --quiet --no-progress .github
	@if command -v go > /dev/null; then go run github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT); \
	else echo "actionlint was left out: it needs Go" >&2; fi

# checkov pins half of what it shares with this project to other versions.
$(CHECKOV)/.installed: requirements-checkov.txt
	@echo "Setting up $(CHECKOV) ($(if $(UV),uv,venv and pip)) ..." >&2
	@if [ ! -x $(CHECKOV)/bin/python ]; then $(if $(UV),$(UV) venv --quiet --python $(PYTHON) $(CHECKOV),$(PYTHON) -m venv $(CHECKOV)); fi
	@$(if $(UV),$(UV) pip install --quiet --python $(CHECKOV)/bin/python --require-hashes -r $<,$(CHECKOV)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r $<)
	@touch $@

lint-manifests: $(VENV)/.runtime $(CHECKOV)/.installed ## Check manifests of both modes with checkov, and with kube-score where Go is installed (a minute; three the first time)
	@out=$$(mktemp -d); trap 'rm -rf "$$out"' EXIT; \
	for stack in $(LINTED); do $(COMMAND) preview --stack "$$stack" --out "$$out/stacks/$$stack" > /dev/null; done; \
	$(CHECKOV)/bin/checkov --directory "$$out/stacks" --framework kubernetes --output json --compact --quiet --soft-fail \
	  --skip-download > "$$out/checkov.json"; \
	$(BIN)/python -m tools.manifest_findings checkov < "$$out/checkov.json"; \
	if ! command -v go > /dev/null; then echo "kube-score was left out: it needs Go" >&2; exit 0; fi; \
	GOBIN="$$out" go install github.com/zegl/kube-score/cmd/kube-score@$(KUBE_SCORE); \
	{ "$$out/kube-score" score --output-format json "$$out"/stacks/*/manifests/*.yaml || [ $$? -eq 1 ]; } > "$$out/score.json"; \
	$(BIN)/python -m tools.manifest_findings kube-score < "$$out/score.json"

compare-security: $(VENV)/.runtime ## Check that prod is never weaker than staging
	@$(COMMAND) settings security --stack prod --at-least staging

check: lint typecheck test ## Everything that must hold

format: $(VENV)/.development ## Format the code
	@$(BIN)/ruff check --quiet --fix $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)

generate: $(VENV)/.development ## Write the JSON schema and the generated pages again
	@$(COMMAND) settings schema > schemas/stack.schema.json
	@$(BIN)/python -m tools.settings_reference > docs/configuration.md
	@$(BIN)/python -m tools.preset_reference > docs/presets.md
	@$(BIN)/python -m tools.guide_checklist > docs/guide-checklist.md
	@$(BIN)/python -m tools.memory_reference > docs/planning.md
	@$(BIN)/python -m tools.model_reference > docs/models.md
	@$(BIN)/python -m tools.performance_reference > docs/performance.md
	@$(BIN)/python -m tools.policy_reference > docs/policies.md
	@$(BIN)/python -m tools.vulnerability_reference > docs/vulnerabilities.md
	@$(BIN)/python -m tools.network_reference > docs/network.md
	@$(BIN)/python -m tools.runbook_reference > docs/runbooks.md
	@$(BIN)/python -m tools.python_reference > docs/python.md

benchmark: $(VENV)/.runtime ## Hold the planners against measurements; time imports, previews and comparisons
	@$(BIN)/python -m benchmarks.imports
	@$(BIN)/python -m benchmarks.memory
	@$(BIN)/python -m benchmarks.performance
	@$(BIN)/python -m benchmarks.preview
	@$(BIN)/python -m benchmarks.diff

lock: ## Write the lock files again from pyproject.toml (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command 'make lock' pyproject.toml --output-file requirements.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command 'make lock' pyproject.toml --group local --constraint requirements.txt \
	  --output-file requirements-local.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command 'make lock' pyproject.toml --group dev --constraint requirements-local.txt \
	  --no-strip-extras \
	  --output-file requirements-dev.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command 'make lock' --group checkov --output-file requirements-checkov.txt

clean: ## Remove what the targets made
	rm -rf $(VENV) $(CHECKOV) out build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
