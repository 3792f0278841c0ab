"""The agent's side of a worker: what it was given, what it does now, how long its calls take."""

from __future__ import annotations

import mmap
import os
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from adaptive_scheduler.client.tasks.frames import Frames
from adaptive_scheduler.client.tasks.messages import Call, Do, Done, Slot, Start
from adaptive_scheduler.client.tasks.node.variables import WORKER_VARIABLE
from adaptive_scheduler.client.tasks.node.worker import NOW, RECALL
from adaptive_scheduler.io.system.child_process import Child

#: What a worker runs.
MODULE = "adaptive_scheduler.client.tasks.node.worker"
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

    Parameters
    ----------
    slot : Slot
    environment : mapping of str to str
        Of its slot.
    folder : Path
        Of the run.
    cwd : str

    Attributes
    ----------
    given : dict of int to Start
        What it has been given and not answered, in their order.
    name : str
        In the environment of whatever its calls start.
    """

    def __init__(self, slot: Slot, environment: Mapping[str, str], folder: Path, cwd: str) -> None:
        self.given: dict[int, Start] = {}
        self.answered = 0
        self.mean = AHEAD
        self._last = self._recalled = 0  # numbers of `Do`; 0: nothing is recalled
        self._long = 0  # the token for which it was
        ours, its = socket.socketpair()
        self.name = f"{os.getpid()}-{ours.fileno()}-{time.monotonic_ns()}"
        page = os.memfd_create("adaptive-scheduler")
        os.ftruncate(page, mmap.PAGESIZE)
        self._page = mmap.mmap(page, mmap.PAGESIZE)
        try:
            self.child = Child(
                [sys.executable, "-P", "-m", MODULE, str(its.fileno()), str(page),
                 str(folder / "functions"), str(folder / "values"), str(os.getpid())],
                {**environment, WORKER_VARIABLE: self.name}, cwd=cwd,
                inherit=(its.fileno(), page), cores=slot.cores,
            )  # fmt: skip
        except OSError:
            ours.close()
            self._page.close()
            raise
        finally:
            its.close()
            os.close(page)
        self.child.prefer_when_memory_is_short()
        self.frames = Frames(ours, _results)

    @property
    def room(self) -> int:
        """How many more calls it is to be given."""
        if self._recalled and self.given:
            return 0
        depth = 1 + min(MOST_AHEAD, int(AHEAD / self.mean)) if self.answered else 1
        return depth - len(self.given)

    def give(self, starts: list[Start]) -> None:
        """Give it calls."""
        if not self.given:
            self._recalled = 0  # it had answered all when it was to give some back: it drops none
        calls = []
        for start in starts:
            assert isinstance(start.work, Call)
            self.given[start.token] = start
            calls.append((start.token, start.work.function, start.work.spec))
        self._last += 1
        self.frames.send(Do(calls, self._last))
        self.frames.flush()

    def recall(self, token: int) -> list[Start]:
        """Take back what has not begun behind a call that takes long; returns what is taken back by now.

        Called again and again while it runs. The worker begins nothing more of what it has been given
        once it sees the number in the page. It may just be about to begin the next one; so this is
        believed at the next call, when it has long seen the number, and the same one runs still.
        The values of those before it may be on their way yet: a process that is held up sends nothing.
        """
        if self._recalled and self._long == token:
            tokens = list(self.given)  # in their order: what is before this one has been evaluated
            return [self.given.pop(one) for one in tokens[tokens.index(token) + 1 :]]
        self._long = token
        if len(self.given) > 1:
            self._recalled = self._last
            RECALL.pack_into(self._page, NOW.size, self._last)
        return []

    def dropped(self, number: int) -> list[Start]:
        """The worker says of which `Do` it begins nothing more; returns what it has not begun."""
        if not self._recalled or number < self._recalled:
            return []
        self._recalled = 0
        back, self.given = list(self.given.values()), {}
        return back

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
