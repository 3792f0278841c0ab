"""What a client uses for all of its learners: the worker pool and the recipe."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor as Pool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adaptive_scheduler.core.goals import Goal
from adaptive_scheduler.core.initializers import Initializer
from adaptive_scheduler.core.wire.messages import Assigned


@dataclass(frozen=True)
class Recipe:
    """How learners are made, and when they are done.

    Attributes
    ----------
    learner : callable
        Makes the learner of an `Assigned`, without its data.
    goal, goal_function
        See `core.goals`.
    initializers : callable
        Gives those of the learner of an `Assigned`.
    runner_kwargs, point_timeout, point_retries
        See `client.orders.Work`.
    """

    learner: Callable[[Assigned], Any]
    goal: Goal
    goal_function: Callable[[Any], bool] | None = None
    initializers: Callable[[Assigned], tuple[Initializer, ...]] = lambda _: ()
    runner_kwargs: dict[str, Any] = field(default_factory=dict)
    point_timeout: float | None = None
    point_retries: int = 0


@dataclass(frozen=True)
class Workers:
    """Where points are evaluated, how many at a time, and where large functions lie for them."""

    pool: Pool
    count: int
    programs: Path | None = None
