# What people do here. `make` lists it; PYTHON, VENV, WORKERS and PYTEST_ARGS can be set on the command line.

VENV ?= .venv
WORKERS ?= 2
PYTEST_ARGS ?=
BIN := $(VENV)/bin

# The first of these that runs and is recent enough. A name that is found may still not run (pyenv's shims).
RECENT := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3.12 python3.11 python3 python; do \
	$$p -c '$(RECENT)' >/dev/null 2>&1 && echo $$p && break; done)

.DELETE_ON_ERROR:
.PHONY: help setup demo test check format report lock clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 10

setup: $(VENV)/installed-dev  ## make .venv with all that developing takes

demo: $(VENV)/installed-base  ## train five methods on rendered scenes and build the page
	$(BIN)/cssbench demo

test: $(VENV)/installed-test  ## run the tests
	$(BIN)/python -m pytest -n $(WORKERS) $(PYTEST_ARGS)

check: $(VENV)/installed-dev  ## format, lint and types, changing nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/installed-dev  ## format, and mend what the linter can
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

report: $(VENV)/installed-base  ## build the leaderboard from results/ into reports/site/
	$(BIN)/cssbench report

lock: $(VENV)/bin/python  ## write requirements.lock: the newest versions that fit, from an environment of its own
	$(BIN)/python -m venv --clear build/lock
	build/lock/bin/python -m pip install --quiet -e '.[dev,tensorboard]'
	sed -n '/^#/p' requirements.lock >build/lock/header
	build/lock/bin/python -m pip freeze --exclude-editable | cat build/lock/header - >requirements.lock
	rm -r build/lock

clean:  ## remove the environment and what tools have left; records stay
	rm -rf $(VENV) build cssbench.egg-info .pytest_cache .mypy_cache .ruff_cache

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "CSS-Bench needs Python 3.11 or later; found none (say which: make PYTHON=...)." >&2; exit 1; }
	@$(PYTHON) -c '$(RECENT)' || { echo "CSS-Bench needs Python 3.11 or later; $(PYTHON) is older or does not run." >&2; exit 1; }
	@if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then $(PYTHON) -m venv $(VENV); \
	else $(PYTHON) -m venv --without-pip $(VENV) && $(PYTHON) -m pip --python $(VENV) install --quiet pip; fi

# A stamp says what is installed, so that a second call installs nothing. Each builds on the one before.
$(VENV)/installed-base: pyproject.toml | $(VENV)/bin/python
	@echo "Installing CSS-Bench into $(VENV): a few minutes and 6 GB the first time, most of it PyTorch."
	$(BIN)/python -m pip install --quiet -e .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed-base
	$(BIN)/python -m pip install --quiet -e '.[test]'
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed-test
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	@touch $@
