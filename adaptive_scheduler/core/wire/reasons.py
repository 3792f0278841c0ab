"""Why something is as it is: what a person asks the manager."""

from __future__ import annotations

import msgspec


class WhyWaits(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Asks why a task has not begun."""

    item: int


class Reasons(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The answer to WhyWaits: sentences; none of a task that runs or has ended."""

    texts: list[str]
