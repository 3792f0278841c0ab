"""What a user asked for, checked before anything is written or submitted."""

from __future__ import annotations

import graphlib
import inspect
import operator
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adaptive_scheduler.core import initializers
from adaptive_scheduler.core.config import CLIENT_PATIENCE, POINT_RETRIES, check_count
from adaptive_scheduler.core.goals import Goal, parse_goal
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.texts import check_line
from adaptive_scheduler.core.times import TimeLike, optional_seconds, seconds
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.transport.addresses import host_addresses, port_range, split_url
from adaptive_scheduler.runs.start.combinations import refuse_impossible
from adaptive_scheduler.runs.start.fnames import Fname, absolute_fnames
from adaptive_scheduler.schedulers.base import Scheduler


def _is_length(value: Any) -> bool:
    try:
        optional_seconds(value, "grace", zero=True)
    except InputError:
        return False
    return True


#: What users may say about the runner, and what it must be; the rest is decided by the
#: scheduler and the run.
RUNNER_KWARGS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "retries": (
        "a whole number, 0 or more",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
    ),
    "raise_if_retries_exceeded": ("True or False", lambda value: isinstance(value, bool)),
    "grace": (
        "a length of time (seconds, '30s') or None",
        _is_length,
    ),
    "log": ("True or False", lambda value: isinstance(value, bool)),
}
#: Arguments that are lengths of time.
TIMES = (
    "log_interval", "save_interval", "points_interval", "job_manager_interval", "client_patience",
)  # fmt: skip
_ELSEWHERE = {
    "goal": "give goal= to RunManager",
    "executor": "give executor_type= to the scheduler",
    "ntasks": "give cores= to the scheduler",
}


@dataclass(frozen=True)
class RunOptions:
    """How to run; described in `RunManager`."""

    goal: Any = None
    dependencies: Mapping[int, Any] | None = None
    runner_kwargs: Mapping[str, Any] | None = None
    initializers: Sequence[Any] | None = None
    job_name: str = "adaptive-scheduler"
    max_simultaneous_jobs: int = 100
    max_fails_per_job: int = 3
    max_crashes: int = 5
    log_interval: TimeLike = 30.0
    save_interval: TimeLike = 300.0
    points_interval: TimeLike = 1.0
    job_manager_interval: TimeLike = 30.0
    check_goal_on_start: bool = True
    run_script: str | os.PathLike[str] | None = None
    url: str | None = None
    interface: str | None = None
    ports: str | None = None
    point_timeout: TimeLike | None = None
    client_patience: TimeLike = CLIENT_PATIENCE
    point_retries: int = POINT_RETRIES


@dataclass(frozen=True)
class CheckedRun:
    """A checked wish.

    Attributes
    ----------
    learners : list
    fnames : list
        Absolute; one per learner.
    goal : Goal
    depends_on : list of tuple of int
        For each learner, those that must be done before.
    shapes, shape_of
        The different resources, and for each learner its place in them.
    """

    scheduler: Scheduler
    learners: list[Any]
    fnames: list[Fname]
    goal: Goal
    depends_on: list[tuple[int, ...]]
    shapes: list[Resources]
    shape_of: list[int]
    settings: RunOptions = field(default_factory=RunOptions)


def make_plan(scheduler: Any, learners: Any, fnames: Any, settings: RunOptions) -> CheckedRun:
    """Check everything that can be checked without touching the run folder.

    Raises
    ------
    InputError
        Names the argument, what is wrong and what to do.
    """
    if not isinstance(scheduler, Scheduler):
        raise InputError(
            f"scheduler={scheduler!r} is no scheduler. Give for example "
            "adaptive_scheduler.scheduler.SLURM(cores=10)."
        )
    checked = check_learners(learners)
    initializers.check(settings.initializers, len(checked))
    absolute = absolute_fnames(fnames, checked)
    goal = parse_goal(settings.goal)
    if goal.kind == "callable":
        check_goal_function(settings.goal)
    check_goal_fits(goal, checked)
    depends_on = check_dependencies(settings.dependencies, len(checked))
    check_settings(settings)
    shapes, shape_of = scheduler.shapes(len(checked))
    return CheckedRun(scheduler, checked, absolute, goal, depends_on, shapes, shape_of, settings)


def check_learners(learners: Any) -> list[Any]:
    """Return them as a list; InputError if one is no learner, or none that adaptive can run."""
    if hasattr(learners, "ask") or not hasattr(learners, "__len__"):
        raise InputError(
            f"learners must be a list of learners, not {type(learners).__name__}: "
            "for one learner write [learner]."
        )
    if not len(learners):
        raise InputError("learners is empty: there is nothing to run.")
    for place, learner in enumerate(learners):
        if isinstance(learner, type):
            raise InputError(
                f"learners[{place}] is the class {learner.__name__}, not a learner: call it, as in "
                f"{learner.__name__}(function, ...)."
            )
        if not (hasattr(learner, "ask") and hasattr(learner, "tell") and hasattr(learner, "load")):
            raise InputError(
                f"learners[{place}] is a {type(learner).__name__}, which is no learner of adaptive."
            )
    refuse_impossible(learners)
    return list(learners)


def check_goal_function(goal: Any) -> None:
    """Refuse a function that cannot be called with a learner, or gives no answer; InputError."""
    try:
        inspect.signature(goal).bind(object())
    except ValueError:  # of a builtin, which does not tell
        return
    except TypeError as error:
        raise InputError(
            f"goal={goal!r} cannot be called with one argument, the learner ({error}): write "
            "goal=lambda learner: ..."
        ) from error
    if initializers.answers_later(goal):
        raise InputError(
            f"goal={goal!r} is an `async def` or has a yield: calling it gives no answer but an object "
            "that counts as true, so each learner would end at once. Write a plain function."
        )


def check_goal_fits(goal: Goal, learners: Sequence[Any]) -> None:
    """Refuse goal=None for a learner that has no end of its own."""
    if goal.kind != "exhausted":
        return
    for place, learner in enumerate(learners):
        if not has_end(learner):
            raise InputError(
                f"goal=None means: until a learner has no more points. learners[{place}], a "
                f"{type(learner).__name__}, never has: give a goal, or, to go on until you cancel, "
                "goal=lambda learner: False."
            )


def has_end(learner: Any) -> bool:
    """Whether it knows by itself when it is done, as SequenceLearner and IntegratorLearner do."""
    children = getattr(learner, "learners", None)
    if isinstance(children, list):
        return all(has_end(child) for child in children)
    return callable(getattr(learner, "done", None))


def is_exhausted(learner: Any) -> bool:
    """Whether a learner that `has_end` is done."""
    children = getattr(learner, "learners", None)
    if isinstance(children, list):
        return all(is_exhausted(child) for child in children)
    return bool(learner.done())


def check_dependencies(dependencies: Any, n: int) -> list[tuple[int, ...]]:
    """For each of n learners those that it waits for.

    Raises
    ------
    InputError
        An index is out of range, or some wait for each other in a circle.
    """
    parents: list[tuple[int, ...]] = [()] * n
    if dependencies is None:
        return parents
    if not isinstance(dependencies, Mapping):
        raise InputError(
            f"dependencies must be a mapping {{child: [parents]}} of places in learners, "
            f"not {dependencies!r}."
        )
    for child, given in dependencies.items():
        place = _place(child, n, "a child")
        several = given if isinstance(given, Iterable) and not isinstance(given, str) else [given]
        parents[place] = tuple(
            dict.fromkeys(_place(one, n, f"a parent of {place}") for one in several)
        )
    try:
        graphlib.TopologicalSorter(dict(enumerate(parents))).prepare()
    except graphlib.CycleError as error:
        circle = " -> ".join(map(str, error.args[1]))
        raise InputError(
            f"dependencies are cyclic: {circle}: these learners would wait for each other for "
            "ever. Remove one of these arrows."
        ) from error
    return parents


def _place(value: Any, n: int, what: str) -> int:
    try:
        place = operator.index(value)
    except TypeError as error:
        raise InputError(
            f"dependencies: {value!r} ({what}) must be the place of a learner, 0 to {n - 1}."
        ) from error
    if not 0 <= place < n:
        raise InputError(
            f"dependencies: {place} ({what}) is out of range: there are {n} learners, 0 to {n - 1}."
        )
    return place


def check_settings(settings: RunOptions) -> None:
    """Check plain values; InputError names the argument."""
    check_count("max_simultaneous_jobs", settings.max_simultaneous_jobs, least=1)
    for name in ("max_fails_per_job", "max_crashes", "point_retries"):
        check_count(name, getattr(settings, name))
    for name in TIMES:
        seconds(getattr(settings, name), name)
    optional_seconds(settings.point_timeout, "point_timeout")
    if not isinstance(settings.job_name, str) or not settings.job_name.strip():
        raise InputError(f"job_name={settings.job_name!r} must be a text that is not empty.")
    check_line(settings.job_name, "job_name")
    _check_runner_kwargs(settings.runner_kwargs)
    if settings.url is not None:
        split_url(settings.url)
    host_addresses(settings.interface)
    port_range(settings.ports)
    if settings.run_script is not None and not Path(settings.run_script).expanduser().is_file():
        raise InputError(f"run_script={os.fspath(settings.run_script)!r} is no file.")


def _check_runner_kwargs(given: Any) -> None:
    if given is not None and not isinstance(given, Mapping):
        raise InputError(f"runner_kwargs={given!r} must be a mapping such as {{'retries': 2}}.")
    for name, value in (given or {}).items():
        if name not in RUNNER_KWARGS:
            remedy = _ELSEWHERE.get(name, f"known are {', '.join(sorted(RUNNER_KWARGS))}")
            raise InputError(f"runner_kwargs: {name!r} cannot be given here: {remedy}.")
        what, is_right = RUNNER_KWARGS[name]
        if not is_right(value):
            raise InputError(f"runner_kwargs: {name}={value!r} must be {what}.")
