"""`RankingLearner`: many candidates, evaluated in the order in which a model sorts them."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice
from random import Random
from typing import Any

import cloudpickle

from adaptive_scheduler.core.options.checks import count, flag
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.optimizers.by_name import ByName, ByNumber, ByVector, OfPoint
from adaptive_scheduler.optimizers.numbered import NumberedLearner, Point, number_of
from adaptive_scheduler.optimizers.ranking.candidates import (
    ARRAY,
    NAMED,
    NUMBER,
    Candidates,
    parse_candidates,
)
from adaptive_scheduler.optimizers.ranking.model import RankingModel
from adaptive_scheduler.optimizers.ranking.order import RankedOrder


class RankingLearner(NumberedLearner):
    """Looks among candidates for the one for which a function, or a command, is smallest.

    Its points are ``(number, values)``: the number of a candidate, and its parts. At first the order of the
    candidates is that in which they are given; after each `refit_every` values a model is fitted to all of
    them, and sorts the rest. A `Runner` submits all candidates at once, has the model fitted beside, and then
    changes the priorities of those that wait.

    Parameters
    ----------
    function : callable or Command
        Called with a candidate as it was given: an array (a row), a list, a number; a dict by name.
    candidates : array, DataFrame, or list of vectors, dicts or numbers
        A row or an entry for each; numbers only, and finite.
    surrogate : str, object or callable
        ``gpr`` (a Gaussian process), ``random-forest``, an object with ``fit(X, y)`` and ``predict(X,
        return_std=True)``, of which a copy is fitted each time, or what makes one.
    acquisition : str or callable
        ``ei`` (expected improvement), ``pi`` (its probability), ``lcb`` or ``ucb``, or a function of mean, standard deviation and
        best value that returns a number for each: the larger, the sooner. It is given values that are to be small.
    refit_every : int
        Values after which the model is fitted again.
    maximize : bool
        Whether the largest value is looked for.
    seed : int
        Of the model: with the same one, the same values give the same order.
    shuffle : bool
        Whether the first order is a random one.

    Attributes
    ----------
    data : dict
        (number, values) to value.
    pending_points : set
        Points that were asked for and have no value yet.
    candidates : Candidates
    model : RankingModel
    refits : int
        How often the candidates were sorted by now.
    is_refitted_beside : bool
        Whether somebody else fits the model, with `refit_with` and `sort_by`; else `ask` does it.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        candidates: Any,
        surrogate: Any = "gpr",
        acquisition: Any = "ei",
        refit_every: int = 50,
        *,
        maximize: bool = False,
        seed: int = 0,
        shuffle: bool = False,
    ) -> None:
        if not callable(function):
            raise InputError(f"function={function!r} must be a callable or a Command.")
        is_parsed = isinstance(candidates, Candidates)
        self.candidates = candidates if is_parsed else parse_candidates(candidates)
        super().__init__(self.candidates.names, flag(maximize, "maximize"))
        self._given = {
            "surrogate": surrogate, "acquisition": acquisition, "maximize": maximize, "seed": seed,
            "refit_every": count(least=1)(refit_every, "refit_every"),
            "shuffle": flag(shuffle, "shuffle"),
        }  # fmt: skip
        self.model = RankingModel(
            self.candidates, surrogate, acquisition, maximize=maximize, seed=seed
        )
        self.function = _called(function, self.candidates)
        self.refits = 0
        self.is_refitted_beside = False
        self._n_at_refit = 0
        self._order = RankedOrder(
            len(self.candidates.rows),
            Random(seed) if shuffle else None,  # noqa: S311
        )

    def new(self) -> RankingLearner:
        """Return a new learner with the same function, candidates and settings."""
        return RankingLearner(self.function.function, self.candidates, **self._given)

    def __getstate__(self) -> bytes:
        state: bytes = cloudpickle.dumps({**self.__dict__, "is_refitted_beside": False})
        return state  # as `BaseLearner` reads it

    # ------------------------------------------------------------------- points out

    def ask(self, n: int, tell_pending: bool = True) -> tuple[list[Point], list[float]]:
        """Return the next n points, fewer if there are no more, and their `gain`."""
        if not self.is_refitted_beside and self.is_refit_due:
            self.sort_by(self.model(*self.refit_with()))
        numbers = islice(self._order.left(), n)
        points = [(number, self.candidates.rows[number]) for number in numbers]
        if tell_pending:
            for point in points:
                self.tell_pending(point)
        return points, [self.gain(point) for point in points]

    def gain(self, x: Point) -> float:
        """Return how early a point is, from 1 to 0: its priority."""
        return self._order.gain(x[0])

    def tell_pending(self, x: Point) -> None:
        """Take note that a point is evaluated."""
        point = self._point(x)
        if point not in self.data:
            self._order.take(point[0])
            self.pending_points.add(point)

    def remove_unfinished(self) -> None:
        """Let points without a value be asked for again."""
        self._order.give_back(number for number, _ in self.pending_points)
        self.pending_points = set()

    def done(self) -> bool:
        """Whether all candidates have a value."""
        return len(self.data) == len(self._order)

    # ------------------------------------------------------------------- values in

    def tell(self, x: Point, y: Any) -> None:
        """Take the value of a point; one that is no finite number is kept, and the model is not told."""
        point = self._point(x)
        number_of(point, y)
        self.pending_points.discard(point)
        self._order.take(point[0])
        self.data[point] = y

    def _point(self, x: Point) -> Point:
        """Return a point of these candidates; InputError if it is none."""
        try:
            number, values = x
            number = count()(number, "number")
            if tuple(values) == self.candidates.rows[number]:
                return number, self.candidates.rows[number]
        except (TypeError, ValueError, LookupError):
            pass
        raise InputError(
            f"{x!r:.200} is no candidate of this learner, which has {len(self.candidates.rows)}: (number, values). "
            "What is run again must have the candidates that it had; with other ones, begin anew elsewhere."
        )

    # ------------------------------------------------------------------- the model

    @property
    def is_refit_due(self) -> bool:
        """Whether `refit_every` values have come since the last fit began, and there is something to sort."""
        n = len(self.data)
        return n - self._n_at_refit >= self._given["refit_every"] and n < len(self._order)

    def refit_with(self) -> tuple[list[int], list[float]]:
        """Return what `model` is to be called with; it is not due any more then."""
        self._n_at_refit = len(self.data)
        known = sorted((number, float(y)) for (number, _), y in self.data.items())
        finite = [(number, y) for number, y in known if math.isfinite(y)]
        return [number for number, _ in finite], [y for _, y in finite]

    def sort_by(self, promise: Any) -> None:
        """Sort the candidates by what `model` has returned."""
        self._order.sort_by(promise)
        self.refits += 1

    # ------------------------------------------------------------------- points as they are kept

    def short(self, x: Point) -> tuple[int, str]:
        """Return a point as keys and journals have it: without its values."""
        return x[0], self.candidates.digest(x[0])

    def long(self, short: tuple[int, str]) -> Point:
        """Return the point that was made short; LookupError if it is of other candidates."""
        number, digest = short
        if self.candidates.digest(number) != digest:
            raise LookupError(f"candidate {number} is another one now")
        return number, self.candidates.rows[number]


def _called(function: Callable[..., Any], candidates: Candidates) -> OfPoint:
    """Return the function as it is called with a point."""
    if candidates.form == NAMED:
        return ByName(function, candidates.names)
    if candidates.form == NUMBER:
        return ByNumber(function)
    return ByVector(function, candidates.form == ARRAY)
