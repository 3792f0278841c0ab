"""How far a learner is, as its client tells it."""

from __future__ import annotations

from typing import Annotated

import msgspec

#: A count that nobody reaches, and of which the sum over all learners is still an integer of
#: 64 bits: what is drawn for people would otherwise not fit into a message.
Count = Annotated[int, msgspec.Meta(ge=0, lt=2**40)]


class Report(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """How far a learner is, as its client sees it.

    Attributes
    ----------
    npoints : int
        Points in the learner.
    loss : float, optional
        The learner's real loss; None where it has none.
    seconds : float
        Worked under this token.
    new_points : int
        Evaluated under this token.
    points_per_second, overhead, cpu, memory : float
        Rate; percent of the workers' time not spent in the function; percent
        of one core and MiB used by the job's own processes.
    idle_since : float
        Seconds since the last point came back.
    p95 : float
        Seconds that 95 % of the last points took at most.
    kept_aside : str
        Damaged data files that were kept, under their new names.
    problem : str
        What cannot be written at present.
    """

    npoints: Count = 0
    loss: float | None = None
    seconds: float = 0.0
    new_points: Count = 0
    points_per_second: float = 0.0
    overhead: float = 0.0
    cpu: float = 0.0
    memory: float = 0.0
    idle_since: float = 0.0
    p95: float = 0.0
    kept_aside: str = ""
    problem: str = ""
