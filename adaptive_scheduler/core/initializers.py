"""Initializers: checked, and assigned to learners."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from adaptive_scheduler.errors import InputError

Initializer = Callable[[], object]


def check(given: Any, n: int) -> None:
    """Check the initializers of `n` learners; InputError says what is wrong."""
    if given is None:
        return
    what = (
        "a list of functions without arguments, which each worker calls once before its first "
        "point; or, with a list or None in it, one entry for each learner: None, a function, or a "
        "list of functions"
    )
    if not isinstance(given, (list, tuple)) or not all(map(_is_entry, given)):
        raise InputError(f"initializers={given!r} must be {what}.")
    late = [one for entry in given for one in _flat(entry) if answers_later(one)]
    if late:
        raise InputError(
            f"initializers: {late[0]!r} is an `async def` or has a yield, so that calling it runs "
            "nothing. Write a plain function, which may call asyncio.run."
        )
    if is_per_learner(given) and len(given) != n:
        raise InputError(
            f"initializers has {len(given)} entries for {n} learners. It must be {what}."
        )


def is_per_learner(given: Sequence[Any]) -> bool:
    """Return whether there is one entry for each learner: some entry is not a function."""
    return not all(map(callable, given))


def of_learner(given: Sequence[Any] | None, place: int) -> tuple[Initializer, ...]:
    """Return the initializers of the learner in this place."""
    if not given or not is_per_learner(given):
        return tuple(given or ())
    return _flat(given[place])


def call_all(functions: Sequence[Initializer]) -> None:
    """Call each, in this order."""
    for function in functions:
        function()


def in_order(given: Sequence[Any] | None, order: Sequence[int]) -> list[Any] | None:
    """Return initializers for the same learners in another order; None if there are none."""
    if not given or not is_per_learner(given):
        return list(given or ()) or None
    return [given[place] for place in order]


def answers_later(function: Any) -> bool:
    """Return whether a call runs nothing yet: of an ``async def``, or a function with a ``yield``."""
    while isinstance(function, functools.partial):
        function = function.func
    kinds = (
        inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction,
    )  # fmt: skip
    call = getattr(type(function), "__call__", None)  # noqa: B004  of an object
    return any(kind(one) for kind in kinds for one in (function, call))


def _flat(entry: Any) -> tuple[Initializer, ...]:
    return (entry,) if callable(entry) else tuple(entry or ())


def _is_entry(entry: Any) -> bool:
    if isinstance(entry, (list, tuple)):
        return all(map(callable, entry))
    return entry is None or callable(entry)
