"""A function that notes each of its calls in a file before it returns."""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from adaptive_scheduler.io.learner_data import adaptive_private
from adaptive_scheduler.optimizers.by_name import OfPoint


class Ledger:
    """Appends ``repr(x)`` to a file, then returns ``function(x)``."""

    def __init__(self, path, function):
        self.path = os.fspath(path)
        self.function = function

    def __call__(self, x):
        value = self.function(x)
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(fd, f"{x!r}\n".encode())
        os.close(fd)
        return value

    def lines(self):
        try:
            return Path(self.path).read_text().splitlines()
        except FileNotFoundError:
            return []


@dataclass(frozen=True)
class Entry:
    """One evaluation that returned.

    Attributes
    ----------
    at : float
        When, on the host's monotonic clock.
    pid : int
        In which process.
    x : str
        What the function was called with, written as plain Python.
    """

    at: float
    pid: int
    x: str


class TimedLedger(Ledger):
    """A ledger that also says when and where; each call takes `seconds`."""

    def __init__(self, path, function, seconds=0.0):
        super().__init__(path, function)
        self.seconds = seconds

    def __call__(self, x):
        time.sleep(self.seconds)
        value = self.function(x)
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(fd, f"{time.monotonic()!r} {os.getpid()} {plain(x)!r}\n".encode())
        os.close(fd)
        return value

    def entries(self):
        parts = [line.split(" ", 2) for line in self.lines()]
        return [Entry(float(at), int(pid), x) for at, pid, x in parts]


def plain(x):
    """An argument without NumPy's scalars: the same text wherever it was made."""
    if isinstance(x, tuple):
        return tuple(map(plain, x))
    return x.item() if hasattr(x, "item") else x


def held(learner):
    """How often the learner's data hold each argument (children of one learner may share some)."""
    points = adaptive_private.points_of(learner, learner._get_data())
    return Counter(written(learner, x) for x, _ in points)


def written(learner, x):
    """What a ledger writes of a point: what its function is called with; of a name, its value alone."""
    function, x = adaptive_private.target(learner.function, x)
    if isinstance(function, OfPoint):
        x = function.argument(x)
        if isinstance(x, dict):
            (x,) = x.values()
    return repr(plain(x))


@dataclass(frozen=True)
class Audit:
    """What a ledger and the data say together.

    Attributes
    ----------
    evaluated : int
        Evaluations that returned.
    again : list of Entry
        Those whose value is in no data: their points were evaluated again, or never
        asked for again. (Of several evaluations of a point the last ones are kept.)
    unknown : list of str
        Points of the data that were never evaluated.
    """

    evaluated: int
    again: list[Entry]
    unknown: list[str]

    def lost(self, kills, window, stalls):
        """Evaluations that a kill does not excuse: none came in the `window` seconds after.

        Where the machine was late between the two, the window is longer by that.
        """
        return [
            entry
            for entry in self.again
            if not any(
                entry.at - IN_FLIGHT <= kill <= entry.at + window + stalls.between(entry.at, kill)
                for kill in kills
            )
        ]


#: Seconds after the death of a client at which its last worker is dead as well.
IN_FLIGHT = 3.0


def audit(entries, data):
    """Compare a ledger with the arguments that the data hold (see `held`)."""
    by_x = {}
    for entry in sorted(entries, key=lambda entry: entry.at):
        by_x.setdefault(entry.x, []).append(entry)
    again = [entry for x, all_of in by_x.items() for entry in all_of[: len(all_of) - data[x]]]
    unknown = [x for x, n in data.items() if n > len(by_x.get(x, ()))]
    return Audit(len(entries), again, unknown)
