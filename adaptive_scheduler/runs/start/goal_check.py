"""Finds learners whose data meet the goal, and done ones whose data do not."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from adaptive_scheduler.core.goals import Goal, has_passed, predicate
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import Item
from adaptive_scheduler.errors import USER_RAISES, UserCodeError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.disk.directory_cache import DirectoryCache
from adaptive_scheduler.io.pickling.learner_file import LearnerFile
from adaptive_scheduler.runs.load_data import load_data
from adaptive_scheduler.runs.start.plan import CheckedRun, is_exhausted

#: Kinds of goals that are tested on loaded data, which can take hours to load.
SLOW = ("loss", "callable", "exhausted")
#: Kinds of goals that data can meet; the others are times.
_KINDS = ("npoints", "loss", "callable", "exhausted")


def met_on_disk(
    folder: RunFolder,
    goal: Goal,
    function: Callable[[Any], bool] | None,
    items: Sequence[Item],
) -> Iterator[tuple[int, int]]:
    """Load the data of each item that has some into a copy of its learner, and test the goal.

    Parameters
    ----------
    folder : RunFolder
        Its learners are written already.
    goal : Goal
    function : callable or None
        The user's goal, if it is of kind ``callable``.
    items : sequence of Item

    Yields
    ------
    row, npoints : int
        Of each item that meets the goal. Items whose data cannot be loaded are left out:
        their clients rename the broken files.

    Raises
    ------
    UserCodeError
        The goal raised, as it would in every job.
    """
    presence = DirectoryCache()
    with_data = [item for item in items if goal.kind in _KINDS and _has_data(item.fname, presence)]
    if not with_data:
        return
    with closing(LearnerFile(folder.learners)) as learners:
        for item in with_data:
            learner = _loaded(learners, item)
            if learner is not None and is_met(goal, function, learner):
                yield item.id, int(getattr(learner, "npoints", 0))


@dataclass(frozen=True)
class Unmet:
    """DONE rows that must go on: too `short` for the goal, or with their data `gone`."""

    short: list[int]
    gone: list[int]


def unmet(plan: CheckedRun, folder: RunFolder, done: Sequence[Item], is_new: bool = True) -> Unmet:
    """Find DONE rows that must go on.

    Parameters
    ----------
    plan : CheckedRun
    folder : RunFolder
        Its learners are written already.
    done : sequence of Item
    is_new : bool
        Whether the goal or the learners may have changed since they were done. If not, the
        data files need only exist; loading them can take hours.
    """
    gone = set(without_data(done))
    kept = [item for item in done if item.id not in gone]
    return Unmet(_short(plan, folder, kept, is_new), sorted(gone))


def without_data(items: Sequence[Item]) -> list[int]:
    """Return the rows that had points, and whose files are missing or empty."""
    presence = DirectoryCache()
    return [item.id for item in items if item.npoints and not _is_kept(item.fname, presence)]


def _is_kept(fname: str | list[str], presence: DirectoryCache) -> bool:
    return all(presence.has_data(name) for name in ([fname] if isinstance(fname, str) else fname))


def _short(plan: CheckedRun, folder: RunFolder, kept: Sequence[Item], is_new: bool) -> list[int]:
    """Return the rows that do not meet the goal with the data they have."""
    goal = plan.goal
    if not is_new:
        return []
    if goal.kind == "duration":
        return [item.id for item in kept if item.worked < goal.value]
    if goal.kind == "npoints":
        return [item.id for item in kept if item.npoints < goal.value]
    if goal.kind == "until":
        return [] if has_passed(goal, time.time()) else [item.id for item in kept]
    met = {row for row, _ in met_on_disk(folder, goal, plan.options.goal, kept)}
    return [item.id for item in kept if item.id not in met]


def _has_data(fname: str | list[str], presence: DirectoryCache) -> bool:
    """Return whether all files of a learner exist."""
    names = [fname] if isinstance(fname, str) else fname
    return all(presence.may_exist(name) and files.is_file(name) for name in names)


def _loaded(learners: LearnerFile, item: Item) -> Any:
    learner = learners.read(item.id)
    try:
        load_data(learner, item.fname)
    except USER_RAISES:
        return None
    return learner


def is_met(goal: Goal, function: Callable[[Any], bool] | None, learner: Any) -> bool:
    """Return whether a loaded learner meets its goal; UserCodeError if the goal raises."""
    test = predicate(goal, function, lambda: 0.0, time.time) or is_exhausted
    try:
        return bool(test(learner))
    except USER_RAISES as error:  # the user's code
        text = "".join(traceback.format_exception(error))
        raise UserCodeError("goal", f"{type(error).__name__}: {error}", text) from error
