"""How a `PointRunner` runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from adaptive_scheduler.core.times import optional_seconds
from adaptive_scheduler.evaluation.refits import Fit

#: Seconds, and multiples of p95, that points in flight are waited for when no more are asked for.
GRACE, GRACE_FACTOR = 10.0, 3.0
#: Seconds: a function that raises so late may always do so, which should soon be known.
SLOW_FAILURE = 10.0


@dataclass
class RunnerOptions:
    """How a `PointRunner` runs.

    Attributes
    ----------
    retries : int
        How often a point whose function raised is tried again.
    retry_within : float
        Seconds; a point that raised later is tried again only once others have succeeded.
    raise_if_retries_exceeded : bool
        Whether a point that still fails ends the run; else it is left out.
    grace : float, optional
        Seconds that points in flight are waited for after the goal; default
        `GRACE` + `GRACE_FACTOR` times the p95 of their durations.
    deadline : float, optional
        `time.monotonic` after which nothing is waited for.
    memo : dict
        Known values of points that the learner takes only when it asks for them.
    record : callable, optional
        Called with (x, y) for every point that was evaluated and that the learner took.
    log : bool
        Keep the calls made to the learner in ``runner.log``.
    point_timeout : float, optional
        Seconds that one evaluation may take; one that takes longer ends the run as an error.
    refit_every : int
        Values that are told together. If it is more than one, the learner then chooses anew the
        points that wait; see `choose_anew`.
    fit : callable, optional
        Fits the model of a `RankingLearner`; default: a thread does. See `refits`.
    queues_all : bool
        Whether points are submitted that the goal may not need, as many as there is room for: their
        order, which is not certain yet, says which of them are evaluated.
    """

    retries: int = 0
    retry_within: float = math.inf
    raise_if_retries_exceeded: bool = True
    grace: float | None = None
    deadline: float | None = None
    memo: dict[Any, Any] = field(default_factory=dict)
    record: Callable[[Any, Any], None] | None = None
    log: bool = False
    point_timeout: float | None = None
    refit_every: int = 1
    fit: Fit | None = None
    queues_all: bool = False

    def __post_init__(self) -> None:
        self.grace = optional_seconds(self.grace, "grace", zero=True)

    def grace_after(self, p95: float) -> float:
        """Seconds that points in flight are waited for, if p95 of them took so many seconds."""
        return GRACE + GRACE_FACTOR * p95 if self.grace is None else self.grace
