"""The parameter sets of a document: all combinations of its lists, or a sample of them."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from adaptive_scheduler.errors import InputError

#: Tasks of one sweep.
MOST = 1_000_000


def combinations(
    choices: Mapping[str, Sequence[Any]], sample: int | None, seed: str
) -> Iterator[dict[str, Any]]:
    """Yield the combinations of a document's lists, the last one changing fastest.

    Parameters
    ----------
    choices : mapping
        Name to list of values.
    sample : int, optional
        Only so many of them, drawn without repetition, in their order.
    seed : str
        The same one draws the same ones.

    Raises
    ------
    InputError
        There are too many.
    """
    total = math.prod(map(len, choices.values()))
    if sample is None and total > MOST:
        raise InputError(
            f"there are {total:,} combinations; at most {MOST:,} can be run. Draw some of them: "
            "--sample 1000."
        )
    numbers: Iterable[int] = range(total)
    if sample is not None and sample < total:
        numbers = _drawn(total, sample, random.Random(seed))  # noqa: S311  no secret
    for number in numbers:
        yield _combination(choices, number)


def _combination(choices: Mapping[str, Sequence[Any]], number: int) -> dict[str, Any]:
    places: list[int] = []
    for values in reversed(list(choices.values())):
        number, place = divmod(number, len(values))
        places.append(place)
    return {
        name: values[place]
        for (name, values), place in zip(choices.items(), reversed(places), strict=True)
    }


def _drawn(total: int, n: int, draw: random.Random) -> list[int]:
    """Draw n of so many numbers (R. Floyd's way: `random.sample` takes no range this long)."""
    chosen: set[int] = set()
    for last in range(total - n, total):
        number = draw.randrange(last + 1)
        chosen.add(last if number in chosen else number)
    return sorted(chosen)
