"""User code that tries to end its process, in every place where it is called: it does limited harm, and is reported."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import adaptive
import pytest

from adaptive_scheduler.errors import WorkerDiedError
from adaptive_scheduler.evaluation.learners.run import LearnerWork, run_learner
from tests.integration.accidents import Accidents, until

ENDS = (SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError)
#: Set where a job script has begun; at home these classes behave.
IN_A_JOB = "ADAPTIVE_SCHEDULER_JOB"


def ends(kind, x):
    raise kind("enough")


async def ends_async(kind, x):
    await asyncio.sleep(0)
    raise kind("enough")


async def leaves_a_task_that_exits(x):
    async def exits():
        sys.exit("enough")

    task = asyncio.create_task(exits())
    await asyncio.sleep(60)
    return task


async def leaves_a_callback_that_exits(x):
    asyncio.get_running_loop().call_soon(sys.exit, "enough")
    await asyncio.sleep(60)


async def stops_the_loop(x):
    asyncio.get_running_loop().stop()
    await asyncio.sleep(60)


async def dies_in_the_client(x):
    os._exit(3)


def is_good(x):
    return x


def loss_that_exits(xs, ys):
    sys.exit("enough")


class ExitsWhenLoaded:
    """A value or an argument that is sent, and ends whoever takes it."""

    def __reduce__(self):
        return sys.exit, ("enough",)


class ExitsWhenSent:
    def __reduce__(self):
        sys.exit("enough")


class ExitsWhenTold(Exception):  # noqa: N818
    def __str__(self):  # noqa: PLE0307
        sys.exit("enough")

    __repr__ = __str__


def returns(kind, x):
    return kind()


def raises_what_exits(x):
    raise ExitsWhenTold


class LearnerThatExits(adaptive.SequenceLearner):
    """It ends its process where it is loaded, asked, told, or saved."""

    def __init__(self, function, sequence, place=""):
        self.place = place
        super().__init__(function, sequence)

    def _exit(self, place):
        if place == getattr(self, "place", "") and IN_A_JOB in os.environ:
            sys.exit("enough")

    def __setstate__(self, state):
        super().__setstate__(state[0])
        self.place = state[1]
        self._exit("unpickled")

    def __getstate__(self):
        return super().__getstate__(), self.place

    def ask(self, *args, **kwargs):
        self._exit("asked")
        return super().ask(*args, **kwargs)

    def tell(self, *args):
        self._exit("told")
        return super().tell(*args)

    def _get_data(self):
        self._exit("saved")
        return super()._get_data()

    def remove_unfinished(self):
        self._exit("tidied")
        return super().remove_unfinished()


class OwnSaveThatExits(adaptive.SequenceLearner):
    def save(self, fname):
        sys.exit("enough")


def sequence(function):
    return adaptive.SequenceLearner(function, range(5))


def bad_learners() -> dict[str, Any]:
    """By the place in which the code is called."""
    return {
        **{f"function, {kind.__name__}": sequence(partial(ends, kind)) for kind in ENDS},
        **{f"async, {kind.__name__}": sequence(partial(ends_async, kind)) for kind in ENDS},
        "task": sequence(leaves_a_task_that_exits),
        "callback": sequence(leaves_a_callback_that_exits),
        "loop": sequence(stops_the_loop),
        "loss": adaptive.Learner1D(is_good, (0, 1), loss_per_interval=loss_that_exits),
        "argument": adaptive.SequenceLearner(is_good, [ExitsWhenLoaded()]),
        "value sent": sequence(partial(returns, ExitsWhenSent)),
        "value loaded": sequence(partial(returns, ExitsWhenLoaded)),
        "exception": sequence(raises_what_exits),
        **{place: LearnerThatExits(is_good, range(5), place)
           for place in ("unpickled", "asked", "told", "saved", "tidied")},
        "save": OwnSaveThatExits(is_good, range(5)),
        "client": sequence(dies_in_the_client),
    }  # fmt: skip


#: What `status` says where it is not the exception's own words.
WORDS = {"loop": "stopped", "client": "died", "exception": "ExitsWhenTold"}
KINDS = {f"{how}, {kind.__name__}": kind.__name__ for how in ("function", "async") for kind in ENDS}


@pytest.fixture
def accidents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Accidents]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    one = Accidents(tmp_path)
    yield one
    one.run.cancel()
    one.run.wait(60)


def has_five(learner):
    return learner.npoints >= 5


@pytest.mark.parametrize(
    "executor", [pytest.param("mpi4py", marks=pytest.mark.mpi), "process-pool"]
)
def test_1_each_learner_fails_by_itself_whatever_ends_a_process(
    accidents: Accidents, executor: str
) -> None:
    """On 0.2.0 one of these kept a job busy for ever: 74 clients in 35 s, and no failure."""
    bad = bad_learners()
    run = accidents.make(
        [*bad.values(), sequence(is_good)],
        {"executor_type": executor}, goal=has_five, max_fails=0, max_crashes=1,
    )  # fmt: skip
    run.start()
    run.wait(250)
    *items, good = run.snapshot("all").items
    assert good.phase == "done"
    for place, item in zip(bad, items, strict=True):
        crashed = place == "client"
        assert (item.phase, item.fails, item.crashes) == (
            ("failed", 0, 2) if crashed else ("failed", 1, 0)
        ), (place, item.reason)
        assert WORDS.get(place, KINDS.get(place, "enough")) in item.reason, place
    assert run.snapshot().submitted <= 6


class ExitsInAJob:
    """A goal that cannot be loaded there."""

    def __init__(self, how: Callable[[], object]) -> None:
        self.how = how

    def __call__(self, *_):
        return True

    def __setstate__(self, state):
        self.__dict__.update(state)
        if IN_A_JOB in os.environ:
            self.how()


def opens(how, n):
    if IN_A_JOB in os.environ:
        how()
    return ThreadPoolExecutor(n)


def value_error():
    raise ValueError("no such partition")


def interrupted():
    raise KeyboardInterrupt("enough")


@pytest.mark.parametrize(("settings", "told"), [
    ({"executor": value_error}, "your executor_type raised ValueError: no such partition"),
    ({"executor": partial(sys.exit, 0)}, "your executor_type raised SystemExit: 0"),
    ({"goal": interrupted}, "your goal, when loaded, raised KeyboardInterrupt: enough"),
])  # fmt: skip
def test_1_what_fails_before_a_learner_could_begin_holds_the_run(
    accidents: Accidents, settings: dict[str, Callable[[], object]], told: str
) -> None:
    """On 0.2.0: 225 clients in 50 s, 39 jobs in 285 s, never held, never failed."""
    executor = settings.get("executor")
    run = accidents.make(
        [sequence(is_good), sequence(is_good)],
        {"executor_type": partial(opens, executor)} if executor else {},
        goal=ExitsInAJob(settings["goal"]) if "goal" in settings else has_five,
    )
    run.start()
    until(lambda: any(note.startswith("held") for note in run.snapshot().notes), 200)
    (held,) = [note for note in run.snapshot().notes if note.startswith("held")]
    assert told in held
    assert {item.fails + item.crashes for item in run.snapshot("all").items} == {0}
    assert run.snapshot().submitted <= 12


def cancels_its_points(n):
    class Pool(ThreadPoolExecutor):
        def submit(self, *args, **kwargs):
            future = super().submit(time.sleep, 0)
            future.cancelled = lambda: True
            return future

    return Pool(n)


def test_1_a_pool_that_cancels_what_it_is_given_is_broken(tmp_path: Path) -> None:
    """It was asked for other points for ever."""
    with cancels_its_points(2) as pool:
        outcome = run_learner(LearnerWork(sequence(is_good), str(tmp_path / "data"), None, pool, 2))
    assert (outcome.reason, outcome.is_pool_broken) == ("error", True)
    assert isinstance(outcome.error, WorkerDiedError)


def test_1_what_a_learner_computed_is_saved_when_its_function_ends_the_loop(tmp_path: Path) -> None:
    async def exits_at_four(x):
        if x == 4:
            asyncio.get_running_loop().call_soon(sys.exit, "enough")
            await asyncio.sleep(60)
        return x

    learner = sequence(exits_at_four)
    with ThreadPoolExecutor(1) as pool:
        outcome = run_learner(LearnerWork(learner, str(tmp_path / "data"), None, pool, 1))
    assert (outcome.reason, outcome.npoints, outcome.saved) == ("error", 4, True)
    assert "SystemExit: enough" in str(outcome.error)
