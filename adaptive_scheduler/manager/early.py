"""Learners whose data already meet the goal, so that no job is needed for them."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

from adaptive_scheduler.core.goals import Goal, predicate
from adaptive_scheduler.core.items import Item
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import USER_RAISES, UserCodeError
from adaptive_scheduler.io import files
from adaptive_scheduler.io.learners import LearnerFile
from adaptive_scheduler.io.presence import Presence
from adaptive_scheduler.manager.plan import is_exhausted
from adaptive_scheduler.manager.results import load_data

#: Goals that the data on disk can meet; the others are about time.
_KINDS = ("npoints", "loss", "callable", "exhausted")


def met_on_disk(
    folder: RunFolder,
    goal: Goal,
    function: Callable[[Any], bool] | None,
    items: Sequence[Item],
) -> Iterator[tuple[int, int]]:
    """Load the data of each item that has some, into a copy of its learner.

    Parameters
    ----------
    folder : RunFolder
        Its learners are written.
    goal : Goal
    function : callable or None
        The user's own, for a goal of kind ``callable``.
    items : sequence of Item

    Yields
    ------
    row, npoints : int
        Of each item that meets the goal. One whose data cannot be loaded is
        left to its client, which keeps them aside.

    Raises
    ------
    UserCodeError
        The goal raised: it would in every job.
    """
    presence = Presence()
    with_data = [item for item in items if goal.kind in _KINDS and _has_data(item.fname, presence)]
    if not with_data:
        return
    with closing(LearnerFile(folder.learners)) as learners:
        for item in with_data:
            learner = _loaded(learners, item)
            if learner is not None and is_met(goal, function, learner):
                yield item.id, int(getattr(learner, "npoints", 0))


def _has_data(fname: str | list[str], presence: Presence) -> bool:
    """Whether all files of a learner are there."""
    names = [fname] if isinstance(fname, str) else fname
    return all(presence.may_be(name) and files.is_file(name) for name in names)


def _loaded(learners: LearnerFile, item: Item) -> Any:
    learner = learners.read(item.id)
    try:
        load_data(learner, item.fname)
    except USER_RAISES:
        return None
    return learner


def is_met(goal: Goal, function: Callable[[Any], bool] | None, learner: Any) -> bool:
    """Whether a loaded learner meets its goal; UserCodeError if the goal raises."""
    test = predicate(goal, function, lambda: 0.0, time.time) or is_exhausted
    try:
        return bool(test(learner))
    except USER_RAISES as error:  # the border to the user's code
        text = "".join(traceback.format_exception(error))
        raise UserCodeError("goal", f"{type(error).__name__}: {error}", text) from error
