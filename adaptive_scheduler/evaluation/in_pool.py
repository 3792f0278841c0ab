"""Chooses how points are evaluated in one job: in its pool, or on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor as Pool
from typing import Any

from adaptive_scheduler.evaluation.async_evaluator import AsyncEvaluator
from adaptive_scheduler.evaluation.messages import Evaluator, MakeEvaluator, WorkerSetup
from adaptive_scheduler.evaluation.pool_evaluator import PoolEvaluator
from adaptive_scheduler.io.learner_data import adaptive_private


def in_pool(
    learner: Any,
    pool: Pool,
    workers: int,
    setup: WorkerSetup | None = None,
    *,
    is_timed: bool = False,
) -> MakeEvaluator:
    """Evaluate the points of a learner in a pool; those of an ``async def`` on the event loop.

    Parameters
    ----------
    learner : adaptive.BaseLearner
    pool : concurrent.futures.Executor
        It stays open.
    workers : int
        How many points it evaluates at a time.
    setup : WorkerSetup, optional
        What workers do before their first point.
    is_timed : bool
        Whether points that take too long are looked for.
    """

    def make(loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> Evaluator:
        if adaptive_private.is_async(learner):
            return AsyncEvaluator(loop, workers, wake, setup or WorkerSetup())
        return PoolEvaluator(
            pool, workers, wake, setup or WorkerSetup(),
            is_blind=adaptive_private.is_blind(learner), is_timed=is_timed,
        )  # fmt: skip

    return make
