"""The options of a run: for each its default, check, unit and description, written once.

`RunManager` and `client_support.run` have them as arguments, the command line as ``--options``;
``run.json`` (`core.config.RunConfig`) keeps those that jobs and managers need, by the same names.
Tests compare the four.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, dataclass_transform

from adaptive_scheduler.core.options.checks import (
    Check,
    as_given,
    count,
    duration,
    flag,
    goal,
    optional,
    path,
    text,
)
from adaptive_scheduler.core.options.keywords import accept_aliases
from adaptive_scheduler.core.options.runner_kwargs import check_runner_kwargs
from adaptive_scheduler.core.times import TimeLike

_Record = TypeVar("_Record")


def option(default: Any, check: Check, unit: str, about: str) -> Any:
    """Make a field of a record of options.

    Parameters
    ----------
    default : object
    check : callable
        Given a value and the field's name, returns the value that is used, or raises InputError.
    unit : str
        Of the value that is used; "" if it has none.
    about : str
        One line for people, as ``--help`` shows it.
    """
    return dataclasses.field(
        default=default, metadata={"check": check, "unit": unit, "about": about}
    )


@dataclass_transform(frozen_default=True, kw_only_default=True)
def record(cls: type[_Record]) -> type[_Record]:
    """Make a frozen, keyword-only dataclass of a class whose fields are made with `option`.

    A new instance checks its values, and takes `ALIASES` of its fields.
    """

    def check_all(self: Any) -> None:
        for one in dataclasses.fields(self):
            value = one.metadata["check"](getattr(self, one.name), one.name)
            object.__setattr__(self, one.name, value)

    cls.__post_init__ = check_all  # type: ignore[attr-defined]
    made = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    made.__init__ = accept_aliases()(made.__init__)  # type: ignore[method-assign]
    return made


@record
class Limits:
    """What a run may use at most. `RunManager`, which has the same arguments, describes each."""

    max_jobs: int = option(
        100, count(1), "jobs", "Most jobs in the queue at a time, waiting ones included."
    )
    max_fails: int = option(
        3, count(), "failures", "Times that a learner may fail without new points between."
    )
    max_crashes: int = option(
        5, count(), "deaths of jobs", "Times that a learner's job may die by its own fault."
    )
    point_timeout: TimeLike | None = option(
        None, optional(duration), "seconds", "Time that one evaluation may take."
    )
    point_retries: int = option(
        2, count(), "tries", "Times that an evaluation that raised is tried again."
    )
    client_patience: TimeLike = option(
        86400.0, duration, "seconds", "Time that jobs go on computing without a manager."
    )


@record
class Saving:
    """How often jobs write. `RunManager`, which has the same arguments, describes each."""

    save_interval: TimeLike = option(300.0, duration, "seconds", "Time between two saves.")
    points_interval: TimeLike = option(
        1.0, duration, "seconds", "Finished points are on disk, beside the data, after this time."
    )
    log_interval: TimeLike = option(
        30.0, duration, "seconds", "Time between two lines of progress in a job's log."
    )


@record
class Network:
    """Where the manager listens. `RunManager`, which has the same arguments, describes each."""

    url: str | None = option(
        None, optional(text), "", "tcp://host:port at which the manager listens."
    )
    interface: str | None = option(
        None, optional(text), "", "Listen only on this network interface or address."
    )
    ports: str | None = option(
        None, optional(text), "", "Listen on one of these ports, such as 50000-50100."
    )


@record
class RunOptions(Limits, Saving, Network):
    """All options of a run, checked as far as that takes nothing else.

    A value is what its check returns: lengths of time are seconds. What takes the learners is
    checked in `runs.start.plan`, and what takes the machine (network, files) there, too.
    """

    goal: Any = option(None, goal, "", "When a learner is done.")
    name: str = option("adaptive-scheduler", text, "", "Name of the jobs in the queue.")
    folder: str | os.PathLike[str] | None = option(
        None, optional(path), "", "The run's folder: database, logs, and all that it needs."
    )
    dependencies: Mapping[int, Any] | None = option(
        None, as_given, "", "Which learners wait for which."
    )
    runner_kwargs: Mapping[str, Any] | None = option(
        None, check_runner_kwargs, "", "Options of the runner."
    )
    initializers: Sequence[Any] | None = option(
        None, as_given, "", "Functions that each worker calls before its first point."
    )
    interval: TimeLike = option(
        30.0, duration, "seconds", "Longest time between two listings of the queue."
    )
    check_goal_on_start: bool = option(
        True, flag, "", "Do not run learners whose saved data meet the goal."
    )
    check: bool = option(False, flag, "", "Try the cluster with one small job first.")
    run_script: str | os.PathLike[str] | None = option(
        None, optional(path), "", "What jobs run in place of the package's own client."
    )
    overwrite: bool = option(
        False, flag, "", "Forget what the folder's database says; data are kept."
    )


def from_arguments(arguments: Mapping[str, Any]) -> RunOptions:
    """Make options of a function's arguments (its ``locals()``); others among them are left out."""
    names = [one.name for one in dataclasses.fields(RunOptions)]
    return RunOptions(**{name: arguments[name] for name in names if name in arguments})
