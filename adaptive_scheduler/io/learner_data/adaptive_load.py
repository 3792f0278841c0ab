"""Loads adaptive's learners, from data files and journals, in less time than they do it themselves.

A Learner1D's own ``tell_many`` looks for each interval in ``reversed(losses)``, which is a
search through all of them: 20,000 points take it 6 to 11 s. Its ``remove_unfinished`` makes
deep copies, which at the end of a run took as long as telling a sixth of its points.

Used by jobs and by whoever loads the data of a run. What only jobs use of adaptive's private parts
is in `io.learner_data.adaptive_private`.
"""

from __future__ import annotations

import gzip
import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from adaptive import (
    AverageLearner,
    AverageLearner1D,
    BalancingLearner,
    DataSaver,
    IntegratorLearner,
    Learner1D,
    Learner2D,
    LearnerND,
    SequenceLearner,
)
from adaptive.learner.base_learner import BaseLearner
from adaptive.learner.learner1D import _get_neighbors_from_array, loss_manager

from adaptive_scheduler.errors import USER_RAISES
from adaptive_scheduler.optimizers.numbered import NumberedLearner
from adaptive_scheduler.optimizers.ranking.learner import RankingLearner

Learner = Any
Point = Any

#: Points that an IntegratorLearner may have had in flight at a time.
_MOST_IN_FLIGHT = 500
#: Methods that are replaced here; a subclass that has its own is loaded by itself.
_METHODS = ("tell_many", "_set_data", "remove_unfinished", "_get_loss_in_interval")


def load(learner: Any, data: Any) -> None:
    """Do what ``learner._set_data(data)`` and ``learner.remove_unfinished()`` do."""
    if _is_line(learner):
        if _is_told_at_once(learner, data):
            _load_line(learner, data)
        else:
            learner._set_data(data)  # noqa: SLF001
            _tidy_line(learner)
    elif type(learner) is DataSaver:
        earlier = learner.extra_data
        inner, learner.extra_data = data
        for x, result in earlier.items():  # its learner keeps what it had, too
            learner.extra_data.setdefault(x, result)
        load(learner.learner, inner)
    elif type(learner) is BalancingLearner:
        for child, one in zip(learner.learners, data, strict=False):
            load(child, one)
    else:
        learner._set_data(data)  # noqa: SLF001
        learner.remove_unfinished()
        if type(learner) is LearnerND:
            _queue_all(learner)


def _queue_all(learner: LearnerND) -> None:
    """Put back the simplices that points in flight had taken out of its queue as it was saved.

    They would never be divided; without any, `ask` raises.
    """
    queue = learner._simplex_queue  # noqa: SLF001
    simplices = ((loss, simplex, None) for simplex, loss in learner._losses.items())  # noqa: SLF001
    learner._simplex_queue = type(queue)(simplices, key=queue.key)  # noqa: SLF001


def tidy(learner: Any) -> None:
    """Do what ``learner.remove_unfinished()`` does; a deep copy takes a Learner1D far longer."""
    if _is_line(learner):
        _tidy_line(learner)
    elif type(learner) is DataSaver:
        tidy(learner.learner)
    elif type(learner) is BalancingLearner:
        for child in learner.learners:
            tidy(child)
    else:
        learner.remove_unfinished()


def _is_line(learner: Any) -> bool:
    kind = type(learner)
    return isinstance(learner, Learner1D) and all(
        getattr(kind, name) is getattr(Learner1D, name) for name in _METHODS
    )


def _is_told_at_once(learner: Learner1D, data: Any) -> bool:
    """The condition of ``tell_many``; fewer points it tells one by one."""
    return len(data) > 2 and len(data) > 0.5 * len(learner.data)


def _load_line(learner: Learner1D, data: Any) -> None:
    learner.data.update(data)
    learner.pending_points.difference_update(data)
    xs = np.array(list(learner.data.keys()))
    ys = np.array(list(learner.data.values()))
    learner.neighbors = _get_neighbors_from_array(xs)
    _set_scale(learner, np.hstack([np.array(list(learner.pending_points)), xs]), ys)
    intervals = [(x, right) for x, (_, right) in learner.neighbors.items()][:-1]
    learner.losses = loss_manager(learner._scale[0])  # noqa: SLF001
    learner.losses.update(
        {interval: learner._get_loss_in_interval(*interval) for interval in intervals}  # noqa: SLF001
    )
    learner.pending_points = set()
    learner.losses_combined = learner.losses.copy()
    learner.neighbors_combined = _copied(learner.neighbors)


def _set_scale(learner: Learner1D, xs: Any, ys: Any) -> None:
    """Do it as ``tell_many`` does, so that the losses are the same to the last bit."""
    learner._bbox[0] = [xs.min(), xs.max()]  # noqa: SLF001
    learner._bbox[1] = low, high = [ys.min(axis=0), ys.max(axis=0)]  # noqa: SLF001
    learner._scale[:] = [xs.max() - xs.min(), np.max(high - low)]  # noqa: SLF001
    learner._oldscale = list(learner._scale)  # noqa: SLF001


def _tidy_line(learner: Learner1D) -> None:
    """Undo what points in flight have changed; the rest is a copy already."""
    learner.pending_points = set()
    combined, losses = learner.losses_combined, learner.losses
    for interval in [one for one in dict.keys(combined) if one not in losses]:
        del combined[interval]
    for interval, loss in dict.items(losses):
        if combined.get(interval) != loss:
            combined[interval] = loss
    if learner.neighbors_combined != learner.neighbors:
        learner.neighbors_combined = _copied(learner.neighbors)


def _copied(neighbors: Any) -> Any:
    return type(neighbors)({x: list(beside) for x, beside in neighbors.items()})


# --------------------------------------------------------------------- points


def innermost(learner: Learner) -> Learner:
    """The learner inside of its DataSavers."""
    while isinstance(learner, DataSaver):
        learner = learner.learner
    return learner


def is_known(learner: Learner, x: Point) -> bool:
    """Whether the learner has the value of this point."""
    learner = innermost(learner)
    if isinstance(learner, BalancingLearner):
        return is_known(learner.learners[x[0]], x[1])
    if isinstance(learner, SequenceLearner):
        return x[0] in learner.data
    if isinstance(learner, AverageLearner1D):
        return x[0] in learner._data_samples.get(x[1], ())  # noqa: SLF001
    return x in learner.data


def can_tell(learner: Learner, x: Point) -> bool:
    """Whether the learner takes this point now; an IntegratorLearner takes only its own."""
    learner = innermost(learner)
    if isinstance(learner, BalancingLearner):
        return can_tell(learner.learners[x[0]], x[1])
    return not isinstance(learner, IntegratorLearner) or x in learner.x_mapping


def tell_loaded(learner: Learner, x: Point, y: Any) -> None:
    """Tell a value that was not asked for now; an IntegratorLearner would still ask for it."""
    learner.tell(x, y)
    while not isinstance(learner, IntegratorLearner):
        if isinstance(learner, BalancingLearner):
            learner, x = learner.learners[x[0]], x[1]
        elif isinstance(learner, DataSaver):
            learner = learner.learner
        else:
            return
    learner._stack = [other for other in learner._stack if other != x]  # noqa: SLF001


def compact(learner: Learner, x: Point) -> Point:
    """A point as the journal keeps it: of a sequence only the index, of a candidate a digest, too."""
    learner = innermost(learner)
    if isinstance(learner, BalancingLearner):
        return (x[0], compact(learner.learners[x[0]], x[1]))
    if isinstance(learner, RankingLearner):
        return learner.short(x)
    return x[0] if isinstance(learner, SequenceLearner) else x


def expand(learner: Learner, x: Point) -> Point:
    """The opposite of `compact`."""
    learner = innermost(learner)
    if isinstance(learner, BalancingLearner):
        return (x[0], expand(learner.learners[x[0]], x[1]))
    if isinstance(learner, RankingLearner):
        return learner.long(x)
    return (x, learner.sequence[x]) if isinstance(learner, SequenceLearner) else x


@dataclass
class Merged:
    """The result of telling journalled points.

    Attributes
    ----------
    n : int
        Points that the learner did not have.
    memo : dict
        Values of points that the learner does not take before it asks for them.
    refused : int
        Points that the learner refused: they are of a learner that was defined otherwise.
    """

    n: int = 0
    memo: dict[Point, Any] = field(default_factory=dict)
    refused: int = 0


def tell_journalled(learner: Learner, pairs: Iterable[tuple[Point, Any]]) -> Merged:
    """Tell points as a journal holds them; points that are known already are skipped."""
    merged = Merged()
    for short, y in pairs:
        try:
            x = expand(learner, short)
            if is_known(learner, x):
                continue
            if not can_tell(learner, x):
                merged.memo[x] = y
                continue
            tell_loaded(learner, x, y)
            merged.n += 1
        except USER_RAISES:  # a point of a learner that was defined otherwise
            merged.refused += 1
    return merged


def tell_as_asked(learner: Learner, memo: dict[Point, Any]) -> None:
    """Tell an IntegratorLearner values that it does not take before it asks for them.

    A point that it asks for and that `memo` does not have was in flight when `memo` was written:
    it will be asked for again. A point that it does not ask for now (its runner knew less when it
    chose, and asked for more) becomes part of its data, where it finds it when it needs it.
    """
    in_flight: list[Point] = []
    n_unknown = 0
    while memo and n_unknown < _MOST_IN_FLIGHT:
        try:
            (x,), _ = learner.ask(1)
        except RuntimeError:  # "No way to improve": it needs no more points
            break
        if x in memo:
            learner.tell(x, memo.pop(x))
            n_unknown = 0
        else:
            in_flight.append(x)
            n_unknown += 1
    innermost(learner)._stack[:0] = in_flight  # noqa: SLF001
    for x, y in memo.items():
        _put(learner, x, y)


def _put(learner: Learner, x: Point, y: Any) -> None:
    while isinstance(learner, DataSaver):
        learner.extra_data[x] = y
        learner, y = learner.learner, learner.arg_picker(y)
    learner.data[x] = y


# ----------------------------------------------------------------------- files


def saves_itself(learner: Learner) -> bool:
    """Whether a class of the user's has its own ``save`` or ``load``."""
    return not (
        type(learner).save in (BaseLearner.save, DataSaver.save, BalancingLearner.save)
        and type(learner).load in (BaseLearner.load, DataSaver.load, BalancingLearner.load)
    )


def read_data(content: bytes) -> Any:
    """The data in a file that ``learner.save`` wrote; raises whatever unpickling raises."""
    return pickle.loads(gzip.decompress(content))


def set_data(learner: Learner, data: Any) -> None:
    """Set the data of a file, as ``learner.load`` does."""
    function = learner.function
    load(learner, data)
    if isinstance(learner, LearnerND):
        learner.function = function  # its data hold the function of the run that wrote them


def points_of(learner: Learner, data: Any) -> Iterator[tuple[Point, Any]]:
    """All points and values in a file's data, as ``tell`` takes them; TypeError if unknown."""
    if isinstance(learner, DataSaver):
        inner, extra = data
        for x, y in points_of(learner.learner, inner):
            yield x, extra.get(x, y)
    elif isinstance(learner, BalancingLearner):
        for index, (child, one) in enumerate(zip(learner.learners, data, strict=False)):
            yield from (((index, x), y) for x, y in points_of(child, one))
    else:
        yield from _pairs(learner, data)


def known_points(learner: Learner) -> Iterator[tuple[Point, Any]]:
    """All points and values of a learner, as ``tell`` takes them; TypeError if unknown."""
    return points_of(learner, learner._get_data())  # noqa: SLF001


def _pairs(learner: Learner, data: Any) -> Iterator[tuple[Point, Any]]:
    for kind, pairs in _PAIRS.items():
        if isinstance(learner, kind):
            return iter(pairs(learner, data))
    raise TypeError(f"the data of a {type(learner).__name__} are not known")


#: How each learner's ``_get_data`` holds its points; a subclass comes before its base.
_PAIRS: dict[type, Callable[[Learner, Any], Any]] = {
    AverageLearner1D: lambda _, data: (
        ((seed, x), y) for x, ys in data.items() for seed, y in ys.items()
    ),
    SequenceLearner: lambda learner, data: (
        (expand(learner, index), y) for index, y in data.items()
    ),
    Learner1D: lambda _, data: data.items(),
    Learner2D: lambda _, data: data.items(),
    LearnerND: lambda _, data: data["data"].items(),
    AverageLearner: lambda _, data: data[0].items(),
    IntegratorLearner: lambda _, data: data[1].items(),
    NumberedLearner: lambda _, data: data.items(),
}


def npoints(learner: Learner) -> int:
    """Number of points; 0 for a learner that does not count them."""
    return int(getattr(learner, "npoints", 0))


def files_of(learner: Learner, fname: Any) -> list[tuple[Learner, str]]:
    """The learners that have a file of their own, with it: the children of a BalancingLearner."""
    if isinstance(fname, os.PathLike):
        fname = os.fspath(fname)
    if isinstance(learner, BalancingLearner) and not isinstance(fname, str):
        if len(fname) != len(learner.learners):
            raise ValueError(
                f"{len(fname)} fnames for a BalancingLearner of {len(learner.learners)} learners"
            )
        return [
            file
            for child, name in zip(learner.learners, fname, strict=True)
            for file in files_of(child, name)
        ]
    return [(learner, fname)]
