"""What a start means anew: learners and goal beside those of the last start."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.items import Item
from adaptive_scheduler.core.same import Comparison
from adaptive_scheduler.errors import FileError
from adaptive_scheduler.io.pickling.callables_file import read_callable
from adaptive_scheduler.io.pickling.learner_file import LearnerFile
from adaptive_scheduler.runs.start.plan import CheckedRun

#: Learners that are compared, evenly chosen, and seconds that this may take: what is edited is
#: as a rule what all have.
MOST, PATIENCE = 2000, 5.0
#: Bytes that are remembered from one learner to the next.
_KEPT = 2**26
#: The argument of a learner's constructor that is the user's function.
_FUNCTION = ("function", "func")


@dataclass(frozen=True)
class Changes:
    """What is not as it was at the last start.

    Attributes
    ----------
    goal, settings : bool
        Whether the goal, or what else learners were made with (bounds, sequence, …), may be
        another one.
    function : int or None
        The first row whose function is surely another one.
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
    """Compare a plan with what the folder holds; call it before that is written anew.

    Parameters
    ----------
    plan : CheckedRun
    folder : RunFolder
    config : RunConfig or None
        Of the last start.
    rows : sequence of Item
        Those that have data.
    order : sequence of int
        For each row its place in the plan.
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
    end = time.monotonic() + PATIENCE
    with closing(LearnerFile(folder.learners)) as file:
        for row in rows[:: -(-len(rows) // MOST)]:
            old, new = _certain(file.read, row.id), plan.learners[order[row.id]]
            settings = settings or _certain(_same_settings, compare, old, new) is not True
            if function is None and _certain(_same_function, compare, old, new) is False:
                function = row.id
            if compare.kept > _KEPT:
                compare = Comparison()
            if time.monotonic() > end:
                break
    return settings, function


def _goal_changed(plan: CheckedRun, folder: RunFolder, config: RunConfig) -> bool:
    if plan.goal != config.goal:
        return True
    if plan.goal.kind != "callable":
        return False
    old = _certain(read_callable, folder.callables, "goal")
    return _certain(Comparison().same, old, plan.settings.goal) is not True


def _same_settings(compare: Comparison, old: Any, new: Any) -> bool:
    pairs = zip([old, *_parts(old)], [new, *_parts(new)], strict=True)
    return all(compare.same(_given(one), _given(other)) for one, other in pairs)


def _same_function(compare: Comparison, old: Any, new: Any) -> bool | None:
    """Of a learner, or of all learners in it."""
    found: bool | None = True
    for one, other in zip([old, *_parts(old)], [new, *_parts(new)], strict=False):
        if hasattr(one, "function") and hasattr(other, "function") and not _parts(one):
            same = compare.same(one.function, other.function)
            if same is False:
                return False
            found = found and same
    return found


def _parts(learner: Any) -> list[Any]:
    """The learners in a BalancingLearner or a DataSaver, and those in them."""
    own = vars(learner) if hasattr(learner, "__dict__") else {}
    direct = own["learners"] if isinstance(own.get("learners"), list) else [own.get("learner")]
    return [one for part in direct if part is not None for one in (part, *_parts(part))]


def _given(learner: Any) -> dict[str, Any]:
    """What its constructor was given, without the function and without other learners."""
    own = vars(learner) if hasattr(learner, "__dict__") else {}
    names = inspect.signature(type(learner).__init__).parameters
    left_out = ("self", "learner", "learners", *_FUNCTION)
    return {name: own[name] for name in names if name in own and name not in left_out}


def _certain(call: Callable[..., Any], *args: Any) -> Any:
    """What a call returns; None where the user's classes raise: then nothing is certain."""
    try:
        return call(*args)
    except Exception:  # noqa: BLE001  the border to the user's code: unpickling, ==
        return None
