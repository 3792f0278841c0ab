"""`Runner` on an `Executor` of this machine: what a user may do to it, and what it says then."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import adaptive
import pytest

from adaptive_scheduler import Command, Executor, Runner, TaskResources, exit_code
from adaptive_scheduler.errors import (
    InputError,
    RequestRefusedError,
    UnknownArgumentError,
    UserCodeError,
)
from adaptive_scheduler.evaluation.learners.store import LearnerStore
from adaptive_scheduler.io.disk.lock import holder
from adaptive_scheduler.scheduler import Here
from tests.integration import test_driver_deaths
from tests.integration.noted import allow, noted, noted_if_allowed, noted_in

PATIENCE = 120.0
wait_for = partial(test_driver_deaths.wait_for, seconds=PATIENCE)


def square(x: float) -> float:
    return x * x


def slow(x: float) -> float:
    time.sleep(0.1)
    return x * x


def bad_at_ends(x: float) -> float:
    if abs(x) == 1:
        raise ValueError(f"{x} is an end")
    return x * x


async def waits(x: float) -> float:
    return x


def line(function: Any = square) -> adaptive.Learner1D:
    return adaptive.Learner1D(function, (-1, 1))


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    with Executor(Here(slots=2), tmp_path_factory.mktemp("tasks") / "run") as executor:
        yield executor


# --------------------------------------------------------------------------- what is asked of it


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"ntasks": 0}, "ntasks=0 must be a whole number of at least 1"),
        ({"ahead": -1}, "ahead=-1"),
        ({"refit_every": 0}, "refit_every=0"),
        ({"name": "a:b"}, "without a colon"),
        ({"goal": "soon"}, "goal='soon'"),
        ({"retries": "many"}, "retries='many'"),
        ({"save_interval": "never"}, "save_interval"),
        ({"learner": 3}, "learner=3 has no ask"),
        ({"learner": line(waits)}, "async def"),
        ({"executor": None}, "adaptive_scheduler.Executor"),
        ({"ntask": 3}, "ntasks"),
    ],
)
def test_what_is_wrong_is_named(executor: Executor, options: dict[str, Any], says: str) -> None:
    given = {"learner": line(), "executor": executor, "name": says[:5], **options}
    with pytest.raises((InputError, UnknownArgumentError), match=says):
        Runner(**given)


def test_two_learners_of_one_name_are_refused(executor: Executor) -> None:
    learner = line()
    Runner(learner, executor, 3, name="one")
    Runner(learner, executor, 3, name="one")
    with pytest.raises(InputError, match="Give name= to each"):
        Runner(line(), executor, 3, name="one")
    with pytest.raises(InputError, match="Give name= to each"):
        Runner(line(), executor.options(tag="x"), 3, name="one")


@pytest.mark.usefixtures("nobody_is_late")
def test_it_runs_once(executor: Executor) -> None:
    runner = Runner(line(), executor, 5, name="once")
    with pytest.raises(InputError, match="not started"):
        runner.wait()
    assert (runner.status()["state"], runner.done) == ("not started", False)
    assert runner.run().npoints >= 5
    assert (runner.status()["state"], runner.done) == ("goal", True)
    assert runner.status()["npoints"] == 5
    with pytest.raises(InputError, match="started before"):
        runner.start()
    assert "goal, 5 points" in repr(runner)


def test_goals_of_all_kinds(executor: Executor) -> None:
    by_loss = line()
    Runner(by_loss, executor, 0.1, name="loss").run()
    assert by_loss.loss() <= 0.1
    begin = time.monotonic()
    Runner(line(slow), executor, "1s", name="time").run()
    assert 1 <= time.monotonic() - begin < 40
    by_function = line()
    Runner(by_function, executor, lambda learner: 0.25 in learner.data, name="function").run()
    assert 0.25 in by_function.data
    with pytest.raises(UserCodeError, match="goal raised ZeroDivisionError"):
        Runner(line(), executor, lambda _: 1 / 0, name="bad goal").run()


@pytest.mark.usefixtures("nobody_is_late")
def test_it_is_awaited_in_a_notebook(executor: Executor) -> None:
    async def cell() -> Any:
        runner = Runner(line(), executor, 8, name="notebook").start()
        return await runner

    assert asyncio.run(cell()).npoints == 8


def test_a_learner_of_commands(executor: Executor) -> None:
    command = Command("test {n} -lt 3", value=exit_code())
    points = [{"n": n} for n in range(5)]
    learner = adaptive.SequenceLearner(command, points)
    assert Runner(learner, executor, name="commands").run().npoints == 5
    assert list(learner.data.values()) == [0, 0, 0, 1, 1]


@pytest.mark.usefixtures("nobody_is_late")
def test_settings_of_the_executor_are_those_of_the_points(executor: Executor) -> None:
    # from now on there are slots, also at the first look
    assert executor.submit(square, 2.0).result(PATIENCE) == 4
    view = executor.options(tag="mine", priority=100.0, resources=TaskResources(threads_per_rank=2))
    runner = Runner(line(slow), view, 12, name="settings").start()
    wait_for(lambda: runner.status()["slots"] == 1)
    runner.wait(PATIENCE)
    rows = executor.tasks(tag="mine")
    assert len(rows) == 12
    assert min(row["priority"] for row in rows) >= 100
    assert max(row["priority"] for row in rows) == 1e300  # the ends, which it must have


# --------------------------------------------------------------------------- what goes wrong


def test_a_function_that_raises_ends_it_with_its_error(executor: Executor) -> None:
    runner = Runner(line(bad_at_ends), executor, 20, name="raises")
    with pytest.raises(UserCodeError, match=r"ValueError at x=.*1.* is an end") as caught:
        runner.run()
    assert "bad_at_ends" in caught.value.traceback_text
    assert isinstance(caught.value.__cause__, ValueError)
    assert runner.status()["state"] == "failed"


def test_points_that_fail_are_tried_again_and_left_out(executor: Executor) -> None:
    learner = line(bad_at_ends)
    runner = Runner(
        learner, executor, 20, name="left out", retries=1, raise_if_retries_exceeded=False
    )
    outcome = runner.run()  # twice in all
    assert (outcome.reason, outcome.failed_points) == ("goal", 2)
    assert not {-1, 1} & learner.data.keys()
    keys = sorted(row["key"] for row in executor.tasks(state="failed") if "left out" in row["key"])
    assert keys == [f"left out:bad_at_ends:{x}#{n}" for x in (-1.0, 1.0) for n in (0, 1)]
    # what failed before is tried anew by the next driver
    again = line(bad_at_ends)
    with Executor.attach(executor.folder.home) as attached:
        outcome = Runner(
            again, attached, 24, name="left out", raise_if_retries_exceeded=False
        ).run()
    assert outcome.failed_points == 2
    assert learner.data.items() <= again.data.items()


def test_what_no_pool_can_hold_is_told_at_once(executor: Executor) -> None:
    view = executor.options(resources=TaskResources(threads_per_rank=3))
    with pytest.raises(RequestRefusedError, match="no pool can ever hold it"):
        Runner(line(), view, 20, name="too large").start().wait(PATIENCE)


def test_an_executor_that_is_shut_down_ends_it(tmp_path: Path) -> None:
    with Executor(Here(slots=2), tmp_path / "run") as executor:
        runner = Runner(line(slow), executor).start()
        wait_for(lambda: runner.status().get("npoints", 0) >= 3)
    # whichever of its threads notices it first
    with pytest.raises(InputError, match=r"after shutdown|the executor has ended"):
        runner.wait(PATIENCE)


@pytest.mark.usefixtures("nobody_is_late")
def test_cancel_keeps_what_runs_and_the_data(executor: Executor, tmp_path: Path) -> None:
    ledger, fname = f"{tmp_path}/ledger", os.fspath(tmp_path / "data.pickle")
    allow(ledger, 4)
    # longer than what is handed out ahead: that is not withdrawn
    learner = line(partial(noted_if_allowed, 0.15, ledger))
    runner = Runner(learner, executor, name="cancelled", fname=fname, ahead=4).start()
    wait_for(lambda: runner.status().get("npoints", 0) >= 3)

    def states() -> list[str]:
        rows = [row for row in executor.tasks() if row["key"].startswith("cancelled:")]
        return [row["state"] for row in rows]

    try:
        wait_for(lambda: states().count("running") == 2)
        runner.cancel(PATIENCE)
        wait_for(lambda: "cancelled" in states())
    finally:
        allow(ledger, 10**9)
    outcome = runner.wait(PATIENCE)
    assert (outcome.reason, outcome.saved, outcome.error) == ("signal", True, None)
    assert set(states()) == {"done", "cancelled"}
    assert states().count("done") == learner.npoints
    loaded = line()
    LearnerStore(loaded, fname).load()
    assert loaded.data == learner.data
    # and what was cancelled is computed when it goes on
    more = learner.npoints + 10
    again = line()
    assert Runner(learner, executor, more, name="cancelled", fname=fname).run().npoints == more
    LearnerStore(again, fname).load()
    assert again.npoints == more


# --------------------------------------------------------------------------- Ctrl-C, and again

PROGRAM = """
import sys, time
from functools import partial
from adaptive import Learner1D
from adaptive_scheduler import Executor, Runner, scheduler
from tests.integration.noted import noted_if_allowed

def run(*, own_loop):
    learner = Learner1D(partial(noted_if_allowed, 0.1, sys.argv[1]), (-1, 1))
    with Executor(batch, sys.argv[2] + "/run", interval=1, idle=20) as executor:
        runner = Runner(learner, executor, 30).start()
        while own_loop and not runner.done:
            time.sleep(0.1)
        runner.wait()
    return learner.npoints

batch = scheduler.LocalScheduler(cores=2, max_cores=2, kill_wait=5, state=sys.argv[2] + "/batch")
if len(sys.argv) > 3:
    run(own_loop=False)
try:
    run(own_loop=True)
except KeyboardInterrupt:
    print(run(own_loop=False))
"""


def run_program(tmp_path: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, f"{tmp_path}/ledger", f"{tmp_path}", *options],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip


def interrupted(tmp_path: Path, *options: str) -> subprocess.Popen[str]:
    """Start the program, and interrupt it after some of its 30 points: the others wait."""
    ledger = f"{tmp_path}/ledger"
    points = 5 + len(noted_in(ledger, "begin"))  # those that have begun go on without it
    allow(ledger, points)
    program = run_program(tmp_path, *options)
    wait_for(lambda: len(noted_in(ledger, "end")) >= points)
    program.send_signal(signal.SIGINT)
    return program


@pytest.mark.timeout(300)
def test_a_ctrl_c_leaves_the_points_in_the_run(tmp_path: Path) -> None:
    """In `wait`; and in a loop of the user's own, in a program that goes on then."""
    ledger = f"{tmp_path}/ledger"
    output, _ = interrupted(tmp_path, "ends").communicate(timeout=PATIENCE)
    assert "KeyboardInterrupt" in output
    again = interrupted(tmp_path)
    allow(ledger, 10**9)
    output, _ = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0, output
    begun = noted_in(ledger, "begin")
    assert len(begun) == len(set(begun)) == int(output.split()[-1]) >= 30


@pytest.mark.usefixtures("nobody_is_late")
def test_partial_functions_are_pickled_once(executor: Executor, tmp_path: Path) -> None:
    learner = line(partial(noted, 0.0, f"{tmp_path}/ledger"))
    Runner(learner, executor, 10, name="partial").run()
    assert len(noted_in(f"{tmp_path}/ledger", "end")) == learner.npoints == 10


def test_a_manager_that_dies_is_not_noticed(executor: Executor, tmp_path: Path) -> None:
    ledger = f"{tmp_path}/ledger"
    learner = line(partial(noted, 0.05, ledger))
    runner = Runner(learner, executor, 40, refit_every=3, name="unnoticed").start()
    wait_for(lambda: len(noted_in(ledger, "end")) >= 10)
    manager = holder(executor.folder.lock)
    assert manager is not None
    os.kill(manager.pid, signal.SIGKILL)
    outcome = runner.wait(PATIENCE)
    ended = noted_in(ledger, "end")
    assert outcome.npoints == len(ended) == len(set(ended)) >= 40
