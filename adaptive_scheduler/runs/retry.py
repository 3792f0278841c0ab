"""Chooses the learners of a retry, and writes their new functions and goal."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from adaptive_scheduler.core.goals import refuse_passed
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import Phase
from adaptive_scheduler.core.times import optional_seconds
from adaptive_scheduler.io.pickling.callables_file import write_callables
from adaptive_scheduler.io.pickling.learner_file import write_learners
from adaptive_scheduler.io.storage import row_codec
from adaptive_scheduler.io.storage.read_only import read_tables
from adaptive_scheduler.io.storage.run_config import change_config
from adaptive_scheduler.runs.run_item import RunItem, place_of
from adaptive_scheduler.runs.start import fnames
from adaptive_scheduler.runs.start.goal_check import unmet
from adaptive_scheduler.runs.start.plan import CheckedRun
from adaptive_scheduler.runs.start.prepare import callables


def places(wanted: Any, learners: Sequence[Any] | None, names: Sequence[fnames.Fname]) -> list[int]:
    """Find learners that a user names by place, fname, `RunItem` or the learner itself.

    A single one need not be in a list.
    """
    if id(wanted) in map(id, learners or ()) or _is_one(wanted):
        wanted = [wanted]
    by_id = {id(learner): place for place, learner in enumerate(learners or ())}
    by_key = {fnames.key(name): place for place, name in enumerate(names)}
    return [_place(one, by_id, by_key, names) for one in wanted]


def _is_one(wanted: Any) -> bool:
    return isinstance(wanted, (str, bytes, os.PathLike)) or not isinstance(wanted, Iterable)


def _place(
    one: Any,
    by_id: Mapping[int, int],
    by_key: Mapping[fnames.Key, int],
    names: Sequence[fnames.Fname],
) -> int:
    if id(one) in by_id:
        return by_id[id(one)]
    if isinstance(one, RunItem):
        return one.place
    if isinstance(one, (str, os.PathLike)):
        found = by_key.get(fnames.key(os.fspath(one)))
        if found is not None:
            return found
    return place_of(one, names)


def rows_to_retry(
    folder: RunFolder, plan: CheckedRun | None, row_of: Sequence[int], wanted: Sequence[int] | None
) -> list[int]:
    """Write the new functions and goal, and return the rows that are to be queued again.

    Parameters
    ----------
    folder : RunFolder
    plan : CheckedRun or None
        The run as it is to be from now on; None (after `attach`): unchanged.
    row_of : sequence of int
        For each learner its row.
    wanted : sequence of int or None
        Places in the list of learners. None: all that failed or were cancelled, and, with a
        `plan`, finished ones that do not meet the goal or whose data are gone.
    """
    if plan is not None:
        refuse_passed(plan.goal, time.time())
        _write_plan(folder, plan, row_of)
    if wanted is not None:
        return [row_of[place] for place in wanted]
    items = row_codec.read_items(read_tables(folder), folder)
    ended = [item.id for item in items if item.phase in (Phase.FAILED, Phase.CANCELLED)]
    if plan is None:
        return ended
    found = unmet(plan, folder, [item for item in items if item.phase is Phase.DONE])
    return sorted([*ended, *found.short, *found.gone])


def _write_plan(folder: RunFolder, plan: CheckedRun, row_of: Sequence[int]) -> None:
    place_of = sorted(range(len(row_of)), key=row_of.__getitem__)
    write_learners(
        folder.learners,
        [plan.learners[place] for place in place_of],
        [plan.fnames[place] for place in place_of],
    )
    write_callables(folder.callables, callables(plan, place_of))
    timeout = optional_seconds(plan.options.point_timeout, "point_timeout")
    changes = {
        "goal": plan.goal,
        "point_timeout": timeout,
        "point_retries": plan.options.point_retries,
    }
    change_config(folder, lambda config: msgspec.structs.replace(config, **changes))
