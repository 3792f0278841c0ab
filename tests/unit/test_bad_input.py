"""Wrong arguments are refused by name, before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import adaptive
import pytest

from adaptive_scheduler.core.options.run_options import RunOptions
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.runs.start import fnames
from adaptive_scheduler.runs.start.plan import make_plan
from adaptive_scheduler.schedulers.local import LocalScheduler


def plan(learners: list[Any] | None = None, **settings: Any) -> None:
    learners = learners or [adaptive.Learner1D(abs, bounds=(-1, 1))]
    names = [f"data/{n}" for n in range(len(learners))]
    make_plan(LocalScheduler(cores=1), learners, names, RunOptions(**{"goal": 3, **settings}))


@pytest.mark.parametrize("name", ["mpi", "ipyparallel", "callable", "callable:x"])
def test_an_unknown_executor_is_refused_where_it_is_written(name: str) -> None:
    with pytest.raises(
        InputError, match=f"executor_type='{name}' is not known. Use one of 'mpi4py'"
    ):
        LocalScheduler(cores=1, executor_type=name)


def test_an_mpiexec_that_no_shell_could_read() -> None:
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
def test_a_goal_that_counts_as_met_whatever_it_is_is_refused(goal: Any) -> None:
    with pytest.raises(InputError, match=r"`async def` or has a yield.*Write a plain function"):
        plan(goal=goal)


@pytest.mark.parametrize("goal", [bool, lambda learner, n=3: learner.npoints > n])
def test_goals_that_can_be_called(goal: Any) -> None:
    plan(goal=goal)


@pytest.mark.parametrize(
    ("given", "told"),
    [(3, "must be a mapping"), ({"retries": "x"}, "retries='x' must be a whole number"),
     ({"grace": -1}, "grace=-1 must be a length of time"), ({"log": 1}, "log=1 must be True or False")],
)  # fmt: skip
def test_runner_kwargs(given: Any, told: str) -> None:
    with pytest.raises(InputError, match=f"runner_kwargs.*{told}"):
        plan(runner_kwargs=given)


def test_a_file_system_that_takes_no_file_whatever_its_modes_say() -> None:
    if not Path("/proc/self").exists():
        pytest.skip("no /proc here")
    with pytest.raises(InputError, match="fnames: nothing can be written into /proc"):
        fnames.refuse_unwritable(["/proc/not/there"])
