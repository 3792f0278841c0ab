"""Functions that raise now and then, at some points, or always."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import adaptive
import msgspec
import pytest

from adaptive_scheduler.core.config import JobLimits, RunConfig
from adaptive_scheduler.core.rows.row import Phase
from adaptive_scheduler.evaluation.learners.run import LearnerWork, Outcome, run_learner
from tests.integration.client_runs import ClientRun, finish, wait_for

WORKERS = 3
RUN_JSON = b'{"run":"1","shapes":[],"job_names":["x"],"log_folder":"/logs"}'


class Calls:
    """How often each point was evaluated: a byte in a file of its own, whoever evaluates it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def note(self, x: Any) -> int:
        with (self.folder / str(x)).open("ab") as file:
            file.write(b".")
            return file.tell()

    @property
    def counts(self) -> dict[int, int]:
        return {int(path.name): path.stat().st_size for path in self.folder.iterdir()}


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(WORKERS) as one:
        yield one


@pytest.fixture
def calls(tmp_path: Path) -> Calls:
    folder = tmp_path / "calls"
    folder.mkdir()
    return Calls(folder)


def fails_twice(calls, x):
    if calls.note(x) <= 2:
        raise OSError("no licence just now")
    return x


def fails_slowly(calls, x):
    time.sleep(0.03)  # so that points are sent one by one
    return fails_twice(calls, x)


async def fails_twice_async(calls, x):
    await asyncio.sleep(0)
    return fails_twice(calls, x)


def always_fails(calls, x):
    calls.note(x)
    raise OSError("no licence at all")


def fails_at_7(calls, x):
    calls.note(x)
    if x == 7:
        raise OSError("seven is out")
    return x


def outcome_of(
    pool: ThreadPoolExecutor, calls: Calls, function: Callable[[Any], Any], **settings: Any
) -> Outcome:
    learner = adaptive.SequenceLearner(partial(function, calls), range(60))
    settings = {"point_retries": 2, **settings}
    return run_learner(
        LearnerWork(learner, str(calls.folder.parent / "data"), None, pool, WORKERS, **settings)
    )


@pytest.mark.parametrize("function", [fails_twice, fails_slowly, fails_twice_async])
def test_a_point_is_tried_again_before_its_learner_fails(
    pool: ThreadPoolExecutor, calls: Calls, function: Callable[[Any], Any]
) -> None:
    """One by one, in messages of many points, and as coroutines."""
    outcome = outcome_of(pool, calls, function)
    assert (outcome.reason, outcome.npoints, outcome.error) == ("goal", 60, None)
    assert set(calls.counts.values()) == {3}


@pytest.mark.parametrize(("settings", "times"), [
    ({}, 3), ({"point_retries": 0}, 1), ({"runner_kwargs": {"retries": 4}}, 5),
])  # fmt: skip
def test_a_point_that_always_fails_ends_its_learner_after_so_many_tries(
    pool: ThreadPoolExecutor, calls: Calls, settings: dict[str, Any], times: int
) -> None:
    outcome = outcome_of(pool, calls, fails_at_7, **settings)
    assert outcome.reason == "error"
    assert "raised OSError at x=7 (<Calls>): seven is out" in str(outcome.error)
    assert calls.counts[7] == times


def test_a_slow_function_that_always_fails_is_not_tried_again(
    pool: ThreadPoolExecutor, calls: Calls
) -> None:
    """Slow are 10 s, for which a test has no time."""
    outcome = outcome_of(pool, calls, always_fails, runner_kwargs={"retry_within": 0.0})
    assert outcome.reason == "error"
    assert set(calls.counts.values()) == {1}


class FailsNowAndThen:
    """One of twenty calls raises, each time another; in processes, so counted in a file."""

    def __init__(self, ledger: Path, every: int, seconds: float = 0.0) -> None:
        self.ledger, self.every, self.seconds = str(ledger), every, seconds

    def __call__(self, x):
        time.sleep(self.seconds)
        with Path(self.ledger).open("ab") as file:
            file.write(b".")
            n = file.tell()
        if n % self.every == 0:
            raise OSError("no licence just now")
        return x**2


def test_22_five_percent_of_calls_that_raise_do_not_end_a_learner(tmp_path: Path) -> None:
    """On 0.2.0 it was given up at 40 of 100 points."""
    run = ClientRun(tmp_path, 100, limits=JobLimits(max_fails=1), point_retries=2)
    patient = adaptive.Learner1D(FailsNowAndThen(tmp_path / "a", 20), (-1, 1))
    run.fill([patient], [str(tmp_path / "data/0")])
    with run.manage() as engine:
        code, output = finish(run.client("1_1"))
        assert code == 0, output
        (item,) = engine.state.items.rows
    assert (item.phase, item.fails, item.attempts) == (Phase.DONE, 0, 1)


def test_22_without_retries_a_learner_that_gets_on_is_not_given_up(tmp_path: Path) -> None:
    run = ClientRun(
        tmp_path, 100, limits=JobLimits(max_fails=1), point_retries=0, points_interval=0.05
    )
    run.fill(
        # of calls without a duration many are in flight when one raises; they count, but their
        # values are left out, and then the next call to raise may be the first of the next try
        [adaptive.Learner1D(FailsNowAndThen(tmp_path / "a", 25, seconds=0.01), (-1, 1))],
        [str(tmp_path / "data/0")],
    )
    with run.manage() as engine:
        client = run.client("1_1")
        wait_for(lambda: engine.state.items.rows[0].phase in (Phase.DONE, Phase.FAILED), 60)
        (item,) = engine.state.items.rows
        code, output = finish(client)
        assert code == 0, output
    assert item.phase is Phase.DONE, item.reason
    assert item.fails_in_all >= 2


def test_22_a_run_of_version_0_2_0_has_the_default() -> None:
    assert msgspec.json.decode(RUN_JSON, type=RunConfig).point_retries == 2
