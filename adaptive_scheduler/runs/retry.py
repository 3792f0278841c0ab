"""Which learners a retry means, and what it gives them anew."""

from __future__ import annotations

import operator
import os
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from adaptive_scheduler.core.goals import refuse_passed
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.items import Phase
from adaptive_scheduler.core.times import optional_seconds
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.pickling.callables_file import write_callables
from adaptive_scheduler.io.pickling.learner_file import write_learners
from adaptive_scheduler.io.storage import row_codec as state
from adaptive_scheduler.io.storage.read_only import read_tables
from adaptive_scheduler.io.storage.run_config import read_config, write_config
from adaptive_scheduler.runs.start import fnames
from adaptive_scheduler.runs.start.goal_check import unmet
from adaptive_scheduler.runs.start.plan import CheckedRun
from adaptive_scheduler.runs.start.prepare import callables


def places(
    wanted: Sequence[Any], learners: Sequence[Any] | None, names: Sequence[fnames.Fname]
) -> list[int]:
    """Places of the learners that a user names by place, fname or the learner itself."""
    by_name = {fnames.key(name): place for place, name in enumerate(names)}
    by_id = {id(learner): place for place, learner in enumerate(learners or ())}
    return [_place(one, by_name, by_id, len(names)) for one in wanted]


def _place(one: Any, by_name: dict[fnames.Key, int], by_id: dict[int, int], n: int) -> int:
    if id(one) in by_id:
        return by_id[id(one)]
    if isinstance(one, (str, os.PathLike)):
        found = by_name.get(fnames.key(os.fspath(one)))
    elif isinstance(one, (list, tuple)):
        found = by_name.get(fnames.key(list(one)))
    else:
        found = _in_range(one, n)
    if found is None:
        raise InputError(
            f"learners: {one!r} is not of this run. Give places (0 to {n - 1}), fnames or the "
            "learners themselves."
        )
    return found


def _in_range(one: Any, n: int) -> int | None:
    try:
        place = operator.index(one)
    except TypeError:
        return None
    return place if 0 <= place < n else None


def rows_to_retry(
    folder: RunFolder, plan: CheckedRun | None, row_of: Sequence[int], wanted: Sequence[int] | None
) -> list[int]:
    """Write functions and goal anew, and say which rows are to be queued again.

    Parameters
    ----------
    folder : RunFolder
    plan : Plan or None
        What is to hold from now on; None (after `attach`): as it is.
    row_of : sequence of int
        For each learner its row.
    wanted : sequence of int or None
        Places; None: all that failed or were cancelled, and those done that do not meet
        the goal, or whose data are gone.
    """
    if plan is not None:
        refuse_passed(plan.goal, time.time())
        _renew(folder, plan, row_of)
    if wanted is not None:
        return [row_of[place] for place in wanted]
    items = state.read_items(read_tables(folder), folder)
    ended = [item.id for item in items if item.phase in (Phase.FAILED, Phase.CANCELLED)]
    if plan is None:
        return ended
    found = unmet(plan, folder, [item for item in items if item.phase is Phase.DONE])
    return sorted([*ended, *found.short, *found.gone])


def _renew(folder: RunFolder, plan: CheckedRun, row_of: Sequence[int]) -> None:
    place_of = sorted(range(len(row_of)), key=row_of.__getitem__)
    write_learners(
        folder.learners,
        [plan.learners[place] for place in place_of],
        [plan.fnames[place] for place in place_of],
    )
    write_callables(folder.callables, callables(plan, place_of))
    config = msgspec.structs.replace(
        read_config(folder), goal=plan.goal,
        point_timeout=optional_seconds(plan.settings.point_timeout, "point_timeout"),
        point_retries=plan.settings.point_retries,
    )  # fmt: skip
    write_config(folder, config)
