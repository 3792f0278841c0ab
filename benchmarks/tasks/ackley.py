"""Ackley's function after a lognormal delay; a hundred workers import this, so it imports next to nothing."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence

#: Of the delay: median in seconds, and standard deviation of its logarithm.
MEDIAN, SIGMA = 2.8, 0.4


def ackley(x: Sequence[float]) -> float:
    """Return a value with many local minima, and the least at 0."""
    n = len(x)
    hollow = math.exp(-0.2 * math.sqrt(sum(part * part for part in x) / n))
    waves = math.exp(sum(math.cos(2 * math.pi * part) for part in x) / n)
    return 20 + math.e - 20 * hollow - waves


def delay(x: Sequence[float]) -> float:
    """Return how long a point takes: always the same."""
    return random.Random(repr(list(x))).lognormvariate(math.log(MEDIAN), SIGMA)


def slow_ackley(x: Sequence[float]) -> float:
    """Sleep, then return the value."""
    time.sleep(delay(x))
    return ackley(x)
