"""All that jobs use of adaptive's private parts (pinned ``adaptive>=1.5,<1.6``).

What is also needed to load data outside of jobs is in `io.learner_data.adaptive_load`.
"""

from __future__ import annotations

import functools
import gzip
import heapq
import importlib
import inspect
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import cloudpickle
from adaptive import (
    AverageLearner,
    AverageLearner1D,
    BalancingLearner,
    IntegratorLearner,
    Learner1D,
    Learner2D,
    LearnerND,
    SequenceLearner,
)
from adaptive import runner as adaptive_runner
from adaptive.learner.balancing_learner import dispatch
from adaptive.learner.learner1D import abs_min_log_loss, default_loss, uniform_loss
from adaptive.learner.sequence_learner import _IgnoreFirstArgument

from adaptive_scheduler.io.learner_data.adaptive_load import (
    can_tell,
    compact,
    expand,
    files_of,
    innermost,
    is_known,
    npoints,
    points_of,
    read_data,
    saves_itself,
    set_data,
    tell_loaded,
    tidy,
)
from adaptive_scheduler.optimizers.numbered import NumberedLearner

#: What learners need as soon as they have values.
NEEDED: dict[type, tuple[str, ...]] = {
    AverageLearner1D: ("scipy.stats",),
    Learner2D: ("scipy.interpolate",),
    LearnerND: ("scipy.spatial",),
    IntegratorLearner: ("scipy.linalg",),
}
#: Of a Learner1D: those that need nothing besides.
PLAIN_LOSSES = (default_loss, uniform_loss, abs_min_log_loss)

__all__ = [
    "ask",
    "ask_with_gains",
    "can_choose_anew",
    "can_tell",
    "choose_anew",
    "compact",
    "compress",
    "counts_each",
    "dump_data",
    "expand",
    "files_of",
    "innermost",
    "is_async",
    "is_blind",
    "is_known",
    "npoints",
    "points_of",
    "prepare",
    "read_data",
    "saves_itself",
    "set_data",
    "target",
    "tell_loaded",
    "tells_together",
]

Learner = Any
Point = Any

#: Learners whose choice of points does not depend on the values: any number may be in flight.
_BLIND = (SequenceLearner, AverageLearner)
#: Learners whose points in flight are more than their best choice of then. An AverageLearner1D numbers
#: its samples, an IntegratorLearner needs all that it asks for, the child of a BalancingLearner was
#: chosen among the others.
_STEADY = (SequenceLearner, AverageLearner, AverageLearner1D, IntegratorLearner, BalancingLearner)


# ------------------------------------------------------------------ functions


def target(function: Callable[..., Any], x: Point) -> tuple[Callable[..., Any], Any]:
    """The user's function and its argument, without adaptive's wrappers: workers need no adaptive."""
    while True:
        if isinstance(function, _IgnoreFirstArgument):
            function, x = function.function, x[1]
        elif isinstance(function, functools.partial) and function.func is dispatch:
            index, x = x
            function = function.args[0][index]
        else:
            return function, x


def is_async(learner: Learner) -> bool:
    """Whether the function is an ``async def``, which runs on the event loop."""
    inner = innermost(learner)
    if isinstance(inner, BalancingLearner):
        return all(map(is_async, inner.learners))
    function, _ = target(learner.function, (None, None))
    return inspect.iscoroutinefunction(function)


# --------------------------------------------------------------------- points


def is_blind(learner: Learner) -> bool:
    """Whether many points may be asked for ahead without making the later ones a worse choice."""
    learner = innermost(learner)
    if isinstance(learner, BalancingLearner):
        return all(is_blind(child) for child in learner.learners)
    return isinstance(learner, _BLIND)


def ask(learner: Learner, n: int) -> list[Point]:
    """Ask for n points; it returns fewer if the learner has no more to ask for now."""
    return [x for x, _ in ask_with_gains(learner, n)]


def ask_with_gains(learner: Learner, n: int) -> list[tuple[Point, float]]:
    """Ask for n points, each with the loss that the learner expects it to take away."""
    inner = innermost(learner)
    if isinstance(inner, BalancingLearner) and _is_sequences(inner):
        return [(x, 0.0) for x in _ask_sequences(inner, n)]
    try:
        points, gains = learner.ask(n)
    except RuntimeError as error:
        if "No way to improve" in str(error):  # IntegratorLearner: its intervals are used up
            return []
        raise
    return list(zip(points, gains, strict=False))


def can_choose_anew(learner: Learner) -> bool:
    """Whether points that it has asked for can be taken back, because it may know better now."""
    inner = innermost(learner)
    has_all = hasattr(inner, "tell_pending") and hasattr(inner, "remove_unfinished")
    return has_all and not isinstance(inner, _STEADY)


def choose_anew(learner: Learner, pending: list[Point], n: int) -> list[tuple[Point, float]]:
    """Ask for n points as if of all points in flight only those of `pending` were there."""
    inner = innermost(learner)
    if isinstance(inner, Learner2D):
        inner._stack.clear()  # noqa: SLF001  choices of before, which it would return first
    tidy(learner)
    for x in pending:
        inner.tell_pending(x)
    return ask_with_gains(learner, n)


def tells_together(learner: Learner) -> bool:
    """Whether a class of the user's takes many values at a time: to fit its model once, as a rule."""
    method = getattr(type(learner), "tell_many", None)
    return method is not None and not method.__module__.startswith("adaptive.")


def _is_sequences(learner: BalancingLearner) -> bool:
    return all(isinstance(innermost(child), SequenceLearner) for child in learner.learners)


def _ask_sequences(learner: BalancingLearner, n: int) -> list[Point]:
    """BalancingLearner.ask takes ``points[0]`` of a sequence that has none left: IndexError."""
    left = [
        (child.npoints + len(child.pending_points), index)
        for index, child in enumerate(map(innermost, learner.learners))
        if child._to_do_indices  # noqa: SLF001
    ]
    heapq.heapify(left)
    points: list[Point] = []
    while left and len(points) < n:
        count, index = left[0]
        (point,), _ = learner.learners[index].ask(1)
        learner.tell_pending((index, point))
        points.append((index, point))
        if innermost(learner.learners[index])._to_do_indices:  # noqa: SLF001
            heapq.heapreplace(left, (count + 1, index))
        else:
            heapq.heappop(left)
    return points


def prepare(learner: Learner) -> None:
    """Make an AverageLearner1D ask for each seed only once, and import what the learner will need.

    Its own count starts at the number of known samples. So it asks again for seeds in flight; and
    where seeds are missing after a restart, it asks for known ones for ever, as it does not count
    them.
    """
    learner = innermost(learner)
    if isinstance(learner, BalancingLearner):
        for child in learner.learners:
            prepare(child)
    for name in _needed_by(learner):
        importlib.import_module(name)
    if isinstance(learner, AverageLearner1D):
        next_seeds: dict[float, int] = {}
        for name in ("_ask_for_more_samples", "_ask_for_new_point"):
            # an instance's attribute: __getstate__ leaves it out of pickles
            method = getattr(type(learner), name)
            setattr(learner, name, functools.partial(_fresh, learner, next_seeds, method))


def _needed_by(learner: Learner) -> tuple[str, ...]:
    """Modules that it uses as soon as it has values.

    A client has postponed their import, which takes up to half a second. At the first value it would
    hold up the journal for as long.
    """
    for kind, names in NEEDED.items():
        if isinstance(learner, kind):
            return names
    # other losses may measure triangles
    is_usual = isinstance(learner, Learner1D) and learner.loss_per_interval in PLAIN_LOSSES
    return ("scipy.spatial",) if isinstance(learner, Learner1D) and not is_usual else ()


def _fresh(
    learner: AverageLearner1D,
    next_seeds: dict[float, int],
    method: Callable[..., tuple[list[Point], list[float]]],
    *args: Any,
) -> tuple[list[Point], list[float]]:
    """What `method` asks for, at the same x, with seeds that were never asked for."""
    points, losses = method(learner, *args)
    fresh = []
    for _, x in points:
        if x not in next_seeds:
            known = learner._data_samples.get(x, {})  # noqa: SLF001
            pending = (seed for seed, at in learner.pending_points if at == x)
            next_seeds[x] = 1 + max((*known, *pending), default=-1)
        fresh.append((next_seeds[x], x))
        next_seeds[x] += 1
    return fresh, losses


# ----------------------------------------------------------------------- data


def dump_data(learner: Learner) -> bytes:
    """What ``learner.save`` would write, before compression."""
    data = learner._get_data()  # noqa: SLF001
    blob: bytes = cloudpickle.dumps(data, protocol=pickle.HIGHEST_PROTOCOL)
    return blob


def compress(blob: bytes) -> bytes:
    """Compress as ``learner.save`` does; level 6 takes half the time of gzip's 9 and 1 % more room."""
    return gzip.compress(blob, compresslevel=6, mtime=0)


#: Learners of which every new value is one more point; an AverageLearner1D counts places.
_COUNT_EACH = (
    Learner1D, Learner2D, LearnerND, SequenceLearner, AverageLearner, IntegratorLearner,
    NumberedLearner,
)  # fmt: skip


def counts_each(learner: Learner) -> bool:
    """Whether each new value makes its number of points greater by one."""
    learner = innermost(learner)
    if isinstance(learner, BalancingLearner):
        return all(counts_each(child) for child in learner.learners)
    kind = next((one for one in _COUNT_EACH if isinstance(learner, one)), None)
    if kind is None or isinstance(learner, AverageLearner1D):
        return False
    return getattr(type(learner), "npoints", None) is getattr(kind, "npoints", None)


#: Whether adaptive's runner may be given a pool of these packages, as it has found at its import.
_POOLS = {name: getattr(adaptive_runner, name) for name in ("with_ipyparallel", "with_distributed")}


@contextmanager
def without_foreign_pools() -> Iterator[None]:
    """Make a runner that is given no pool of dask or ipyparallel.

    adaptive imports both, where they are installed, to ask whether the pool is one of theirs: a third of
    the CPU that a short job took.
    """
    for name in _POOLS:
        setattr(adaptive_runner, name, False)
    try:
        yield
    finally:
        for name, found in _POOLS.items():
            setattr(adaptive_runner, name, found)
