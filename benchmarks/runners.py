"""Runs our runner and adaptive's in the same way."""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any

import adaptive

from adaptive_scheduler.client.learners.process_setup import prepare_process
from adaptive_scheduler.evaluation.in_pool import in_pool
from adaptive_scheduler.evaluation.options import RunnerOptions
from adaptive_scheduler.evaluation.runner import PointRunner
from adaptive_scheduler.io.learner_data import adaptive_private

Goal = Callable[[Any], bool]

#: Python's default settings (garbage collector, thread switches), which the peer uses.
COMES_WITH = gc.get_threshold(), sys.getswitchinterval()
prepare_process()  # as a client does; the bare learner has it too


def free(x: float) -> float:
    """A function that costs nothing."""
    return x * x


def peak(x: float) -> float:
    """The function of adaptive's tutorial: a narrow peak on a slope."""
    return x + 0.01**2 / (0.01**2 + (x - 0.3) ** 2)


def slow_peaks(seed: int) -> Callable[[float], float]:
    """Three peaks on a slope, of places and widths set by the seed; takes a millisecond."""
    draw = random.Random(seed)
    peaks = [(draw.uniform(-1, 1), 10 ** draw.uniform(-2.5, -0.5)) for _ in range(3)]
    return partial(_slow_peaks, draw.uniform(-1, 1), peaks)


def _slow_peaks(slope: float, peaks: list[tuple[float, float]], x: float) -> float:
    time.sleep(0.001)
    return slope * x + sum(width**2 / (width**2 + (x - at) ** 2) for at, width in peaks)


def sequence(n: int, function: Callable[..., Any] = free) -> Any:
    """A SequenceLearner of `n` points."""
    return adaptive.SequenceLearner(function, range(n))


def line(function: Callable[..., Any] = peak) -> Any:
    """A Learner1D."""
    return adaptive.Learner1D(function, (-1, 1))


def drive(
    learner: Any, goal: Goal | None, pool: Executor, workers: int, grace: float = 5.0
) -> float:
    """Run a learner with our runner; returns seconds."""

    async def main() -> float:
        begin = time.perf_counter()
        runner = PointRunner(
            learner,
            goal,
            make_evaluator=in_pool(learner, pool, workers),
            options=RunnerOptions(grace=grace),
        )
        await runner.task
        if runner.error is not None:
            raise runner.error
        return time.perf_counter() - begin

    return asyncio.run(main())


def drive_adaptive(learner: Any, goal: Goal, pool: Executor, workers: int) -> float:
    """Run a learner with adaptive's runner and Python's default settings; returns seconds."""
    ours = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(*COMES_WITH[0])
    sys.setswitchinterval(COMES_WITH[1])
    try:
        return _drive_adaptive(learner, goal, pool, workers)
    finally:
        gc.set_threshold(*ours[0])
        sys.setswitchinterval(ours[1])


def _drive_adaptive(learner: Any, goal: Goal, pool: Executor, workers: int) -> float:
    async def main() -> float:
        begin = time.perf_counter()
        runner = adaptive.AsyncRunner(
            learner, goal, executor=pool, ntasks=workers, shutdown_executor=False
        )
        await runner.task
        return time.perf_counter() - begin

    return asyncio.run(main())


def bare(learner: Any, n: int, ask: int = 16, pending: int = 0) -> float:
    """Points per second of the learner alone: ask, evaluate here, tell, with `pending` in flight."""
    waiting: deque[Any] = deque(adaptive_private.ask(learner, pending) if pending else ())
    begin = time.perf_counter()
    told = 0
    while told < n:
        waiting.extend(learner.ask(ask)[0])
        for _ in range(min(ask, n - told)):
            x = waiting.popleft()
            learner.tell(x, learner.function(x))
            told += 1
    return told / (time.perf_counter() - begin)
