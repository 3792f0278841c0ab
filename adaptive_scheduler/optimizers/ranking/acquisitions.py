"""How much a candidate promises, by the mean and standard deviation that a model predicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from adaptive_scheduler.core.suggestions import did_you_mean
from adaptive_scheduler.errors import InputError

Array = np.ndarray[Any, Any]
Acquisition = Callable[[Array, Array, float], Any]

#: Standard deviations below the mean that `confidence_bound` looks for.
KAPPA = 1.96
#: No standard deviation is taken for smaller.
_LEAST = 1e-12


def expected(mean: Array, std: Array, best: float) -> Array:
    """Return by how much a value is expected to be below the best one."""
    from scipy.special import ndtr

    std = np.maximum(std, _LEAST)
    gain = best - mean
    z = gain / std
    return np.asarray(gain * ndtr(z) + std * np.exp(-z * z / 2) / np.sqrt(2 * np.pi))


def probable(mean: Array, std: Array, best: float) -> Array:
    """Return the probability that a value is below the best one."""
    from scipy.special import ndtr

    return np.asarray(ndtr((best - mean) / np.maximum(std, _LEAST)))


def confidence_bound(mean: Array, std: Array, best: float) -> Array:  # noqa: ARG001  of an `Acquisition`
    """Return how far down a value may well be."""
    return np.asarray(KAPPA * std - mean)


#: Name to function; of values that are to be large, ``ucb`` is what ``lcb`` is of those that are to be small.
_NAMED: dict[str, Acquisition] = {
    "ei": expected, "pi": probable, "lcb": confidence_bound, "ucb": confidence_bound,
}  # fmt: skip


def choose_acquisition(given: Any) -> Acquisition:
    """Return the function that a user has named or given; InputError if there is none."""
    if callable(given):
        return given  # type: ignore[no-any-return]
    found = _NAMED.get(given) if isinstance(given, str) else None
    if found is None:
        raise InputError(
            f"acquisition={given!r}: there are {', '.join(_NAMED)}, or give a function of mean, standard deviation "
            f"and best value.{did_you_mean(str(given), _NAMED)}"
        )
    return found
