"""Results of benchmarks: figures, and whether they reach their bar (goal)."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any, Literal

import msgspec


class Bar(msgspec.Struct, frozen=True):
    """The goal of a figure.

    Attributes
    ----------
    limit : float
    better : str
        Whether higher or lower figures are better.
    of : str
        What is compared with the limit: our own figure, or its ratio to the peer's.
    """

    limit: float
    better: Literal["higher", "lower"]
    of: Literal["ours", "ratio"] = "ours"


class Figure(msgspec.Struct, frozen=True):
    """One row of the table.

    Attributes
    ----------
    name, what, unit : str
    ours, peer : list of float
        One value a round. `peer` is empty where there is nobody to compare with.
    bar : Bar, optional
        None: the figure is shown for what it tells.
    peer_name : str
        Who the peer is: a program, or the bare library doing only that.
    note : str
        What a reader must know, for example that a part is simulated.
    is_paired : bool
        Whether one value of ours belongs to one of the peer's, both measured with the same input.
    """

    name: str
    what: str
    unit: str
    ours: list[float]
    peer: list[float] = []
    bar: Bar | None = None
    peer_name: str = ""
    note: str = ""
    is_paired: bool = False

    @property
    def ratio(self) -> float | None:
        """Our median over the peer's, or the median ratio of pairs; None without a peer."""
        if not self.peer:
            return None
        if self.is_paired:
            return median(a / b for a, b in zip(self.ours, self.peer, strict=True))
        return median(self.ours) / median(self.peer)

    @property
    def is_met(self) -> bool | None:
        """Whether the bar is reached; None without a bar, or without the peer that it needs."""
        if self.bar is None:
            return None
        value = median(self.ours) if self.bar.of == "ours" else self.ratio
        if value is None:
            return None
        is_high = value >= self.bar.limit
        return is_high if self.bar.better == "higher" else value <= self.bar.limit

    def as_json(self) -> dict[str, Any]:
        """The row as `--json` writes it."""
        return {
            "name": self.name,
            "what": self.what,
            "ours": median(self.ours),
            "peer": median(self.peer) if self.peer else None,
            "limit": self.bar.limit if self.bar else None,
            "limit_of": self.bar.of if self.bar else None,
            "better": self.bar.better if self.bar else None,
            "ratio": self.ratio,
            "unit": self.unit,
            "n": len(self.ours),
            "met": self.is_met,
            "peer_name": self.peer_name,
            "note": self.note,
            "all_ours": self.ours,
            "all_peer": self.peer,
        }


def at_least(limit: float, of: Literal["ours", "ratio"] = "ours") -> Bar:
    """A bar for figures where more is better."""
    return Bar(limit, "higher", of)


def at_most(limit: float, of: Literal["ours", "ratio"] = "ours") -> Bar:
    """A bar for figures where less is better."""
    return Bar(limit, "lower", of)


def columns(rounds: Sequence[Sequence[float]]) -> list[list[float]]:
    """Turn a list of rounds, each with several values, into one list per value."""
    return [list(column) for column in zip(*rounds, strict=True)]
