"""Any object that asks and tells as a `Method`: of the user, of Xopt, libEnsemble, scikit-optimize."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from adaptive_scheduler.core.searches.space import Space, Values
from adaptive_scheduler.errors import InputError, UserCodeError

#: Name of the value in what an object of the gest-api is told, unless it has objectives of its own.
_VALUE = "f"


class ObjectMethod:
    """Asks an object of the user's.

    It has ``suggest(n) -> list of dict`` and ``ingest(list of dict)`` (the gest-api), or
    ``ask()`` or ``ask(n)``, and ``tell(point, value)``; one whose ``ask(n)`` gives dicts is told a list of dicts. It
    remembers what it was asked for, so it is asked once for each point, and each of its points is issued.

    Parameters
    ----------
    space : Space
    optimizer : object
    """

    keeps = True
    attempts = 0

    def __init__(self, space: Space, optimizer: Any) -> None:
        if isinstance(optimizer, type):
            raise InputError(f"method={optimizer!r} is a class: give an object of it.")
        self._space, self._optimizer = space, optimizer
        self._is_gest = callable(getattr(optimizer, "suggest", None))
        self._is_told_dicts = self._is_gest
        self._asked: dict[Values, list[Any]] = {}
        pair = ("suggest", "ingest") if self._is_gest else ("ask", "tell")
        if not all(callable(getattr(optimizer, name, None)) for name in pair):
            raise InputError(
                f"method={optimizer!r:.200}: give 'random', 'skopt:RF', 'optuna:tpe', or an object with "
                "ask and tell, or suggest and ingest."
            )
        self._takes_count = not self._is_gest and _needs_argument(optimizer.ask)

    def initial(self) -> list[Values]:
        """Return none: it is asked for each point when it is needed."""
        return []

    def ask(self, number: int, pending: Sequence[Values], attempt: int) -> Values:  # noqa: ARG002
        """Return the next point of the object."""
        given = self._next()
        values = self._space.native(given)
        self._asked.setdefault(values, []).append(given)
        return values

    def _next(self) -> Any:
        if self._is_gest:
            found = self._optimizer.suggest(1)
        else:
            found = self._optimizer.ask(1) if self._takes_count else self._optimizer.ask()
        if self._is_gest or self._takes_count:
            if len(found) != 1:
                raise UserCodeError("optimiser", f"one point was asked for, {len(found)} came")
            found = found[0]
        self._is_told_dicts |= self._takes_count and isinstance(found, Mapping)
        return found

    def skip(self) -> None:
        """Ask for a point that was asked for before: a sequence of its own must not begin anew."""
        self._next()

    def tell(self, values: Values, value: float) -> None:
        """Hand a value on, with the point as the object had given it."""
        known = self._asked.get(values)
        given = known.pop() if known else None
        if known == []:
            del self._asked[values]
        if not self._is_told_dicts:
            self._optimizer.tell(list(values) if given is None else given, value)
            return
        named = dict(given) if given is not None else self._space.named(values)
        told = [{**named, self._name_of_value(): value}]
        (self._optimizer.ingest if self._is_gest else self._optimizer.tell)(told)

    def _name_of_value(self) -> str:
        vocs = getattr(self._optimizer, "vocs", None)
        names = list(getattr(vocs, "objectives", None) or [_VALUE])
        return str(names[0])


def _needs_argument(function: Any) -> bool:
    """Whether ``ask`` must be told how many."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # of C
        return False
    return any(
        one.default is one.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
        for one in parameters
    )
