"""A point that never returns: its learner has failed, the others go on."""

from __future__ import annotations

import asyncio
import datetime as dt
import multiprocessing
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import adaptive
import pytest

from adaptive_scheduler.core.wire import snapshot
from adaptive_scheduler.errors import InputError, PointTimeoutError
from adaptive_scheduler.evaluation.learners.run import LearnerRun, LearnerWork, run_learner
from adaptive_scheduler.executors.process_pools import Custom, ProcessPool
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.scheduler import LocalScheduler
from adaptive_scheduler.server_support import RunManager
from tests.effort import times
from tests.integration.accidents import Accidents, until
from tests.integration.engine_here import EngineHere

#: Seconds that a point may take: more than a process that stands still for a moment loses.
LIMIT = 5.0


class HangsAt:
    """Returns x at once, but never at one place; when it is there, it makes a file."""

    def __init__(self, place, seconds=0.05, mark=None):
        self.place = place
        self.seconds = seconds
        self.mark = mark

    def __call__(self, x):
        if x == self.place and self.mark is not None:
            self.mark.touch()
        time.sleep(3600 if x == self.place else self.seconds)
        return x


async def hangs_at_seven(x):
    await asyncio.sleep(3600 if x == 7 else 0.01)
    return x


def square(x):
    return x**2


def sequence(function, n=30):
    return adaptive.SequenceLearner(function, range(n))


@pytest.mark.parametrize("workers", [1, 3])
def test_the_run_of_a_learner_ends_with_the_points_it_has(tmp_path: Path, workers: int) -> None:
    executor = ProcessPool()
    pool = executor.open(workers)
    learner = sequence(HangsAt(7))
    work = LearnerWork(learner, str(tmp_path / "x"), None, pool, workers, point_timeout=LIMIT)
    begin = time.monotonic()
    outcome = run_learner(work)
    seconds = time.monotonic() - begin
    print(f"{workers} workers: ended after {seconds:.1f} s with {outcome.npoints} points")
    assert executor.close(pool, 0.1)
    assert isinstance(outcome.error, PointTimeoutError)
    assert re.fullmatch(
        r"a point took longer than point_timeout=5 s: x=.*7.*", str(outcome.error)
    ), outcome.error
    assert (outcome.reason, outcome.saved, outcome.is_pool_broken) == ("error", True, False)
    assert outcome.is_pool_stuck
    assert 7 <= outcome.npoints < 30
    assert 7 not in learner.data
    assert seconds < 150


def test_slow_starts_and_initializers_are_not_timed_as_points(tmp_path: Path) -> None:
    executor = ProcessPool()
    pool = executor.open(2)
    work = LearnerWork(
        sequence(HangsAt(-1)), str(tmp_path / "x"), None, pool, 2, point_timeout=LIMIT,
        initializers=(lambda: time.sleep(1.5 * LIMIT),),
    )  # fmt: skip
    outcome = run_learner(work)
    executor.close(pool, 5)
    assert (outcome.reason, outcome.npoints, outcome.is_pool_stuck) == ("goal", 30, False)


def test_fast_points_in_large_messages_are_timed_too(tmp_path: Path) -> None:
    """Of a message with many points nobody knows which hangs: all it holds are named."""
    executor = ProcessPool()
    pool = executor.open(1)
    learner = sequence(HangsAt(1500, seconds=0), 2000)
    outcome = run_learner(
        LearnerWork(learner, str(tmp_path / "x"), None, pool, 1, point_timeout=LIMIT)
    )
    executor.close(pool, 0.1)
    assert isinstance(outcome.error, PointTimeoutError)
    # what a slow moment leaves of a message is sent again behind the next one
    assert 1500 - 2 * 512 < outcome.npoints < 2000
    assert 1500 not in learner.data
    named = re.search(r"one of the (\d+) points x=", str(outcome.error))
    assert named is None or int(named[1]) <= 512
    print(f"{outcome.npoints} points, then: {outcome.error}")


def test_messages_that_wait_for_a_worker_are_not_timed(tmp_path: Path) -> None:
    """The pool has one worker where it is said to have sixteen: the last message waits for 7.5 s."""
    executor = ProcessPool()
    pool = executor.open(1)
    work = LearnerWork(
        sequence(HangsAt(-1, 0.5), 16), str(tmp_path / "x"), None, pool, 16, point_timeout=LIMIT
    )
    outcome = run_learner(work)
    executor.close(pool, 5)
    assert (outcome.reason, outcome.npoints) == ("goal", 16)


def test_a_coroutine_is_cancelled_and_the_pool_stays(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        learner = sequence(hangs_at_seven)
        outcome = run_learner(
            LearnerWork(learner, str(tmp_path / "x"), None, pool, 2, point_timeout=LIMIT)
        )
    assert isinstance(outcome.error, PointTimeoutError)
    assert str(outcome.error).endswith("x=(7, 7)")
    assert not outcome.is_pool_stuck


def test_a_worker_that_hangs_is_not_left_to_the_next_learner(tmp_path: Path) -> None:
    executor = ProcessPool()
    pool = executor.open(1)
    function = HangsAt(2, mark=tmp_path / "hangs")
    run = LearnerRun(LearnerWork(sequence(function), str(tmp_path / "x"), None, pool, 1))

    def stop() -> None:
        until(function.mark.exists)
        run.stop("lost", 0.2)

    threading.Thread(target=stop).start()
    outcome = run.run()
    executor.close(pool, 0.1)
    assert outcome.is_pool_stuck, "all its workers hang: nobody could use it"


def pool_of_processes(n):
    return ProcessPoolExecutor(n, mp_context=multiprocessing.get_context("spawn"))


def test_a_pool_of_the_users_own_that_hangs_says_so() -> None:
    custom = Custom(pool_of_processes)
    pool = custom.open(1)
    future = pool.submit(time.sleep, 3600)
    try:
        deadline = time.monotonic() + 60
        while not future.running():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert not custom.close(pool, 0.5), "so its client ends itself and the children"
    finally:  # Python waits for them when it ends
        for child in multiprocessing.active_children():
            child.kill()


# ------------------------------------------------------------------- whole runs


@pytest.fixture
def accidents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Accidents]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    one = Accidents(tmp_path)
    yield one
    one.run.cancel()
    one.run.wait(60)


@pytest.mark.slow
@pytest.mark.parametrize(
    "executor",
    [pytest.param("mpi4py", marks=pytest.mark.mpi), "process-pool", "loky"][: times(1, 3)],
)
def test_the_client_is_started_again_and_the_other_learners_go_on(
    accidents: Accidents, executor: str
) -> None:
    functions = [HangsAt(0.0), square, square, square]
    run = accidents.make(
        [adaptive.Learner1D(function, (-1, 1)) for function in functions],
        {"executor_type": executor, "cores": 2 if executor == "mpi4py" else 1}, max_jobs=1, max_fails=1,
        point_timeout=LIMIT,
    )  # fmt: skip
    run.start()
    run.wait(150)
    items = run.snapshot("all").items
    assert [item.phase for item in items] == ["failed", "done", "done", "done"]
    assert items[0].reason == "a point took longer than point_timeout=5 s: x=0.0"
    assert (items[0].fails, items[0].crashes, items[0].attempts) == (2, 0, 2)
    assert items[0].npoints == 2, "the points that returned are kept"
    assert "point_timeout=5 s: x=0.0" in run.status().text
    print(f"{executor}: {items[0].worked:.1f} s in two claims, {run.snapshot().submitted} jobs")
    assert items[0].worked < 2 * (LIMIT + 50)


def test_without_a_timeout_status_shows_since_when_no_point_has_come_back(
    accidents: Accidents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "STALLED", 2.0)
    run = accidents.make([adaptive.Learner1D(HangsAt(0.0), (-1, 1))], {"cores": 1})
    with EngineHere(run, beat=0.5).serving() as here:

        def hangs() -> bool:  # not before the first two points have come back
            (item,) = run.snapshot("all").items
            return item.stalled and item.npoints == 2

        here.until(hangs, 60)
        words = r"learner 0 .*: without progress since \d\d:\d\d:\d\d \(\d+ s\)"
        assert re.search(words, run.status().text)
        (item,) = run.snapshot("all").items
        assert item.idle_since > 2.0


def test_a_goal_that_is_met_does_not_need_the_point_that_hangs(accidents: Accidents) -> None:
    run = accidents.make(
        [adaptive.Learner1D(HangsAt(0.0), (-1, 1)), adaptive.Learner1D(square, (-1, 1))],
        max_jobs=1, point_timeout=60,
    )  # fmt: skip
    run.start()
    run.wait(150)
    items = run.snapshot("all").items
    assert [(item.phase, item.fails) for item in items] == [("done", 0), ("done", 0)]
    assert run.snapshot().submitted == 1, "the worker that hangs was replaced in its job"


@pytest.mark.parametrize("wrong", [0, -1, True, "1 hedgehog", float("inf"), float("nan")])
def test_a_wrong_timeout_is_refused(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(InputError, match="point_timeout="):
        RunManager(
            LocalScheduler(cores=1), [adaptive.Learner1D(square, (-1, 1))], [tmp_path / "x"],
            goal=3, point_timeout=wrong,
        )  # fmt: skip


def test_a_timeout_reaches_the_run_folder_and_stays_with_a_retry(accidents: Accidents) -> None:
    run = accidents.make(
        [adaptive.Learner1D(square, (-1, 1))], point_timeout=dt.timedelta(minutes=2),
        point_retries=5,
    )  # fmt: skip
    with EngineHere(run).serving() as here:
        assert read_config(run.folder).point_timeout == 120.0
        here.wait(120)
    command = [sys.executable, "-m", "adaptive_scheduler.cli", "retry", str(run.folder.home)]
    done = subprocess.run(
        [*command, "--goal", "25"], capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stderr
    config = read_config(run.folder)
    assert (config.goal.value, config.point_timeout, config.point_retries) == (25, 120.0, 5)
    run.wait(120)


def test_the_command_line_refuses_a_time_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "learners_file.py"
    file.write_text("import adaptive\nlearners = []\nfnames = []\n")
    done = subprocess.run(
        [sys.executable, "-m", "adaptive_scheduler.cli", "run", str(file), "--scheduler", "local",
         "--cores", "1", "--point-timeout", "soon"],
        capture_output=True, text=True, timeout=250, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert "--point-timeout 'soon' is not understood" in done.stderr
