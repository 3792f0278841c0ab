"""How a limit of jobs is shared by several runs: a part for each, and what one does not need for the others.

A run is given more only when another is known to have less, so that all of them together never have more than the
limit: first a run's own limit is lowered; a round later, when its manager has said how many jobs it has under that,
what has come free is given away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """What is known of one run.

    Attributes
    ----------
    wants : int
        Jobs that it could use; 0 if it has ended or must not start yet.
    granted : int
        Its own limit by now; 0 if it was not started.
    has : int
        Jobs that it has, or has asked for, under that limit.
    """

    wants: int
    granted: int = 0
    has: int = 0

    @property
    def holds(self) -> int:
        """Jobs that it may have before it is asked again; one that has ended submits none."""
        return max(self.granted, self.has) if self.wants else self.has


def fair_parts(limit: int, runs: Sequence[Share]) -> list[int]:
    """Return equal parts of the limit, but to none more than it wants; those that were started come first."""
    parts = [0] * len(runs)
    order = sorted(range(len(runs)), key=lambda place: (not runs[place].granted, place))
    for _ in range(limit):
        hungry = [place for place in order if parts[place] < runs[place].wants]
        if not hungry:
            break
        parts[min(hungry, key=lambda place: parts[place])] += 1
    return parts


def next_limits(limit: int, runs: Sequence[Share]) -> list[int]:
    """Return the limit of each run until the next round; 0: it is not started.

    Parameters
    ----------
    limit : int
        Most jobs of all together.
    runs : sequence of Share
    """
    parts = fair_parts(limit, runs)
    free = limit - sum(one.holds for one in runs)
    found = []
    for part, one in zip(parts, runs, strict=True):
        if part <= one.granted or not one.wants:
            lower = max(1, part) if one.wants else one.granted
            found.append(min(one.granted, lower))
            continue
        more = min(part - one.granted, max(0, free))
        free -= more
        found.append(one.granted + more)
    return found
