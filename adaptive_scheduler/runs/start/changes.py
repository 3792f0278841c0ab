"""Finds what the user has changed since the last start: learners, functions, goal."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import Item
from adaptive_scheduler.core.same import Comparison
from adaptive_scheduler.errors import FileError
from adaptive_scheduler.io.pickling.callables_file import read_callable
from adaptive_scheduler.io.pickling.learner_file import LearnerFile
from adaptive_scheduler.runs.start.plan import CheckedRun

#: At most so many learners are compared, evenly chosen, for so many seconds: an edit usually
#: changes all learners alike.
MAX_LEARNERS, MAX_SECONDS = 2000, 5.0
#: Bytes of arrays that are kept from one comparison to the next.
_MAX_KEPT = 2**26
#: Arguments of a learner's constructor that are the user's function.
_FUNCTION = ("function", "func")


@dataclass(frozen=True)
class Changes:
    """What has changed since the last start.

    Attributes
    ----------
    goal, settings : bool
        Whether the goal, or an argument of the learners (bounds, sequence, …), may have changed.
    function : int or None
        The first row whose function has certainly changed.
    """

    goal: bool = False
    settings: bool = False
    function: int | None = None


def find_changes(
    plan: CheckedRun,
    folder: RunFolder,
    config: RunConfig | None,
    rows: Sequence[Item],
    order: Sequence[int],
) -> Changes:
    """Compare a checked run with its folder, before the folder is written again.

    Parameters
    ----------
    plan : CheckedRun
    folder : RunFolder
    config : RunConfig or None
        Of the last start.
    rows : sequence of Item
        The rows that have data.
    order : sequence of int
        For each row its place in the plan's learners.
    """
    if config is None or not rows:
        return Changes()
    try:
        settings, function = _compare_learners(plan, folder, rows, order)
    except FileError:  # of an older version, or damaged
        settings, function = True, None
    return Changes(_goal_changed(plan, folder, config), settings, function)


def _compare_learners(
    plan: CheckedRun, folder: RunFolder, rows: Sequence[Item], order: Sequence[int]
) -> tuple[bool, int | None]:
    settings, function = False, None
    compare = Comparison()
    end = time.monotonic() + MAX_SECONDS
    with closing(LearnerFile(folder.learners)) as file:
        for row in rows[:: -(-len(rows) // MAX_LEARNERS)]:
            old, new = _result_or_none(file.read, row.id), plan.learners[order[row.id]]
            settings = settings or _result_or_none(_same_settings, compare, old, new) is not True
            if function is None and _result_or_none(_same_function, compare, old, new) is False:
                function = row.id
            if compare.kept > _MAX_KEPT:
                compare = Comparison()
            if time.monotonic() > end:
                break
    return settings, function


def _goal_changed(plan: CheckedRun, folder: RunFolder, config: RunConfig) -> bool:
    if plan.goal != config.goal:
        return True
    if plan.goal.kind != "callable":
        return False
    old = _result_or_none(read_callable, folder.callables, "goal")
    return _result_or_none(Comparison().same, old, plan.options.goal) is not True


def _same_settings(compare: Comparison, old: Any, new: Any) -> bool:
    pairs = zip([old, *_parts(old)], [new, *_parts(new)], strict=True)
    return all(compare.same(_given(one), _given(other)) for one, other in pairs)


def _same_function(compare: Comparison, old: Any, new: Any) -> bool | None:
    """Compare the functions of two learners, or of all learners in them."""
    found: bool | None = True
    for one, other in zip([old, *_parts(old)], [new, *_parts(new)], strict=False):
        if hasattr(one, "function") and hasattr(other, "function") and not _parts(one):
            same = compare.same(one.function, other.function)
            if same is False:
                return False
            found = found and same
    return found


def _parts(learner: Any) -> list[Any]:
    """Return the learners in a BalancingLearner or DataSaver, and the learners in those."""
    own = vars(learner) if hasattr(learner, "__dict__") else {}
    direct = own["learners"] if isinstance(own.get("learners"), list) else [own.get("learner")]
    return [one for part in direct if part is not None for one in (part, *_parts(part))]


def _given(learner: Any) -> dict[str, Any]:
    """Return a learner's constructor arguments, but not the function or other learners."""
    own = vars(learner) if hasattr(learner, "__dict__") else {}
    names = inspect.signature(type(learner).__init__).parameters
    left_out = ("self", "learner", "learners", *_FUNCTION)
    return {name: own[name] for name in names if name in own and name not in left_out}


def _result_or_none(call: Callable[..., Any], *args: Any) -> Any:
    """Return the result of a call, or None ("not certain") if a class of the user's raises."""
    try:
        return call(*args)
    except Exception:  # noqa: BLE001  the user's code: unpickling, ==
        return None
