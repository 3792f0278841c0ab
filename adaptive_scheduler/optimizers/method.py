"""What a learner needs of an optimiser: `Method`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from random import Random
from typing import Any, Protocol

from adaptive_scheduler.core.searches.space import Space, Values
from adaptive_scheduler.errors import InputError


class Method(Protocol):
    """An optimiser that looks for the smallest value.

    Attributes
    ----------
    keeps : bool
        Whether what it has chosen stays chosen: values that come meanwhile do not change it.
    attempts : int
        How often it may be asked for another point in place of a near copy; 0: what it asks for is issued.
    """

    keeps: bool
    attempts: int

    def initial(self) -> list[Values]:
        """Return its first points, which depend on no value; they are asked for exactly so."""
        ...

    def ask(self, number: int, pending: Sequence[Values], attempt: int) -> Values:
        """Choose a point of the space.

        Parameters
        ----------
        number : int
            Of the point.
        pending : sequence of Values
            Points whose values are not known yet.
        attempt : int
            How often a point was too near to a pending one.
        """
        ...

    def skip(self) -> None:
        """Go on as if one more point had been asked for, as it was before a restart."""
        ...

    def tell(self, values: Values, value: float) -> None:
        """Take a value."""
        ...


def seed_of(seed: int, number: int, attempt: int = 0) -> int:
    """Return the seed for one point: the same one after any restart."""
    text = f"{seed}/{number}/{attempt}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "big")


class RandomMethod:
    """Draws each point by its number, whatever the values are.

    Parameters
    ----------
    space : Space
    seed : int
    """

    keeps = True
    attempts = 3

    def __init__(self, space: Space, seed: int) -> None:
        self._space, self._seed = space, seed

    def initial(self) -> list[Values]:
        """Return none: points that are too near to each other may be drawn anew."""
        return []

    def ask(self, number: int, pending: Sequence[Values], attempt: int) -> Values:  # noqa: ARG002
        """Draw a point."""
        return self._space.draw(Random(seed_of(self._seed, number, attempt)))  # noqa: S311

    def skip(self) -> None:
        """Do nothing: points are drawn by their number."""

    def tell(self, values: Values, value: float) -> None:
        """Do nothing."""


def refuse_options(name: str, given: dict[str, Any], known: Sequence[str] = ()) -> None:
    """Refuse options that an optimiser does not have; InputError names them."""
    unknown = [one for one in given if one not in known]
    if unknown:
        raise InputError(
            f"{unknown[0]}={given[unknown[0]]!r} is no option of method={name!r}, which has "
            f"{', '.join(sorted(known)) or 'none'}."
        )
