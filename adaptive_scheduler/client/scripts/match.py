"""Finds the learner of an item among the learners that a script has."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from typing import Any

from adaptive_scheduler.core.rows.combos import plain_values
from adaptive_scheduler.core.wire.messages import Assigned
from adaptive_scheduler.errors import InputError, UserCodeError
from adaptive_scheduler.executors.worker import describe


def find_learner(assigned: Assigned, learners: Sequence[Any], names: Sequence[Any]) -> Any:
    """The learner of an item: the one in its place if its name fits, else the one whose name does.

    Parameters
    ----------
    assigned : Assigned
        The row, its fname and its combo.
    learners : sequence
    names : sequence
        The learners' fnames, or their combos.

    Raises
    ------
    InputError
        None fits, or the lengths differ; shows both sides.
    """
    if len(learners) != len(names):
        raise InputError(
            f"get_learner was given {len(learners)} learners but {len(names)} fnames or combos: "
            "each learner needs one."
        )
    by_combo = bool(names) and isinstance(names[0], Mapping)
    if by_combo and assigned.combo is None:
        raise InputError(
            "get_learner was given combos, but the database was made without them. Make it with "
            "create_empty_db(db_fname, fnames, combos), or give get_learner the fnames."
        )
    wanted = plain_values(assigned.combo) if by_combo else assigned.fname
    same = _same_combo if by_combo else same_fname
    order = sorted(range(len(names)), key=lambda index: index != assigned.item)
    for index in order:
        if same(names[index], wanted):
            return learners[index]
    at_row = repr(names[assigned.item]) if assigned.item < len(names) else "nothing"
    raise InputError(
        f"Row {assigned.item} of the database is {wanted!r}, but the learners here have {at_row} "
        f"in that place and {wanted!r} nowhere (of {len(names)}). Make the database anew from "
        "this learners_file, or bring back the one that it was made from."
    )


def copy_learner(learner: Any) -> Any:
    """A copy to run, so that the data go with it when it is done.

    Raises
    ------
    UserCodeError
        It cannot be copied.
    """
    try:
        return copy.deepcopy(learner)
    except BaseException as error:  # the border to the user's code: whatever its pickling raises
        name, message, text, _ = describe(error)
        raise UserCodeError("learner, when it was copied,", f"{name}: {message}", text) from error


def same_fname(one: Any, other: Any) -> bool:
    """Whether two fnames, or lists of them, are the same files."""
    return bool(_absolute(one) == _absolute(other))


def _absolute(fname: Any) -> Any:
    if isinstance(fname, (list, tuple)):
        return [_absolute(part) for part in fname]
    return os.path.abspath(os.path.expanduser(os.fspath(fname)))  # noqa: PTH100 keep symlinks


def _same_combo(combo: Any, wanted: Any) -> bool:
    return bool(plain_values(combo) == wanted)
