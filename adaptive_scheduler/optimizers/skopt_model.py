"""scikit-optimize as a `Method`: its initial samples as they are, then a model with constant liar."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from adaptive_scheduler.core.searches.nearby import Nearby
from adaptive_scheduler.core.searches.space import Choices, Range, Space, Values
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.optimizers.method import refuse_options, seed_of

#: Arguments of `skopt.Optimizer` that are ours.
_OURS = ("self", "dimensions", "base_estimator", "random_state", "n_random_starts")
#: Largest seed of NumPy's old generator, which scikit-optimize uses.
_MOST_SEED = 2**32 - 1


class SkoptMethod:
    """Asks an `skopt.Optimizer`.

    Points in flight are *lies* in a model of its own for each point: as if their value were the mean of all
    that is known. The optimiser itself is told nothing but values, so that its initial samples
    are those of scikit-optimize; and if nothing is in flight, so are all others.

    Parameters
    ----------
    space : Space
    estimator : str
        As scikit-optimize names it: GP, RF, ET, GBRT.
    seed : int
    options : dict
        Of `skopt.Optimizer`.
    """

    keeps = False
    attempts = 3

    def __init__(self, space: Space, estimator: str, seed: int, options: dict[str, Any]) -> None:
        from skopt import Optimizer

        known = [one for one in inspect.signature(Optimizer).parameters if one not in _OURS]
        refuse_options(f"skopt:{estimator}", options, known)
        if str(options.get("acq_func", "")).endswith("ps"):
            raise InputError(
                f"acq_func={options['acq_func']!r} needs the time that each point took, which a "
                "search does not tell. Give EI, LCB, PI or gp_hedge."
            )
        self._space, self._estimator, self._options = space, estimator, options
        self._seed = seed % (_MOST_SEED + 1)
        self._own = self._made(self._seed, {})
        self._told: list[tuple[list[Any], float]] = []
        self._n_modelled = 0

    def _made(self, seed: int, others: dict[str, Any]) -> Any:
        from skopt import Optimizer

        dimensions = [_dimension(axis) for axis in self._space.axes]
        try:
            return Optimizer(
                dimensions, base_estimator=self._estimator, random_state=seed,
                **{**self._options, **others},
            )  # fmt: skip
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"method='skopt:{self._estimator}' with {self._options}: {str(error).rstrip('.')}. Estimators are GP, "
                "RF, ET, GBRT and dummy."
            ) from error

    def initial(self) -> list[Values]:
        """Return the initial samples, as scikit-optimize asks for them one by one."""
        samples = self._own._initial_samples  # noqa: SLF001  its `ask` repeats one until it is told
        if samples is None:
            samples = [self._own.ask() for _ in range(self._own.n_initial_points_)]
        return [self._ours(one) for one in samples]

    def ask(self, number: int, pending: Sequence[Values], attempt: int) -> Values:
        """Return what the model holds for the best; a random point until it knows enough."""
        if len(self._told) < max(self._own.n_initial_points_, 1):
            return self._ours(self._own.space.rvs(random_state=self._own.rng)[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "evaluated before": it gives a random point then
            if not pending and attempt == 0:
                return self._ours(self._asked_itself())
            return self._ours(self._asked_with_lies(number, pending, attempt))

    def _asked_itself(self) -> Any:
        """Ask as who uses scikit-optimize without us: each point only after all values are known."""
        new = self._told[self._n_modelled :]
        for n, (point, value) in enumerate(new):
            self._own.tell(point, value, fit=n == len(new) - 1)
        self._n_modelled = len(self._told)
        return self._own.ask()

    def _asked_with_lies(self, number: int, pending: Sequence[Values], attempt: int) -> Any:
        others: dict[str, Any] = {"n_initial_points": 0, "initial_point_generator": "random"}
        if attempt:
            others["space_constraint"] = self._far_from(pending)
        liar = self._made(seed_of(self._seed, number, attempt), others)
        lie = sum(value for _, value in self._told) / len(self._told)
        points = [point for point, _ in self._told] + [self._theirs(one) for one in pending]
        liar.tell(points, [value for _, value in self._told] + [lie] * len(pending))
        return liar.ask()

    def _far_from(self, pending: Sequence[Values]) -> Callable[[Any], bool]:
        """Return a condition by which the model chooses among points that are no near copies.

        Points that are known meet it: it holds for what the model is told, too.
        """
        nearby = Nearby(self._space)
        for values in pending:
            nearby.add(values)
        told = [self._ours(point) for point, _ in self._told]
        known = {*told, *pending}

        def is_far(point: Any) -> bool:
            values = self._ours(point)
            return values in known or not nearby.has_near(values)

        return is_far

    def skip(self) -> None:
        """Do nothing: what depends on values is chosen by the number of the point."""

    def tell(self, values: Values, value: float) -> None:
        """Take a value; the model learns of it when it is asked."""
        self._told.append((self._theirs(values), value))

    def _ours(self, point: Any) -> Values:
        plain = [
            axis.values[int(one)] if _by_index(axis) else one  # type: ignore[union-attr]
            for axis, one in zip(self._space.axes, point, strict=True)
        ]
        return self._space.native(plain)

    def _theirs(self, values: Values) -> list[Any]:
        return [
            axis.values.index(one) if _by_index(axis) else one  # type: ignore[union-attr]
            for axis, one in zip(self._space.axes, values, strict=True)
        ]


def _dimension(axis: Range | Choices) -> Any:
    from skopt.space import Categorical, Integer, Real

    if isinstance(axis, Choices):
        return Categorical(range(len(axis.values)) if _by_index(axis) else axis.values)
    kind = Integer if axis.is_whole else Real
    return kind(axis.low, axis.high, prior="log-uniform" if axis.log else "uniform")


def _by_index(axis: Range | Choices) -> bool:
    """Whether scikit-optimize must not see these values: NumPy would make texts of 1 and "a"."""
    return isinstance(axis, Choices) and not (
        all(type(value) is int for value in axis.values)
        or all(type(value) is float for value in axis.values)
        or all(type(value) is str for value in axis.values)
    )
