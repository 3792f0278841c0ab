"""Fixtures of all rings, and what a test does where its programs are missing."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.quick import QUICK

# Job scripts are login shells (`bash -l`): they must not read the profile of whoever
# runs the tests, nor may tests write into that person's home.
_home = tempfile.TemporaryDirectory(prefix="as-home-", ignore_cleanup_errors=True)
os.environ["HOME"] = _home.name
os.environ.pop("XDG_STATE_HOME", None)

# How long an example takes, or its making, tells of the machine, which runs four tests at a time, not of the code.
_ANY_SPEED = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("suite", **_ANY_SPEED)
# `make quick`: a test that says nothing else tries 30 examples instead of 100.
hypothesis.settings.register_profile("quick", **_ANY_SPEED, max_examples=30)
hypothesis.settings.load_profile("quick" if QUICK else "suite")

# A shell gives SIGINT and SIGQUIT as ignored to what it starts in the background, nohup SIGHUP, and
# we would to what tests end by them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)

# Modules with fixtures; add yours as a line.
pytest_plugins = [
    "tests.clusters.slurm",
    "tests.clusters.pbs",
    "tests.clusters.sshd",
]


@pytest.fixture
def nobody_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a point is late, others are begun beside it: then there are more than the goal asks for."""
    monkeypatch.setattr("adaptive_scheduler.evaluation.runner.LATE", float("inf"))


def _missing(item: pytest.Item) -> str | None:
    """What this test needs and this host lacks, with the remedy."""
    from tests.clusters import sshd
    from tests.clusters.slurm import missing_programs  # pytest rewrites it first

    if _needs(item, "sshd") and (absent := sshd.missing_programs()):
        return f"OpenSSH is missing ({', '.join(absent)}): apt-get install openssh-server"
    if _needs(item, "slurm") and (absent := missing_programs()):
        return f"Slurm is missing ({', '.join(absent)}): apt-get install slurm-wlm munge"
    if _needs(item, "mpi") and _mpiexec() is None:
        return "mpiexec is missing: pip install mpich"
    return None


def _needs(item: pytest.Item, name: str) -> bool:
    return item.get_closest_marker(name) is not None or name in getattr(item, "fixturenames", ())


def _mpiexec() -> str | None:
    beside = Path(sys.executable).parent / "mpiexec"
    return str(beside) if beside.exists() else shutil.which("mpiexec")


#: Seconds that one test may take when it tries in full.
FULL_TIMEOUT = 3600
#: Whose tests take minutes each: they come first, so that no process is left alone with them at the end.
LONGEST = (
    "tests/task_campaign", "tests/chaos", "tests/e2e/test_notebook.py", "tests/optimiser_campaign",
)  # fmt: skip


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what uses tests/effort.py with `effort`; in full, it has an hour, else `full` is left out."""
    from tests.effort import FULL

    if not FULL:
        left_out = [item for item in items if item.get_closest_marker("full") is not None]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))
    for item in items:
        if item.get_closest_marker("effort") is None and (
            item.get_closest_marker("full") is not None or "tests.effort" in _source(item.path)
        ):
            item.add_marker("effort")
        if FULL and item.get_closest_marker("effort") is not None:
            item.add_marker(pytest.mark.timeout(FULL_TIMEOUT), append=False)


@functools.cache
def _source(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip by name what cannot run here; where CI=true, fail instead."""
    reason = _missing(item)
    if reason is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (CI=true: a missing program is a failure)", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def _same_process() -> Iterator[None]:
    """No test leaves this process in another folder or bound to some cores: later ones would be, too."""
    folder, cores = Path.cwd(), os.sched_getaffinity(0)
    yield
    is_same = (Path.cwd(), os.sched_getaffinity(0)) == (folder, cores)
    os.chdir(folder)
    os.sched_setaffinity(0, cores)
    assert is_same, "it has left this process in another folder, or bound to some cores"
