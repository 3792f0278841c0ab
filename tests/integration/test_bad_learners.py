"""Learners whose functions do all that functions should not do; a good one is not harmed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import adaptive
import pytest

from adaptive_scheduler.core.rows.row import Item
from adaptive_scheduler.scheduler import SLURM
from adaptive_scheduler.server_support import RunManager
from tests.clusters.slurm import PrivateSlurm
from tests.effort import times
from tests.integration.accidents import Accidents
from tests.integration.engine_here import EngineHere, Watch


def raises(x):
    raise ValueError(f"no value at {x}")


def segfaults(x):
    os.kill(os.getpid(), signal.SIGSEGV)


def exits(x):
    sys.exit(3)


def returns_a_lock(x):
    return threading.Lock()


def imports_what_is_not_there(x):
    import no_such_module

    return no_such_module.f(x)


def asks_the_terminal(x):
    return float(input())


def prints_much(x):
    print("x" * 1_000_000)
    return x


def is_good(x):
    return x**2


TOLD = {
    raises: "your function raised ValueError at x=",
    exits: "your function raised SystemExit at x=",
    returns_a_lock: "cannot be pickled",
    imports_what_is_not_there: "No module named 'no_such_module'",
    asks_the_terminal: "EOFError",
}


@pytest.fixture
def accidents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Accidents]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    one = Accidents(tmp_path)
    yield one
    one.run.cancel()
    one.run.wait(60)


@pytest.mark.parametrize(
    "executor", [pytest.param("mpi4py", marks=pytest.mark.mpi), "process-pool"][: times(1, 2)]
)
def test_fault_14_27_each_fails_by_itself_with_its_reason(
    accidents: Accidents, executor: str
) -> None:
    functions: list[Callable[[Any], Any]] = [*TOLD, segfaults, prints_much, is_good]
    run = accidents.make(
        [adaptive.Learner1D(function, (-1, 1)) for function in functions],
        {"executor_type": executor},
        max_fails=0, max_crashes=1,
    )  # fmt: skip
    run.start()
    run.wait(240)
    items = dict(zip(functions, run.snapshot("all").items, strict=True))
    for function, told in TOLD.items():
        assert (items[function].phase, items[function].fails) == ("failed", 1), function
        assert told in items[function].reason
        assert items[function].crashes == 0
    dead = items[segfaults]
    assert (dead.phase, dead.fails, dead.crashes) == ("failed", 0, 2)
    assert "died" in dead.reason
    for told in (dead.reason, dead.traceback):  # status, and logs RUN LEARNER
        assert "Fatal Python error: Segmentation fault" in told
        assert f'File "{__file__}", line ' in told
        assert "in segfaults" in told
    assert "raise ValueError(f" in items[raises].traceback  # the user's line
    assert [items[f].phase for f in (prints_much, is_good)] == ["done", "done"]


def bad_goal(learner):
    raise KeyError("goal")


def bad_initializer():
    raise OSError("no licence")


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"goal": bad_goal}, "your goal raised KeyError: 'goal'"),
     ({"initializers": [bad_initializer]}, "OSError: no licence")],
)  # fmt: skip
def test_other_code_of_the_user_that_raises(
    accidents: Accidents, settings: dict[str, Any], told: str
) -> None:
    run = accidents.make([adaptive.Learner1D(is_good, (-1, 1))], max_fails=0, **settings)
    run.start()
    assert run.wait(200).phases == {"failed": 1}
    assert told in run.status().text


# ------------------------------------------------- four bad ones of two hundred, on a real Slurm


def exhausts_memory(x):
    hoard = [b"x" * 10**7 for _ in range(90)]  # 900 MB, more than the job may have
    time.sleep(60)  # Slurm looks once a second
    return len(hoard)


def hangs(x):
    while True:
        time.sleep(1)


N, POINTS = 200, 5
BAD: dict[int, Callable[[Any], Any]] = {
    20: raises, 70: segfaults, 120: exhausts_memory, 170: hangs,
}  # fmt: skip
#: Seconds. A machine with a load of 40 took more than 3 s to fill 900 MB, and Slurm looks once a second.
POINT_TIMEOUT, LEASE = 10.0, 8.0
MAX_FAILS, MAX_CRASHES = 1, 1
#: Seconds that the others' failure takes at most: start of a worker, Slurm's look at the memory,
#: the lease of a job that was killed; five times what they take on an idle machine.
TO_FAILURE = {20: 15.0, 70: 15.0, 120: 60.0 + LEASE, 170: 15.0}


@pytest.fixture
def small_slurm(monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateSlurm]:
    """A Slurm that kills jobs which use more memory than they asked for."""
    cluster = PrivateSlurm(
        nodes=2,
        settings={
            "SelectTypeParameters": "CR_Core_Memory",
            "JobAcctGatherType": "jobacct_gather/linux",
            "JobAcctGatherFrequency": "task=1",
            "JobAcctGatherParams": "OverMemoryKill",
        },
    )
    try:
        cluster.start()
        for name, value in cluster.env.items():
            monkeypatch.setenv(name, value)
        yield cluster
    finally:
        cluster.stop()


@pytest.mark.slurm
@pytest.mark.slow
def test_four_bad_learners_of_two_hundred(
    tmp_path: Path, small_slurm: PrivateSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch(monkeypatch, good=lambda row: row not in BAD)
    run = RunManager(
        SLURM(cores=1, memory="700MB", executor_type="process-pool"),
        [adaptive.Learner1D(BAD.get(row, is_good), (-1, 1)) for row in range(N)],
        [tmp_path / "data" / str(row) for row in range(N)],
        goal=POINTS, folder=tmp_path / "run", max_jobs=4, interval=1,
        max_fails=MAX_FAILS, max_crashes=MAX_CRASHES, point_timeout=POINT_TIMEOUT,
    )  # fmt: skip
    begin = time.monotonic()
    here = EngineHere(run, beat=1.0, lease=LEASE)
    with here.serving():
        here.wait(200)
        rows = here.engine.state.items.rows
    report(watch, rows, time.monotonic() - begin, run.snapshot("none").submitted)
    check_ends(rows)
    check_costs(watch)
    check_shown(run)


def report(watch: Watch, rows: list[Item], seconds: float, jobs: int) -> None:
    print(f"\n{N} learners in {seconds:.0f} s, {jobs} jobs submitted; "
          f"{watch.idle} claims were told that nothing is free, "
          f"{len(watch.starved)} while a good learner was")  # fmt: skip
    for row, function in BAD.items():
        item = rows[row]
        print(f"{function.__name__}: {item.phase.value}, {len(watch.claims[row])} claims, held "
              f"{watch.held[row]:.1f} s, {item.fails} failures, {item.crashes} crashes: "
              f"{item.reason}")  # fmt: skip


def check_ends(rows: list[Item]) -> None:
    assert {row.phase.value for row in rows if row.id not in BAD} == {"done"}
    told = {20: "your function raised ValueError at x=-1.0: no value at", 70: "died",
            120: "memory limit",
            170: f"a point took longer than point_timeout={POINT_TIMEOUT:g} s: x="}  # fmt: skip
    for row, words in told.items():
        assert rows[row].phase == "failed"
        assert words in rows[row].reason
    assert "raise ValueError" in rows[20].traceback
    counts = {row: (rows[row].fails, rows[row].crashes) for row in BAD}
    failed, crashed = (MAX_FAILS + 1, 0), (0, MAX_CRASHES + 1)
    assert counts == {20: failed, 70: crashed, 120: crashed, 170: failed}


def check_costs(watch: Watch) -> None:
    """Counted: claims; and the seconds in all are the budget times those of one failure."""
    for row, function in BAD.items():
        budget = 1 + (MAX_FAILS if row in (20, 170) else MAX_CRASHES)
        assert len(watch.claims[row]) <= budget, function
        assert watch.held[row] <= budget * (TO_FAILURE[row] + POINT_TIMEOUT), function
    assert watch.starved == []


def check_shown(run: RunManager) -> None:
    text = run.status().text
    for row, words in {20: "no value at", 70: "died", 120: "memory limit",
                       170: "point_timeout"}.items():  # fmt: skip
        assert words in next(line for line in text.splitlines() if f"learner {row} " in line)
        shown = subprocess.run(
            [sys.executable, "-m", "adaptive_scheduler.cli", "logs", str(run.folder.home), str(row)],
            capture_output=True, text=True, timeout=60, check=True,
        ).stdout  # fmt: skip
        assert words in shown
        assert shown.count("item_claimed") == 2
