"""Checks a run as the user described it, before anything is written or submitted."""

from __future__ import annotations

import graphlib
import inspect
import operator
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from adaptive_scheduler.core import initializers
from adaptive_scheduler.core.goals import Goal, parse_goal
from adaptive_scheduler.core.options.run_options import RunOptions
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.transport.addresses import host_addresses, port_range, split_url
from adaptive_scheduler.runs.start.combinations import refuse_impossible
from adaptive_scheduler.runs.start.fnames import Fname, absolute_fnames
from adaptive_scheduler.schedulers.base import Scheduler, check_scheduler


@dataclass(frozen=True)
class CheckedRun:
    """A run as its user described it, checked.

    Attributes
    ----------
    learners : list
    fnames : list
        Absolute; one per learner.
    goal : Goal
    depends_on : list of tuple of int
        For each learner, the learners that must be done before it.
    shapes, shape_of
        The different resources, and for each learner the index of its own.
    options : RunOptions
    after_save : callable, optional
        Jobs call it with learner and fname when data are on disk.
    """

    scheduler: Scheduler
    learners: list[Any]
    fnames: list[Fname]
    goal: Goal
    depends_on: list[tuple[int, ...]]
    shapes: list[Resources]
    shape_of: list[int]
    options: RunOptions = field(default_factory=RunOptions)
    after_save: Callable[[Any, Any], None] | None = None


def make_plan(scheduler: Any, learners: Any, fnames: Any, options: RunOptions) -> CheckedRun:
    """Check everything that can be checked without the run folder.

    Raises
    ------
    InputError
        Names the argument, what is wrong and what to do about it.
    """
    check_scheduler(scheduler)
    checked = check_learners(learners)
    initializers.check(options.initializers, len(checked))
    absolute = absolute_fnames(fnames, checked)
    goal = parse_goal(options.goal)
    if goal.kind == "callable":
        check_goal_function(options.goal)
    check_goal_fits(goal, checked)
    depends_on = check_dependencies(options.dependencies, len(checked))
    check_machine(options)
    shapes, shape_of = scheduler.shapes(len(checked))
    return CheckedRun(scheduler, checked, absolute, goal, depends_on, shapes, shape_of, options)


def resolved(plan: CheckedRun) -> CheckedRun:
    """Return the same with the resources as its scheduler gives them now."""
    shapes, shape_of = plan.scheduler.shapes(len(plan.learners))
    return replace(plan, shapes=shapes, shape_of=shape_of)


def check_learners(learners: Any) -> list[Any]:
    """Return them as a list; InputError if one is not a learner that adaptive can run."""
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
    """Refuse a goal that cannot be called with a learner, or returns no answer."""
    try:
        inspect.signature(goal).bind(object())
    except ValueError:  # a builtin without a signature
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
    """Refuse goal=None for a learner that never runs out of points."""
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
    """Return whether a learner can be done by itself, as a SequenceLearner can."""
    children = getattr(learner, "learners", None)
    if isinstance(children, list):
        return all(has_end(child) for child in children)
    return callable(getattr(learner, "done", None))


def is_exhausted(learner: Any) -> bool:
    """Return whether a learner that `has_end` is done."""
    children = getattr(learner, "learners", None)
    if isinstance(children, list):
        return all(is_exhausted(child) for child in children)
    return bool(learner.done())


def check_dependencies(dependencies: Any, n: int) -> list[tuple[int, ...]]:
    """Return for each of n learners the learners that it waits for.

    Raises
    ------
    InputError
        An index is out of range, or the dependencies are cyclic.
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
            f"dependencies are cyclic: {circle}: these learners would wait for each other "
            "forever. Remove one of these dependencies."
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


def check_machine(options: RunOptions) -> None:
    """Check the options that name something on this machine; InputError names the argument."""
    if options.url is not None:
        split_url(options.url)
    host_addresses(options.interface)
    port_range(options.ports)
    if options.run_script is not None and not Path(options.run_script).expanduser().is_file():
        raise InputError(f"run_script={os.fspath(options.run_script)!r} is no file.")
