"""One slot of a node and the worker that evaluates its calls."""

from __future__ import annotations

import mmap
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from adaptive_scheduler.client.tasks.frames import Frames
from adaptive_scheduler.client.tasks.messages import Call, Do, Done, Slot, Start
from adaptive_scheduler.client.tasks.node.children import WORKER_VARIABLE, Child
from adaptive_scheduler.client.tasks.node.worker import NOW

#: A worker is given so many seconds of work beyond what it has begun: calls that take longer are
#: given one by one, so that they can be taken back; of shorter ones several, or it would wait
#: for each next one longer than it works.
AHEAD = 0.002
MOST_AHEAD = 64
#: How much one duration counts for the mean of those before.
_WEIGHT = 0.1

_results = msgspec.msgpack.Decoder(Done)


class Worker:
    """One process that evaluates calls.

    Attributes
    ----------
    given : dict of int to Start
        What it has been given and not answered, in their order.
    """

    def __init__(self, slot: Slot, environment: Mapping[str, str], name: str, folder: Path) -> None:
        self.given: dict[int, Start] = {}
        self.answered = 0
        self.mean = AHEAD
        ours, its = socket.socketpair()
        page = os.memfd_create("adaptive-scheduler")
        os.ftruncate(page, mmap.PAGESIZE)
        self._page = mmap.mmap(page, mmap.PAGESIZE)
        try:
            self.child = Child(
                [sys.executable, "-m", "adaptive_scheduler.client.tasks.node.worker",
                 str(its.fileno()), str(page), str(folder / "functions"), str(folder / "values")],
                env={**environment, WORKER_VARIABLE: name},
                pass_fds=(its.fileno(), page), cores=slot.cores,
            )  # fmt: skip
        finally:
            its.close()
            os.close(page)
        self.frames = Frames(ours, _results)

    @property
    def room(self) -> int:
        """How many more calls it is to be given."""
        depth = 1 + min(MOST_AHEAD, int(AHEAD / self.mean)) if self.answered else 1
        return depth - len(self.given)

    def give(self, starts: list[Start]) -> None:
        """Give it calls."""
        calls = []
        for start in starts:
            assert isinstance(start.work, Call)
            self.given[start.token] = start
            calls.append((start.token, start.work.function, start.work.spec))
        self.frames.send(Do(calls))
        self.frames.flush()

    def note(self, seconds: float) -> None:
        """Learn how long its calls take."""
        self.answered += 1
        self.mean += (max(seconds, 1e-6) - self.mean) * (_WEIGHT if self.answered > 1 else 1)

    def now(self) -> tuple[int, float]:
        """The token of what it evaluates, and since when (monotonic seconds); 0: nothing."""
        token, begin = NOW.unpack_from(self._page, 0)
        return token, begin / 1e9

    def close(self) -> None:
        """Close what is ours of a worker that has ended."""
        self.frames.sock.close()
        self._page.close()
