"""Less of what `make quick` tries: 30 examples instead of 200, 16,000 rows instead of 64,000."""

from __future__ import annotations

import os

QUICK = os.environ.get("ADAPTIVE_SCHEDULER_EFFORT") == "quick"


def usually(usual: int, *, quick: int) -> int:
    """How many: ``usual``, and ``quick`` in `make quick`, which somebody waits for."""
    return quick if QUICK else usual
