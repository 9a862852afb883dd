# neurotwin: `make demo` and `make test` need python3 (3.11 or newer) with its venv module, and make; nothing else.
#
#   make PYTHON=python3.12 test          another interpreter
#   make PIP_ARGS='--find-links DIR'     more arguments for pip
#
# CPU or CUDA: constraints.txt pins torch without a build tag, so pip takes the build that its index offers. The default
# index has the CUDA build on Linux x86-64 (GPU users need nothing more); for the much smaller CPU build, point pip at
# CPU wheels of the same version with PIP_ARGS (--find-links or --extra-index-url) or with pip's own configuration.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP_ARGS ?=
EXTRAS := simulate,train,triton,viz,realdata,ehr,serve,baselines,sweep,ray,track,dev
WORKERS ?= 2
# Tests last from milliseconds to a minute: a worker that has none left takes some of the other one.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-full test-service test-fault lint format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP) ## .venv with neurotwin (editable) and everything constraints.txt pins

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "neurotwin needs Python 3.11 or newer, got: $$($(PYTHON) --version 2>&1); name one with: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) has no venv module; on Debian install the package python3-venv"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt pip
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

demo: $(STAMP) ## simulate, train, export and query a small twin into runs/demo
	$(BIN)/neurotwin demo --out runs/demo

# Tests that need a real service stay out and are named at the end, so that nobody takes them for passed.
test: $(STAMP) ## the tests, less the large counts and those that need a real service
	$(PYTEST) -m "not full and not service"
	@echo "Left out, because they need a real service (make test-service runs them):"
	@$(BIN)/python -m pytest --collect-only -q -m service 2>/dev/null \
	  | awk '/::/ {print "  " $$0; n++} END {if (!n) print "  none"}'

test-full: $(STAMP) ## all tests at full counts; those whose service does not answer skip by name
	$(PYTEST)

test-service: $(STAMP) ## the tests against real services: a database, a browser
	$(PYTEST) -m "service and not full"

test-fault: $(STAMP) ## faults at full counts, and the table of docs/reliability.md from what they counted
	$(PYTEST) -m fault --junitxml runs/fault.xml
	$(BIN)/python scripts/write_reliability.py runs/fault.xml

lint: $(STAMP) ## ruff, mypy and the layer rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the environment, runs and caches
	rm -rf $(VENV) runs build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
