# make demo    install into .venv, then run the demo (under a minute)
# make test    install into .venv, then all checks and tests (8 minutes on two cores)
# make soak    try to break it for MINUTES=30, on two private Slurms
# Nothing is needed but python3 (3.11 or later), python3-venv and make.

PYTHON ?= python3
BIN := .venv/bin
# A virtual environment holds absolute paths: one that was moved is made anew.
MOVED := $(shell test "$$(cat .venv/made-in 2>/dev/null)" = "$$(pwd -P)" || echo .venv-anew)

.PHONY: help demo test soak lint clean .venv-anew

help:
	@sed -n 's/^# //p' Makefile

demo: .venv/installed-demo
	@$(BIN)/python examples/demo.py

# Two at a time, file by file: most tests wait for a clock, a signal or a batch system.
PYTEST_ARGS ?= -n 2 --dist loadfile --no-loadscope-reorder
test: lint
	$(BIN)/python -m pytest $(PYTEST_ARGS)

MINUTES ?= 30
soak: .venv/installed-dev
	$(BIN)/python -m tests.soak $(MINUTES)

lint: .venv/installed-dev
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv-anew:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11 ...")'
	@echo "Making .venv"
	@$(PYTHON) -m venv --clear .venv
	@pwd -P > .venv/made-in

# Without compiled bytecode every start of Python would read 1,500 sources again.
.venv/installed-%: pyproject.toml $(MOVED)
	@echo "Installing into .venv (once; takes a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@$(BIN)/python -m compileall -qq -j 0 .venv/lib adaptive_scheduler || true
	@touch $@
