# ragassay: `make help` lists what can be done here.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
# Extra flags for pip, such as another index for a CUDA or CPU build of torch: make setup PIP_FLAGS="--extra-index-url URL"
PIP_FLAGS ?=
# --no-compile: Python compiles what is imported, at its first import, and leaves the rest alone: a minute less.
# tests/bench is left to `make bench`; N=0 runs the tests in one process.
N ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## virtual environment in .venv with pinned dependencies, and the two local models

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name it with: make setup PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt $(PIP_FLAGS) --editable '.[dev]'
	$(BIN)/ragassay models pull all-MiniLM-L6-v2 smollm2-135m
	touch $@

demo: $(STAMP) ## index the bundled handbook, answer three questions, compare the systems that run here, write a report
	$(BIN)/ragassay demo

test: $(STAMP) ## the test suite
	$(BIN)/python -m pytest -n $(N) -m "not live and not nightly and not bench"

check: $(STAMP) ## lint, format, types, imports, and that the documentation names what there is
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -q -n 0 tests/test_docs.py -k "not readme_runs and not docstrings_run"

bench: $(STAMP) ## speed against the alternatives, side by side in one run
	$(BIN)/python -m pytest -n 0 -m bench -s --timeout 1800 tests/bench

format: $(STAMP) ## sort imports and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
