"""`RankingModel`: says how much each of many candidates promises, by the values of some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from adaptive_scheduler.core.options.checks import count, flag
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.optimizers.ranking.acquisitions import choose_acquisition
from adaptive_scheduler.optimizers.ranking.candidates import Candidates, parse_candidates
from adaptive_scheduler.optimizers.ranking.surrogates import Surrogate, choose_surrogate

Array = np.ndarray[Any, Any]

#: Candidates that are predicted together: a Gaussian process needs a number for each and each value.
AT_ONCE = 2000
#: Values of a larger size are left out: what models compute of them is infinite.
LARGEST = 1e100


class RankingModel:
    """Says how much each candidate promises: ``model(numbers, values)``.

    It holds the candidates, and keeps nothing of what it is called with. As the function of a task it is
    sent once: `executor.submit(model, numbers, values)`.

    Parameters
    ----------
    candidates : array, DataFrame, or list of vectors, dicts or numbers
        A row or an entry for each; numbers only, and finite.
    surrogate : str, object or callable
        ``gpr``, ``random-forest``, an object with ``fit(X, y)`` and ``predict(X, return_std=True)``, of which a copy is
        fitted each time, or what makes one.
    acquisition : str or callable
        ``ei`` (expected improvement), ``pi`` (its probability), ``lcb`` or ``ucb``, or a function of mean, standard deviation and
        best value: the larger, the sooner. It is given values that are to be small.
    maximize : bool
        Whether large values are looked for.
    seed : int
        Of the model: with the same one, the same values give the same order.
    """

    def __init__(
        self,
        candidates: Any,
        surrogate: Any = "gpr",
        acquisition: Any = "ei",
        *,
        maximize: bool = False,
        seed: int = 0,
    ) -> None:
        is_parsed = isinstance(candidates, Candidates)
        self._x = (candidates if is_parsed else parse_candidates(candidates)).matrix()
        self._new_surrogate = choose_surrogate(surrogate, count()(seed, "seed"))
        self._acquisition = choose_acquisition(acquisition)
        self._sign = -1.0 if flag(maximize, "maximize") else 1.0

    def __call__(self, numbers: Sequence[int], values: Sequence[float]) -> Array:
        """Return a number for each candidate, the larger the sooner.

        Parameters
        ----------
        numbers : sequence of int
            Of the candidates that have a value.
        values : sequence of float
            Those that are not finite, or larger than `LARGEST`, are left out.
        """
        if len(numbers) != len(values):
            raise InputError(
                f"There are {len(numbers)} numbers, but {len(values)} values: give a value for each."
            )
        rows = np.asarray(numbers, dtype=int)
        if rows.size and not 0 <= rows.min() <= rows.max() < len(self._x):
            raise InputError(
                f"numbers are from {rows.min()} to {rows.max()}, but those of the candidates from 0 to {len(self._x) - 1}."
            )
        xs = self._x[rows]
        return self.promise_of(self._x, xs, np.asarray(values, dtype=float))

    def promise_of(self, candidates: Array, xs: Array, ys: Array) -> Array:
        """Return a number for each of these rows, by the values of others; zeros if none can be used."""
        is_known = np.abs(ys) <= LARGEST  # not of NaN
        if not is_known.any():
            return np.zeros(len(candidates))
        ys = self._sign * ys[is_known]
        surrogate = self._new_surrogate()
        surrogate.fit(xs[is_known], ys)
        starts = range(0, len(candidates), AT_ONCE)
        parts = [self._part(surrogate, candidates[n : n + AT_ONCE], ys.min()) for n in starts]
        return np.concatenate([np.zeros(0), *parts])

    def _part(self, surrogate: Surrogate, rows: Array, best: float) -> Array:
        mean, std = surrogate.predict(rows, return_std=True)
        mean, std = np.ravel(mean).astype(float), np.ravel(std).astype(float)
        promise = np.ravel(np.asarray(self._acquisition(mean, std, float(best)), dtype=float))
        if promise.shape != (len(rows),) or np.isnan(promise).any():
            raise ValueError(
                f"a model must give a number for each candidate: of {len(rows)} candidates it gave {promise.size}, "
                f"{int(np.isnan(promise).sum())} of them NaN"
            )
        return promise


def expected_improvement(
    xs: Any,
    ys: Sequence[float],
    candidates: Any,
    surrogate: Any = "gpr",
    *,
    maximize: bool = False,
    seed: int = 0,
) -> Array:
    """Return by how much each candidate is expected to be better than the best value: its priority.

    Parameters
    ----------
    xs : array, DataFrame, or list of vectors, dicts or numbers
        What has a value.
    ys : sequence of float
        The values; those that are not finite, or larger than 1e100, are left out.
    candidates : as `xs`
        What has none; there may be none left.
    surrogate, maximize, seed
        See `RankingModel`.

    Examples
    --------
    >>> executor.update_priorities(futures, expected_improvement(xs, ys, [f.args[0] for f in futures]))
    """
    if len(candidates) == 0:
        return np.zeros(0)
    known, others = parse_candidates(xs, "xs"), parse_candidates(candidates)
    if known.names != others.names:
        raise InputError(
            f"xs have {', '.join(known.names)}, but candidates {', '.join(others.names)}: they must be alike."
        )
    if len(known.rows) != len(ys):
        raise InputError(
            f"There are {len(known.rows)} xs, but {len(ys)} ys: give a value for each."
        )
    model = RankingModel(others, surrogate, maximize=maximize, seed=seed)
    return model.promise_of(others.matrix(), known.matrix(), np.asarray(ys, dtype=float))
