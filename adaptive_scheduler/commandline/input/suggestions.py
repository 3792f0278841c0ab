"""Known names that are like one that was typed wrong."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(typed: str, known: Iterable[str]) -> str:
    """``" Did you mean x?"``, with the known names that are most like it; "" if none is."""
    found = difflib.get_close_matches(typed, sorted(set(known)), 2)
    return f" Did you mean {' or '.join(found)}?" if found else ""
