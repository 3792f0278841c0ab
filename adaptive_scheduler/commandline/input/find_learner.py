"""Which learner is meant."""

from __future__ import annotations

from collections.abc import Sequence


def find_learner(typed: str, fnames: Sequence[str | list[str]]) -> int:
    """Find the row of a learner by its number, its fname or the end of its fname.

    Raises
    ------
    InputError
        There is none of this name, or more than one.
    """
    from adaptive_scheduler.runs.run_item import place_of

    if typed.isdecimal() and int(typed) < len(fnames):
        return int(typed)
    return place_of(typed, fnames)
