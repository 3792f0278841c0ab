"""How often the tests that try to break it try: briefly by default, in full when asked."""

from __future__ import annotations

import os

FULL = os.environ.get("ADAPTIVE_SCHEDULER_EFFORT") == "full"


def times(short: int, full: int) -> int:
    """How many times a test tries: ``full`` when ``ADAPTIVE_SCHEDULER_EFFORT=full``.

    `make test` has minutes for everything; `make soak` gives the full figures of
    docs/reliability.md.
    """
    return full if FULL else short
