"""One thing that went wrong."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass
class Fault:
    """One thing that went wrong.

    Attributes
    ----------
    kind, what : str
    at : float
        Monotonic seconds.
    until : float
        When it was over; infinite before.
    pids : set of int
        Processes whose last points may be gone for it.
    stops : bool
        They were only stopped; `until` tells when they were continued.
    stepds : bool
        A slurmstepd of theirs was killed, so that nobody but themselves ends them.
    job : str
        Theirs.
    """

    kind: str
    what: str
    at: float = field(default_factory=time.monotonic)
    until: float = float("inf")
    pids: set[int] = field(default_factory=set)
    stops: bool = False
    stepds: bool = False
    job: str = ""
