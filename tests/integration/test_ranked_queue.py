"""Ranked queues: a model sorts what waits while it runs; with a `Runner`, and by hand."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import adaptive
import numpy as np
import pytest

from adaptive_scheduler import (
    Command,
    Executor,
    RankingLearner,
    Runner,
    TaskResources,
    expected_improvement,
    regex_value,
)
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import InputError, UserCodeError
from adaptive_scheduler.runs.driver.tasks.task_table import task_table
from adaptive_scheduler.scheduler import Here, LocalScheduler
from tests.integration import test_driver_deaths
from tests.integration.noted import allow, noted_in
from tests.integration.ranked_driver import GATE, N, Nearest, candidates, sphere

PATIENCE = 120.0
wait_for = partial(test_driver_deaths.wait_for, seconds=PATIENCE)
ROOT = Path(__file__).parents[2]
#: Seconds of a call.
CALL = 0.02
#: Calls that end between two openings of the gate; by then a fit is due, of 15 values.
STEP = 20


def ranking(home: Path, n: int = N, **options: Any) -> RankingLearner:
    given = {"surrogate": Nearest(), "acquisition": "lcb", "refit_every": 15, **options}
    gate = given.pop("gate", 10**9)
    return RankingLearner(partial(sphere, os.fspath(home), CALL, gate), candidates(n), **given)


def open_gate(home: Path, learner: RankingLearner, runner: Runner) -> None:
    """Let calls go on when what waits has been sorted."""
    wait_for(lambda: learner.refits >= 1 or runner.done)
    (home / "go").touch()


def open_by_steps(home: Path, learner: RankingLearner, runner: Runner, executor: Executor) -> None:
    """Let calls go on each time that what waits has been sorted by a model of those before, however late."""

    def is_sorted(refits: int) -> bool:
        rows = executor.tasks()  # in the order of the candidates: all were submitted at once
        return runner.done or (
            learner.refits > refits
            and all(
                row["priority"] == learner.gain((number, ()))
                for number, row in enumerate(rows)
                if row["state"] == "queued"
            )
        )

    refits = 0
    for most in range(2 * STEP, len(learner.candidates.rows) + 2 * STEP, STEP):
        wait_for(partial(is_sorted, refits))
        refits = learner.refits
        allow(f"{home}/ledger", most)


def best(n: int, of: int = N) -> set[int]:
    values = (candidates(of) ** 2).sum(axis=1)
    return set(np.argsort(values)[:n].tolist())


def states(executor: Executor) -> Counter[tuple[str, str]]:
    return Counter((row["state"], row["tag"]) for row in executor.tasks())


# ------------------------------------------------------------------- with a Runner


def test_what_waits_is_sorted_and_what_the_goal_did_not_need_is_withdrawn(tmp_path: Path) -> None:
    wanted = best(4, of=200)
    assert max(wanted) > 120
    learner = ranking(tmp_path, 200, gate=STEP)

    def has_found(learner: RankingLearner) -> bool:
        is_met = wanted <= {number for number, _ in learner.data}
        if is_met:
            (tmp_path / "go").touch()  # those that run end
        return is_met

    with Executor(Here(slots=2), tmp_path / "run") as executor:
        runner = Runner(learner, executor, has_found).start()
        open_by_steps(tmp_path, learner, runner, executor)
        outcome = runner.wait(PATIENCE)
        wait_for(lambda: set(states(executor)) == {("done", ""), ("cancelled", "")})
        found = states(executor)
    assert outcome.reason == "goal"
    assert learner.npoints <= 0.6 * max(wanted)
    assert sum(found.values()) == 200
    assert found["done", ""] == learner.npoints == len(noted_in(f"{tmp_path}/ledger", "end"))


def test_no_slot_waits_for_a_slow_fit_and_it_takes_none(tmp_path: Path) -> None:
    ledger = os.fspath(tmp_path / "ledger")

    class Slow(Nearest):
        def fit(self, x: Any, y: Any) -> None:
            """Wait until 30 more calls have ended, or the last one: else the fit raises."""
            enough = min(400, len(noted_in(ledger, "end")) + 30)
            wait_for(lambda: len(noted_in(ledger, "end")) >= enough)
            super().fit(x, y)

    learner = ranking(tmp_path, 400, surrogate=Slow(), refit_every=50)
    with Executor(Here(slots=2), tmp_path / "run") as executor:
        outcome = Runner(learner, executor).run()
        rows = executor.tasks()
    assert outcome.npoints == 400
    assert learner.refits >= 1
    assert len(rows) == 400  # a fit is no task


@pytest.mark.parametrize("is_wide", [False, True])
def test_a_fit_may_be_a_task_of_a_pool_that_takes_its_tag(tmp_path: Path, is_wide: bool) -> None:
    batch = LocalScheduler(cores=2, max_cores=4, kill_wait=5, state=tmp_path / "batch")
    learner = ranking(tmp_path, 60, gate=30)
    with Executor(batch, tmp_path / "run", accepts=["work"], interval=1, idle=1) as executor:
        executor.add_pool(batch, accepts=["fit"], idle=1)
        work = executor.options(tag="work", priority=5)
        wide = executor.options(tag="fit", resources=TaskResources(threads_per_rank=2))
        runner = Runner(learner, work, refit_on=wide if is_wide else "fit").start()
        open_gate(tmp_path, learner, runner)
        outcome = runner.wait(PATIENCE)
        rows = [row for row in executor._book.site.rows() if row.tag == "fit"]
        table = executor.tasks(tag="fit")
    assert outcome.npoints == 60
    assert len({row.function for row in rows}) == 1  # the model was sent once
    assert {row["priority"] for row in table} == {7.0}
    assert table[0]["state"] == "done"


def test_a_model_that_raises_ends_the_runner_with_its_words_and_another_goes_on(
    tmp_path: Path,
) -> None:
    class Bad(Nearest):
        def fit(self, x: Any, y: Any) -> None:
            raise ArithmeticError("singular")

    with Executor(Here(slots=2), tmp_path / "run") as executor:
        for refit_on in (None, "refit"):
            # not so short that they are handed out ahead, before a fit whose time is not known; and so
            # many that they take a minute: if all have ended before a fit, its error is nothing to anybody
            call = partial(sphere, os.fspath(tmp_path), 0.2, 10**9)
            learner = RankingLearner(call, candidates(600), Bad(), refit_every=15)
            runner = Runner(learner, executor, refit_on=refit_on, name=f"bad {refit_on}")
            with pytest.raises(UserCodeError, match=r"surrogate.*ArithmeticError: singular"):
                runner.run()
            assert learner.npoints >= 15
        again = ranking(tmp_path)
        outcome = Runner(again, executor, name="good").run()
    assert outcome.npoints == N


def test_candidates_of_a_command_and_of_a_data_saver(tmp_path: Path) -> None:
    rows = [{"a": n / 4, "b": 2} for n in range(12)]
    command = Command("echo value {a}", value=regex_value(r"value (\S+)"))
    run = RankingLearner(command, rows, Nearest(), refit_every=3)
    saver = adaptive.DataSaver(
        RankingLearner(lambda a, b: {"loss": a * b}, rows, Nearest(), refit_every=3),
        lambda found: found["loss"],
    )
    with Executor(Here(slots=2), tmp_path / "run") as executor:
        assert Runner(run, executor, name="command").run().npoints == 12
        assert Runner(saver, executor, name="saver").run().npoints == 12
    assert run.best == ({"a": 0.0, "b": 2}, 0.0)
    assert saver.extra_data[1, (0.25, 2)] == {"loss": 0.5}


def test_candidates_that_raise_are_left_out(tmp_path: Path) -> None:
    def bad(x: Any) -> float:
        if x > 40:
            raise ValueError("too large")
        return float(x)

    learner = RankingLearner(bad, range(50), Nearest(), refit_every=10)
    with Executor(Here(slots=2), tmp_path / "run") as executor:
        runner = Runner(learner, executor, retries=0, raise_if_retries_exceeded=False)
        outcome = runner.run()
    assert (outcome.npoints, outcome.failed_points) == (41, 9)


def test_what_is_wrong_is_named_and_nothing_is_started(tmp_path: Path) -> None:
    with Executor(Here(slots=1), tmp_path / "run") as executor:
        with pytest.raises(InputError, match="only the model of a RankingLearner"):
            Runner(adaptive.Learner1D(abs, (-1, 1)), executor, refit_on="refit", name="a")
        for wrong in ("", 3):
            with pytest.raises(InputError, match="a tag that a pool accepts"):
                Runner(ranking(tmp_path), executor, refit_on=wrong, name="b")
        with (
            Executor(Here(slots=1), tmp_path / "other") as other,
            pytest.raises(InputError, match="is another run"),
        ):
            Runner(ranking(tmp_path), executor, refit_on=other, name="c")
        assert executor.tasks() == []


def test_fits_that_no_pool_takes_are_refused_before_the_first_candidate(tmp_path: Path) -> None:
    batch = LocalScheduler(cores=2, max_cores=2, kill_wait=5, state=tmp_path / "batch")
    learner = ranking(tmp_path)
    with Executor(batch, tmp_path / "run", accepts=["work"], interval=1) as executor:
        executor.add_pool(batch, accepts=["fit"], name="fits")
        wide = executor.options(tag="fit", resources=TaskResources(threads_per_rank=8))
        for refit_on, words in (("fti", r"refit_on='fti': no pool.*tag 'fti'.*accepts=\['fti'\]"),
                                (wide, r"needs 1 node, 8 cores")):  # fmt: skip
            runner = Runner(learner, executor.options(tag="work"), refit_on=refit_on)
            with pytest.raises(InputError, match=words):
                runner.run()
            assert runner.status()["state"] == "not started"
            assert executor.tasks() == []
        known = Runner(learner, executor.options(tag="work"), refit_on="fit")
        known._fits.refuse_unplaceable()
        executor.remove_pool("fits")
        with pytest.raises(InputError, match="no pool can ever hold it"):
            known.start()


def test_few_at_a_time_if_that_is_wanted(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    in_flight: list[int] = []

    class Counts(RankingLearner):
        def tell(self, x: Any, y: Any) -> None:
            in_flight.append(len(self.pending_points))
            super().tell(x, y)

    call = partial(sphere, os.fspath(tmp_path), CALL, 10**9)
    learner = Counts(call, candidates(60), Nearest(), "lcb", 15)
    with Executor(Here(slots=2), tmp_path / "run") as executor:
        assert Runner(learner, executor, ahead=3).run().npoints == 60
    assert 0 < max(in_flight) <= 5
    assert not [one for one in recwarn if "continue forever" in str(one.message)]


# ------------------------------------------------------------------- a driver that is killed


def start_driver(home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integration.ranked_driver", os.fspath(home)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
    )  # fmt: skip


def fits_in(home: Path) -> list[int]:
    """How many values each fit has had, in their order."""
    file = home / "fits"
    lines = file.read_text().splitlines() if file.exists() else []
    return [int(line.split()[1]) for line in lines if " begin " in line]


def times_sorted(home: Path) -> int:
    file = home / "fits"
    return file.read_text().splitlines().count("sorted") if file.exists() else 0


def test_fault_48_a_killed_driver_goes_on_with_a_model_of_all_that_was_known(
    tmp_path: Path,
) -> None:
    ledger = os.fspath(tmp_path / "ledger")
    driver = start_driver(tmp_path)
    wait_for(lambda: len(noted_in(ledger, "end")) >= GATE or driver.poll() is not None)
    driver.send_signal(signal.SIGKILL)
    driver.communicate(timeout=PATIENCE)
    n_before, n_sorted = len(fits_in(tmp_path)), times_sorted(tmp_path)
    run = RunFolder(tmp_path / "run")  # what a job has not told yet, the next driver does not find
    wait_for(lambda: len(task_table(run, "done")) >= GATE)
    driver = start_driver(tmp_path)
    wait_for(lambda: times_sorted(tmp_path) > n_sorted or driver.poll() is not None)
    (tmp_path / "go").touch()
    said, _ = driver.communicate(timeout=PATIENCE)
    assert driver.returncode == 0, said
    new_points, npoints, refits = map(int, said.split()[-3:])
    assert GATE <= fits_in(tmp_path)[n_before] <= GATE + 2  # of all, before any other value came
    begun, ended = noted_in(ledger, "begin"), noted_in(ledger, "end")
    assert len(ended) == len(begun) == len(set(ended)) == npoints == N
    assert new_points <= N - GATE
    assert refits >= 1


# ------------------------------------------------------------------- by hand


def are_sorted(executor: Executor, futures: list[Any]) -> bool:
    """Whether those that wait have the priorities that they were given."""
    given = {future.task: future.priority for future in futures}
    rows = [row for row in executor.tasks() if row["task"] in given and row["state"] == "queued"]
    return all(row["priority"] == given[row["task"]] for row in rows)


def test_by_hand_as_in_the_plan(tmp_path: Path) -> None:
    """As TASKS.md writes it: n at a time, new priorities, and more pools while it runs."""
    points = [list(map(float, x)) for x in candidates()]
    call = partial(sphere, os.fspath(tmp_path), 0.05, STEP)
    xs: list[Any] = []
    ys: list[float] = []
    with Executor(Here(slots=1), tmp_path / "run") as executor:
        futures = executor.submit_many(call, points)
        while futures:
            for future in executor.as_completed(futures, n=STEP, pop=True):
                xs.append(future.args[0])
                ys.append(future.result())
            left = [future.args[0] for future in futures]
            executor.update_priorities(futures, expected_improvement(xs, ys, left, Nearest()))
            if len(ys) in (20, 40):
                executor.add_pool(Here(slots=1), jobs=1)
            if len(ys) == 60:  # all wait for the other pools
                wait_for(lambda: len({row["job"] for row in executor.tasks()} - {""}) == 3)
            wait_for(partial(are_sorted, executor, futures))
            allow(f"{tmp_path}/ledger", len(ys) + STEP)
    assert sorted(xs) == sorted(points)
    last = {number for number, x in enumerate(points) if x in xs[70:]}
    assert not best(5) & last


def test_by_hand_expected_improvement_may_be_a_task(tmp_path: Path) -> None:
    points = [list(map(float, x)) for x in candidates(20)]
    ys = [float(sum(part * part for part in x)) for x in points[:10]]
    with Executor(Here(slots=1), tmp_path / "run") as executor:
        found = executor.submit(expected_improvement, points[:10], ys, points[10:]).result(PATIENCE)
    assert found == pytest.approx(expected_improvement(points[:10], ys, points[10:]), abs=1e-6)
