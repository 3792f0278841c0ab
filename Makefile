# make demo    install into .venv, then run the demo (under a minute)
# make test    install into .venv, then all checks and tests (20 to 23 minutes on two cores)
# make lock    update the versions that tests, demo and CI install (requirements.lock)
# make test-newest   all tests with the newest of everything; make test-oldest: with the oldest that is allowed
# make quick   for your own loop: lint, unit and contract tests, a short simulation (under two minutes)
# make test-all   what needs longer than make test, which comes first: 5,000 histories of learners and of tasks, planted bugs, campaigns, wheels, a browser, what was written for adaptive-scheduler 2, CPython's tests of futures (35 minutes)
# make test-stalls   the tests of make test on a machine that stands still at random, to find races; TESTS=tests/unit some of them
# make soak    try to break it for MINUTES=30, on two private Slurms
# make chaos   break a real Slurm and all that runs on it for MINUTES=10 (SEED=7: the same faults again)
# make simulate   live through SEEDS=1000 histories of whole runs in virtual time (5-900: these; 77-77 TRACE=1: one, shown); of learners, and as many of tasks
# make plants  plant the bugs that the simulator must find, one at a time; MORE=1 all of them
# make docs    the site of the documentation: open site/index.html
# make bench   measure ours beside the peers (installed into .venv-peer); ROWS="assign storm" some of it
# make reliability   the full figures of docs/reliability.md: each test that tries often, in full
# Nothing is needed but python3 (3.11 or later), python3-venv and make.

PYTHON ?= python3
BIN := .venv/bin
# A virtual environment holds absolute paths: one that was moved is made anew.
MOVED := $(shell test "$$(cat .venv/made-in 2>/dev/null)" = "$$(pwd -P)" || echo .venv-anew)

.PHONY: help demo quick test test-all test-stalls test-newest test-oldest lock bench soak chaos docs reliability simulate plants lint clean .venv-anew

help:
	@sed -n 's/^# //p' Makefile

demo: .venv/installed-demo
	@$(BIN)/python examples/demo.py

# Four at a time (on two cores, too), file by file: most tests wait for a clock, a signal or a batch system.
PYTEST_ARGS ?= -n 4 --dist loadfile --no-loadscope-reorder
test: lint
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# Where PYTHONDONTWRITEBYTECODE is set, as in many containers, pytest would rewrite all tests each time.
quick: export PYTHONDONTWRITEBYTECODE :=
quick: export ADAPTIVE_SCHEDULER_EFFORT := quick
quick: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal -q -m 'not slow' tests/unit tests/contract tests/simulation/test_histories.py tests/test_architecture.py

# What needs longer or other environments; CI runs it behind `make test`.
# Of each job of the kill campaigns on whole nodes.
NODES ?= 2
test-all: .venv/installed-dev
	$(BIN)/python -m tests.plants
	$(BIN)/python -m tests.simulate 5000
	$(BIN)/python -m tests.task_campaign slurm
	$(BIN)/python -m tests.task_campaign pbs
	$(BIN)/python -m tests.task_campaign slurm --nodes $(NODES) --minutes 2
	$(BIN)/python -m tests.task_campaign pbs --nodes $(NODES) --minutes 2
	$(BIN)/python -m tests.optimiser_campaign --kills 20 --walltimes 3
	$(BIN)/python -m pytest tests/install
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder tests/faces
	$(BIN)/python -m pytest tests/compat
	$(BIN)/python -m pytest -n 2 --dist load tests/cpython

# What measures speed, or that nothing stands still, may fail here; all else must not.
TESTS ?=
test-stalls: .venv/installed-dev
	$(BIN)/python -m tests.stalls -- $(BIN)/python -m pytest $(PYTEST_ARGS) $(TESTS)

MINUTES ?= 30
soak: .venv/installed-dev
	$(BIN)/python -m tests.soak $(MINUTES)

SEED ?=
chaos: MINUTES = 10
chaos: .venv/installed-dev
	$(BIN)/python -m tests.chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

SEEDS ?= 1000
TRACE ?=
simulate: .venv/installed-dev
	$(BIN)/python -m tests.simulate $(SEEDS) $(if $(TRACE),--trace)

MORE ?=
plants: .venv/installed-dev
	$(BIN)/python -m tests.plants $(if $(MORE),--more)

# Both environments have their bytecode compiled: `import adaptive` costs three times as much without.
ROWS ?=
# The peer's job scripts do not quote its interpreter: below a path with a blank it lives elsewhere.
PEER := $(if $(word 2,$(CURDIR)),$(HOME)/.cache/adaptive-scheduler-peer,.venv-peer)

bench: .venv/installed-dev $(PEER)/installed
	PEER_PYTHON=$(PEER)/bin/python $(BIN)/python -m benchmarks $(ROWS) --json benchmarks/results.json

$(PEER)/installed: benchmarks/peer/requirements.txt
	@echo "Installing the peers into $(PEER) (once; takes a minute)"
	@$(PYTHON) -m venv --clear $(PEER)
	@$(PEER)/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/peer/requirements.txt
	@$(PEER)/bin/python -m compileall -qq -j 0 $(PEER)/lib || true
	@touch $@

# Each prints its figures at the end (-rP); KEEP="-k points" runs some of them.
reliability: .venv/installed-dev
	ADAPTIVE_SCHEDULER_EFFORT=full $(BIN)/python -m pytest -m effort -rP -o faulthandler_timeout=3600 $(KEEP)

# The versions that tests, demo and CI install: of the newest that pyproject.toml admits. Commit what it changes.
UV := .venv-lock/bin/uv pip compile --quiet --no-annotate --custom-compile-command "make lock"
lock: .venv-lock/installed
	$(UV) --upgrade --universal --python-version 3.11 --all-extras pyproject.toml --output-file requirements.lock
	$(UV) --upgrade --universal --python-version 3.11 benchmarks/peer/requirements.in --output-file benchmarks/peer/requirements.txt

.venv-lock/installed:
	@$(PYTHON) -m venv --clear .venv-lock
	@.venv-lock/bin/python $(PIP_INSTALL) uv
	@touch $@

# The newest of everything, beyond the bounds of pyproject.toml too; and the oldest that they admit.
test-newest: .venv/installed-dev
	$(PYTHON) -m venv --clear .venv-newest
	$(BIN)/python -m tests.requirements names > .venv-newest/names.txt
	.venv-newest/bin/python $(PIP_INSTALL) --upgrade pip
	.venv-newest/bin/python $(PIP_INSTALL) --upgrade --requirement .venv-newest/names.txt
	.venv-newest/bin/python $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	$(BIN)/python -m tests.requirements newer .venv-newest/bin/python
	.venv-newest/bin/python -m pytest $(PYTEST_ARGS)

test-oldest: .venv/installed-dev .venv-lock/installed
	$(PYTHON) -m venv --clear .venv-oldest
	$(UV) --resolution lowest-direct --extra mpi --extra notebook --extra dataframe --extra loky --extra dask --extra ipyparallel --extra plot --extra skopt --extra optuna --extra rank --extra web --extra docs pyproject.toml --output-file .venv-oldest/oldest.txt
	$(BIN)/python -m tests.requirements tools > .venv-oldest/tools.txt
	.venv-oldest/bin/python $(PIP_INSTALL) --requirement .venv-oldest/oldest.txt --requirement .venv-oldest/tools.txt
	.venv-oldest/bin/python $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	.venv-oldest/bin/python -m pytest $(PYTEST_ARGS) --ignore tests/test_architecture.py

# Nothing is fetched, here or when the pages are read.
docs: .venv/installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "The documentation: file://$(CURDIR)/site/index.html"

lint: .venv/installed-dev
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv .venv-* .openmpi $(PEER) demo build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv-anew:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11 ...")'
	@echo "Making .venv"
	@$(PYTHON) -m venv --clear .venv
	@pwd -P > .venv/made-in

# Without compiled bytecode every start of Python would read 1,500 sources again.
# What is installed for demo and tests is locked: a package that changes next month breaks nobody's day.
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
.venv/installed-%: pyproject.toml requirements.lock $(MOVED)
	@echo "Installing into .venv (once; takes a minute)"
	@$(BIN)/python $(PIP_INSTALL) --constraint requirements.lock setuptools
	@$(BIN)/python -m pip uninstall --quiet --disable-pip-version-check --yes adaptive-scheduler-mpi 2> /dev/null
	@rm -rf adaptive_scheduler_mpi.egg-info
	@$(BIN)/python $(PIP_INSTALL) --constraint requirements.lock --no-build-isolation --editable '.[$*]'
	@$(BIN)/python -m compileall -qq -j 0 .venv/lib adaptive_scheduler || true
	@touch $@
