"""Wrong arguments are refused by name, before anything is written."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import adaptive
import pytest

from adaptive_scheduler.core.options.run_options import RunOptions
from adaptive_scheduler.errors import AdaptiveSchedulerError, InputError, RunError
from adaptive_scheduler.runs.run_manager import RunManager
from adaptive_scheduler.runs.start import fnames
from adaptive_scheduler.runs.start.plan import make_plan
from adaptive_scheduler.schedulers.local import LocalScheduler


def plan(learners: list[Any] | None = None, **settings: Any) -> None:
    learners = learners or [adaptive.Learner1D(abs, bounds=(-1, 1))]
    names = [f"data/{n}" for n in range(len(learners))]
    make_plan(LocalScheduler(cores=1), learners, names, RunOptions(**{"goal": 3, **settings}))


@pytest.mark.parametrize("name", ["mpi", "ipython", "callable", "callable:x"])
def test_an_unknown_executor_is_refused_where_it_is_written(name: str) -> None:
    with pytest.raises(
        InputError, match=f"executor_type='{name}' is not known. Use one of 'mpi4py'"
    ):
        LocalScheduler(cores=1, executor_type=name)


def test_an_mpiexec_with_an_open_quote_is_refused() -> None:
    with pytest.raises(InputError, match=r"mpiexec_executable=.* cannot be split.*quotation"):
        LocalScheduler(cores=1, mpiexec_executable="srun 'x")


def test_a_class_is_no_learner() -> None:
    with pytest.raises(InputError, match=r"learners\[0\] is the class Learner1D"):
        plan([adaptive.Learner1D])


@pytest.mark.parametrize("goal", [lambda: True, lambda a, b: a is b])
def test_a_goal_must_take_the_learner(goal: Any) -> None:
    with pytest.raises(InputError, match="cannot be called with one argument, the learner"):
        plan(goal=goal)


async def _awaited(learner):
    return learner.npoints > 10


def _yielded(learner):
    yield learner.npoints > 10


@pytest.mark.parametrize("goal", [_awaited, _yielded])
def test_a_goal_whose_result_is_always_true_is_refused(goal: Any) -> None:
    with pytest.raises(InputError, match=r"`async def` or has a yield.*Write a plain function"):
        plan(goal=goal)


@pytest.mark.parametrize("goal", [bool, lambda learner, n=3: learner.npoints > n])
def test_a_goal_with_one_required_argument_is_accepted(goal: Any) -> None:
    plan(goal=goal)


@pytest.mark.parametrize(
    ("given", "told"),
    [(3, "must be a mapping"), ({"retries": "x"}, "retries='x' must be a whole number"),
     ({"grace": -1}, "grace=-1 must be a length of time"), ({"log": 1}, "log=1 must be True or False")],
)  # fmt: skip
def test_wrong_runner_kwargs_are_refused(given: Any, told: str) -> None:
    with pytest.raises(InputError, match=f"runner_kwargs.*{told}"):
        plan(runner_kwargs=given)


def test_a_file_system_without_room_for_files_is_refused() -> None:
    if not Path("/proc/self").exists():
        pytest.skip("no /proc here")
    with pytest.raises(InputError, match="fnames: nothing can be written into /proc"):
        fnames.refuse_unwritable(["/proc/not/there"])


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


class _NotPicklable:
    def __call__(self, x: float) -> float:
        return x

    def __reduce__(self) -> str:
        raise TypeError("no pickle of this")


@pytest.mark.parametrize("folder", [None, "run", "deep/er/run"])
@pytest.mark.parametrize(
    ("function", "goal"),
    [(_NotPicklable(), 3), (abs, datetime(2001, 1, 1, tzinfo=UTC))],
    ids=["pickle", "moment"],
)
def test_a_refused_start_leaves_no_folder(
    empty: Path, folder: str | None, function: Any, goal: Any
) -> None:
    learner = adaptive.Learner1D(function, bounds=(-1, 1))
    run = RunManager(LocalScheduler(cores=1), [learner], ["data"], goal=goal, folder=folder)
    with pytest.raises(AdaptiveSchedulerError):
        run.start()
    assert list(empty.iterdir()) == []


def test_a_refused_start_leaves_what_was_there(empty: Path) -> None:
    (empty / "run/db.tinydb.run").mkdir(parents=True, mode=0o700)
    (empty / "run/mine.txt").write_text("mine")
    learner = adaptive.Learner1D(_NotPicklable(), bounds=(-1, 1))
    run = RunManager(LocalScheduler(cores=1), [learner], ["data"], goal=3, folder="run")
    with pytest.raises(AdaptiveSchedulerError):
        run.start()
    assert (empty / "run/mine.txt").read_text() == "mine"
    assert list((empty / "run/db.tinydb.run").iterdir()) == []


@pytest.mark.parametrize("call", ["cancel", "resume", "retry", "snapshot", "wait", "info"])
def test_every_call_on_a_run_that_was_not_started_raises_the_same_error(
    empty: Path, call: str
) -> None:
    learner = adaptive.Learner1D(abs, bounds=(-1, 1))
    run = RunManager(LocalScheduler(cores=1), [learner], ["data"], goal=3, folder="run")
    with pytest.raises(RunError, match=r"was never started: call start\(\)"):
        getattr(run, call)()
    assert list(empty.iterdir()) == []
