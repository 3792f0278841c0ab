"""Which initializers run for which learner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from adaptive_scheduler.errors import InputError

Initializer = Callable[[], object]


def check(given: Any, n: int) -> None:
    """Refuse what are no initializers of `n` learners.

    Raises
    ------
    InputError
    """
    if given is None:
        return
    what = (
        "a list of functions without arguments, which each worker calls once before its first "
        "point; or, with a list or None in it, one entry for each learner: None, a function, or a "
        "list of functions"
    )
    if not isinstance(given, (list, tuple)) or not all(map(_is_entry, given)):
        raise InputError(f"initializers={given!r} must be {what}.")
    if is_per_learner(given) and len(given) != n:
        raise InputError(
            f"initializers has {len(given)} entries for {n} learners. It must be {what}."
        )


def is_per_learner(given: Sequence[Any]) -> bool:
    """Whether each learner has initializers of its own: some entry is no function."""
    return not all(map(callable, given))


def of_learner(given: Sequence[Any] | None, place: int) -> tuple[Initializer, ...]:
    """The initializers that run for the learner in this place."""
    if not given or not is_per_learner(given):
        return tuple(given or ())
    entry = given[place]
    return (entry,) if callable(entry) else tuple(entry or ())


def in_order(given: Sequence[Any] | None, order: Sequence[int]) -> list[Any] | None:
    """The same for learners in another order; None if there are none."""
    if not given or not is_per_learner(given):
        return list(given or ()) or None
    return [given[place] for place in order]


def _is_entry(entry: Any) -> bool:
    if isinstance(entry, (list, tuple)):
        return all(map(callable, entry))
    return entry is None or callable(entry)
