"""Models of a function that is costly: they say what value to expect where, and how certain that is."""

from __future__ import annotations

import copy
import importlib.util
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

from adaptive_scheduler.core.suggestions import did_you_mean
from adaptive_scheduler.errors import InputError

Array = np.ndarray[Any, Any]

#: Values by which the shape of a Gaussian process is chosen, as the time of that grows as their cube; it takes
#: all values for what it predicts.
SHAPED_BY = 300
#: Up to so many values one thread computes: more gain little, and beside other work they took ten times as long.
ONE_THREAD = 1000
TREES = 100


class Surrogate(Protocol):
    """A model, as those of scikit-learn."""

    def fit(self, x: Array, y: Array, /) -> Any:
        """Take a row of `x` for each value."""

    def predict(self, x: Array, /, *, return_std: bool) -> Any:
        """Return the mean and the standard deviation for each row."""


class GaussianProcess:
    """A Gaussian process with Matérn's kernel and noise; a length for each dimension.

    Parameters
    ----------
    seed : int
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._low = self._width = np.zeros(0)
        self._model: Any = None

    def fit(self, x: Array, y: Array) -> GaussianProcess:
        """Choose the shape, then take all values."""
        from sklearn.gaussian_process import GaussianProcessRegressor, kernels

        self._low = x.min(axis=0)
        width = x.max(axis=0) - self._low
        self._width = np.where(width > 0, width, 1.0)
        unit = self._unit(x)
        kernel = kernels.ConstantKernel(1.0) * kernels.Matern(
            np.full(x.shape[1], 0.5), (1e-2, 1e2), nu=2.5
        ) + kernels.WhiteKernel(0.1, (1e-6, 1e1))
        random = np.random.default_rng(self._seed)
        some = random.permutation(len(y))[:SHAPED_BY]
        shape = GaussianProcessRegressor(kernel, normalize_y=True)
        with _few_threads(len(some)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a length at its bound: the dimension does not matter
            shape.fit(unit[some], y[some])
        self._model = GaussianProcessRegressor(shape.kernel_, normalize_y=True, optimizer=None)
        with _few_threads(len(y)):
            self._model.fit(unit, y)
        return self

    def predict(self, x: Array, *, return_std: bool = True) -> Any:
        """Return the mean and the standard deviation for each row."""
        with _few_threads(len(self._model.X_train_)):
            return self._model.predict(self._unit(x), return_std=return_std)

    def _unit(self, x: Array) -> Array:
        return np.asarray((x - self._low) / self._width)


def _few_threads(n: int) -> AbstractContextManager[Any]:
    """Let one thread compute with so few values, in this block."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1 if n <= ONE_THREAD else None)  # type: ignore[no-any-return]


class Forest:
    """A random forest; its standard deviation is that of its trees.

    Parameters
    ----------
    seed : int
    """

    def __init__(self, seed: int = 0) -> None:
        from sklearn.ensemble import RandomForestRegressor

        self._model: Any = RandomForestRegressor(
            TREES, min_samples_leaf=2, random_state=seed % (2**32)
        )

    def fit(self, x: Array, y: Array) -> Forest:
        """Take a row for each value."""
        self._model.fit(x, y)
        return self

    def predict(self, x: Array, *, return_std: bool = True) -> Any:
        """Return the mean and the standard deviation for each row."""
        each = np.array([tree.predict(x) for tree in self._model.estimators_])
        mean = each.mean(axis=0)
        return (mean, each.std(axis=0)) if return_std else mean


_NAMED: dict[str, Callable[[int], Surrogate]] = {
    "gpr": GaussianProcess, "random-forest": Forest,
}  # fmt: skip


def choose_surrogate(given: Any, seed: int) -> Callable[[], Surrogate]:
    """Return what makes a new model each time.

    Parameters
    ----------
    given : str, object or callable
        ``gpr``, ``random-forest``, an object that has `fit` and `predict`, or what makes one.
    seed : int

    Raises
    ------
    InputError
        There is none of this name, or scikit-learn is not installed.
    """
    if isinstance(given, str) and given in _NAMED:
        if importlib.util.find_spec("sklearn") is None:
            raise InputError(
                f"surrogate={given!r} needs scikit-learn, which is not installed here: pip install "
                "'adaptive-scheduler[rank]'"
            )
        return _Made(_NAMED[given], (seed,))
    has_all = all(callable(getattr(given, name, None)) for name in ("fit", "predict"))
    if has_all and not isinstance(given, type):
        return _Made(copy.deepcopy, (given,))
    if callable(given):
        return _Made(given, ())
    raise InputError(
        f"surrogate={given!r:.200}: there are {', '.join(_NAMED)}, or give an object with fit(X, y) and "
        f"predict(X, return_std=True).{did_you_mean(str(given), _NAMED)}"
    )


class _Made:
    """Makes a model; this can be pickled."""

    def __init__(self, make: Callable[..., Surrogate], arguments: tuple[Any, ...]) -> None:
        self._make, self._arguments = make, arguments

    def __call__(self) -> Surrogate:
        return self._make(*self._arguments)
