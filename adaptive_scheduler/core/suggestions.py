"""Known names that are like one that was typed wrong."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def close_names(typed: str, known: Iterable[str]) -> list[str]:
    """Return the known names that are most like the typed one, the best first."""
    return difflib.get_close_matches(typed, sorted(set(known)))


def did_you_mean(typed: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean x?"``, with at most two known names; "" if none is like it."""
    found = close_names(typed, known)[:2]
    return f" Did you mean {' or '.join(found)}?" if found else ""


def keys_instead(typed: str, known: Iterable[str]) -> str:
    """Return which keys a file may have there, and which of them may have been meant.

    They are in backticks, so that the command line does not take them for names of its options.
    """
    marked = [f"`{name}`" for name in known]
    return f"{did_you_mean(f'`{typed}`', marked)} It may have {', '.join(marked)}."
