"""`OptimizerLearner`: an optimiser as a learner of adaptive."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from adaptive_scheduler.core.options.checks import count, flag, optional
from adaptive_scheduler.core.searches.nearby import Nearby, are_near
from adaptive_scheduler.core.searches.space import Values, parse_space
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.optimizers.by_name import ByName, recognised
from adaptive_scheduler.optimizers.choose import choose_method
from adaptive_scheduler.optimizers.method import Method, seed_of
from adaptive_scheduler.optimizers.numbered import NumberedLearner, Point, number_of
from adaptive_scheduler.optimizers.numbers import Numbers

#: How often a point is drawn if the optimiser gives near copies only.
DRAWS = 100


class OptimizerLearner(NumberedLearner):
    """Looks for the parameters for which a function, or a command, is smallest.

    Its points are ``(number, values)``: each has a number from 0, so that the same
    values may be tried twice, and values in the order of `space`.

    Parameters
    ----------
    function : callable or Command
        Called with the parameters by name: ``function(drop=0.1, batch_size=32)``.
    space : dict
        Name to range or choice: ``{"drop": (0, 0.9), "lr": Range(1e-5, 0.1, log=True), "batch_size":
        [16, 32]}``. A range of two ints has ints only. Or scikit-optimize's dimensions, with names.
    method : str or object
        ``random``, ``skopt:RF`` (or GP, ET, GBRT), ``optuna:tpe``, or an object that has ``ask`` and ``tell``, or
        ``suggest`` and ``ingest``.
    seed : int
        With the same one, the same points are chosen, as far as they do not depend on which values came first.
    initial : int, optional
        With how many tasks at once a `Search` begins.
    maximize : bool
        Whether the largest value is looked for.
    **options
        Of `skopt.Optimizer` (``acq_func="LCB"``) or of optuna's sampler.

    Attributes
    ----------
    data : dict
        (number, values) to value.
    pending_points : set
        Points that were asked for and have no value yet.
    task : callable or Command
        What was given as `function`.
    space : Space
    """

    def __init__(
        self,
        function: Callable[..., Any],
        space: Any,
        method: Any = "random",
        *,
        seed: int = 0,
        initial: int | None = None,
        maximize: bool = False,
        **options: Any,
    ) -> None:
        if not callable(function):
            raise InputError(f"function={function!r} must be a callable or a Command.")
        self.space = parse_space(space)
        super().__init__(self.space.names, flag(maximize, "maximize"))
        self.initial = optional(count(least=1))(initial, "initial")
        self._given = {
            "method": method, "seed": count()(seed, "seed"), "options": options, "maximize": maximize,
        }  # fmt: skip
        self.task = function
        self.function = recognised(ByName(function, self.space.names))
        self._method: Method = choose_method(method, self.space, seed, options)
        self._numbers = Numbers(self._method.initial())
        self._nearby = Nearby(self.space)

    def new(self) -> OptimizerLearner:
        """Return a new learner with the same function and settings."""
        if not isinstance(self._given["method"], str):
            raise InputError(
                "new(): this learner's optimiser is an object of yours, which has its own memory. "
                "Make a new one: OptimizerLearner(function, space, other)."
            )
        return OptimizerLearner(
            self.task, self.space, self._given["method"], seed=self._given["seed"],
            initial=self.initial, maximize=self._given["maximize"], **self._given["options"],
        )  # fmt: skip

    # ------------------------------------------------------------------- points out

    def ask(self, n: int, tell_pending: bool = True) -> tuple[list[Point], list[float]]:
        """Choose the next n points; see `adaptive.BaseLearner`.

        Near copies of points in flight are not among them, unless the space has too few others.
        """
        points = self.proposed(n)
        while len(points) < n:
            self.choose()
            points = self.proposed(n)
        issued = len(self.data) + len(self.pending_points)
        if tell_pending:
            for point in points:
                self.tell_pending(point)
        return points, [1 / (1 + issued + k) for k in range(n)]

    def proposed(self, n: int) -> list[Point]:
        """Return up to n points that are chosen, but not pending; this chooses none."""
        return [point for point, _ in zip(self._numbers.points(), range(n), strict=False)]

    def choose(self) -> None:
        """Choose one more point."""
        number = next(
            number for number in self._numbers.free() if number not in self._numbers.fixed
        )
        values = self._far(number + len(self._numbers.chosen))
        self._numbers.chosen.append(values)
        self._nearby.add(values)

    def _far(self, number: int) -> Values:
        """Return a point that is no near copy of one in flight, if there is one."""
        pending: Sequence[Values] = () if self._method.keeps else self._nearby.points()
        values = self._method.ask(number, pending, 0)
        for attempt in range(1, self._method.attempts + DRAWS):
            if not self._method.attempts or not self._nearby.has_near(values):
                return values
            if attempt < self._method.attempts:
                values = self._method.ask(number, pending, attempt)
            else:
                random = Random(seed_of(self._given["seed"], number, attempt))  # noqa: S311
                values = self.space.draw(random)
        return values

    def tell_pending(self, x: Point) -> None:
        """Take note that a point is evaluated."""
        number, values = self._point(x)
        if (number, values) in self.pending_points or (number, values) in self.data:
            return
        if not self._numbers.take(number, values):
            self._leave_out(values)
            self._nearby.add(values)  # else it is there, as one that was chosen
        self.pending_points.add((number, values))

    def _leave_out(self, values: Values) -> None:
        """Forget what was chosen before this point was known to be in flight, if it is too near to it."""
        if self._method.keeps:
            return
        chosen = self._numbers.chosen
        for other in [one for one in chosen if are_near(self.space, one, values)]:
            chosen.remove(other)
            self._nearby.discard(other)

    def remove_unfinished(self) -> None:
        """Let points without a value be asked for again, with their numbers."""
        for number, values in self.pending_points:
            self._nearby.discard(values)
            self._numbers.give_back(number, values)
        self.pending_points = set()

    # ------------------------------------------------------------------- values in

    def tell(self, x: Point, y: Any) -> None:
        """Take the value of a point; one that is no finite number is kept, and the optimiser is not told."""
        number, values = self._point(x)
        value = number_of(x, y)
        is_known = (number, values) in self.data
        self._end(number, values)
        self.data[number, values] = y
        if math.isfinite(value) and not is_known:
            self._tell_method(values, value)

    def give_up(self, x: Point, penalty: float | None = None) -> None:
        """Take note that a point has no value and is not to be asked for again.

        Parameters
        ----------
        x : (int, tuple)
        penalty : float, optional
            What the optimiser is told in place of the value; None: nothing.
        """
        number, values = self._point(x)
        self._end(number, values)
        if penalty is not None:
            self._tell_method(values, penalty)

    def _end(self, number: int, values: Values) -> None:
        if (number, values) in self.pending_points:
            self.pending_points.discard((number, values))
            self._nearby.discard(values)
        elif self._numbers.is_free(number):  # asked for by an earlier process
            self._method.skip()
            self._numbers.take(number, values)

    def _tell_method(self, values: Values, value: float) -> None:
        self._method.tell(values, self._sign * value)
        if not self._method.keeps:
            for chosen in self._numbers.chosen:
                self._nearby.discard(chosen)
            self._numbers.chosen.clear()

    def _point(self, x: Point) -> Point:
        """Return a point of this space; InputError if it is none."""
        is_hashable = type(x) is tuple and type(x[-1]) is tuple
        if is_hashable and (x in self.pending_points or self._numbers.is_next(x)):
            return x  # it was checked when it was chosen
        try:
            number, values = x
            return count()(number, "number"), self.space.native(values)
        except (TypeError, ValueError) as error:
            raise InputError(f"{x!r} is no point of {self.space!r}: {error}") from error
