"""How far an item is, as its client reports it."""

from __future__ import annotations

from typing import Annotated

import msgspec

#: A count below a bound that nobody reaches, so that the sum over all learners is an integer of 64
#: bits: a larger one would not fit into a message.
Count = Annotated[int, msgspec.Meta(ge=0, lt=2**40)]


class Report(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """How far a learner is.

    Attributes
    ----------
    npoints : int
        Points in the learner.
    loss : float, optional
        The learner's loss, of its points alone; None where it has none.
    seconds : float
        Worked since the claim.
    data_seconds : float
        How many of these went into loading its data, and into saving them while nothing was computed.
    new_points : int
        Evaluated since the claim.
    points_per_second : float
        Points a second, of late.
    busy : float
        Part of the workers that evaluate a point just now, from 0 to 1; 1 from clients that do not tell.
    overhead : float
        Percent of the workers' time that is not spent in the function.
    cpu : float
        Percent of one core that the job's processes use.
    memory : float
        MiB that they use.
    idle_since : float
        Seconds since the last point came back.
    p95 : float
        Seconds within which 95 % of the last points were evaluated.
    kept_aside : str
        Damaged data files, under the names by which they are kept.
    problem : str
        Why its points cannot be written at present; "" if they can.
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
    data_seconds: float = 0.0
    busy: float = 1.0
