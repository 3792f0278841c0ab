"""Which learner is meant."""

from __future__ import annotations

import os
from collections.abc import Sequence

from adaptive_scheduler.commandline.input.suggestions import did_you_mean
from adaptive_scheduler.errors import InputError


def find_learner(typed: str, fnames: Sequence[str | list[str]]) -> int:
    """Find the row of a learner by its number, its fname or the end of its fname.

    Raises
    ------
    InputError
        There is none of this name, or more than one.
    """
    if typed.isdecimal() and int(typed) < len(fnames):
        return int(typed)
    texts = [[name] if isinstance(name, str) else name for name in fnames]
    for matches in (_is_equal, _ends_with_parts, _ends_with):
        rows = [row for row, names in enumerate(texts) if any(matches(n, typed) for n in names)]
        if len(rows) == 1:
            return rows[0]
        if rows:
            some = ", ".join(f"{row} ({texts[row][0]})" for row in rows[:5])
            raise InputError(
                f"{len(rows)} learners match {typed!r}: {some}{', ...' * (len(rows) > 5)}. "
                "Give a number, or more of the fname."
            )
    last_parts = {os.path.basename(name) for names in texts for name in names}  # noqa: PTH119
    raise InputError(
        f"There is no learner {typed!r}.{did_you_mean(typed, last_parts)} "
        f"Give a number, 0 to {len(fnames) - 1}, or an fname or its end."
    )


def _is_equal(fname: str, typed: str) -> bool:
    return fname in (typed, os.path.abspath(typed))  # noqa: PTH100  texts that stay texts


def _ends_with_parts(fname: str, typed: str) -> bool:
    return fname.endswith("/" + typed.removeprefix("./"))


def _ends_with(fname: str, typed: str) -> bool:
    return bool(typed) and fname.endswith(typed)
