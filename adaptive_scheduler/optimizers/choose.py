"""The optimiser that a user has named."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

from adaptive_scheduler.core.searches.space import Space
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.optimizers.method import Method, RandomMethod, refuse_options

#: Package, and which of its optimisers is meant if none is named.
_EXTRAS = {"skopt": ("scikit-optimize", "GP"), "optuna": ("optuna", "tpe")}


def choose_method(method: Any, space: Space, seed: int, options: dict[str, Any]) -> Method:
    """Make the optimiser.

    Parameters
    ----------
    method : str or object
        ``random``, ``skopt:RF``, ``optuna:tpe``, or an object with ``ask`` and ``tell``.
    space : Space
    seed : int
    options : dict
        Of scikit-optimize's `Optimizer` or optuna's sampler.

    Raises
    ------
    InputError
        There is none of this name, its package is not installed, or an option is wrong.
    """
    if not isinstance(method, str):
        from adaptive_scheduler.optimizers.object_method import ObjectMethod

        refuse_options(type(method).__name__, options)
        return ObjectMethod(space, method)
    if method == "random":
        refuse_options(method, options)
        return RandomMethod(space, seed)
    family, _, kind = method.partition(":")
    if family not in _EXTRAS:
        raise InputError(
            f"method={method!r}: there are 'random', 'skopt:RF' (or GP, ET, GBRT), 'optuna:tpe', or give an "
            "object with ask and tell."
        )
    package, default = _EXTRAS[family]
    if importlib.util.find_spec(family) is None:
        raise InputError(
            f"method={method!r} needs {package}, which is not installed here: pip install "
            f"'adaptive-scheduler[{family}]'"
        )
    return _maker(family)(space, kind or default, seed, options)


def _maker(family: str) -> Callable[[Space, str, int, dict[str, Any]], Method]:
    if family == "skopt":
        from adaptive_scheduler.optimizers.skopt_model import SkoptMethod

        return SkoptMethod
    from adaptive_scheduler.optimizers.optuna_sampler import OptunaMethod

    return OptunaMethod
