"""One conversation with one front end: what it asks, and what is new for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from adaptive_scheduler.runs.views.page import model
from adaptive_scheduler.runs.views.page.messages import (
    FromFront,
    RequestFailed,
    ShowRun,
    Summary,
    ToFront,
)
from adaptive_scheduler.runs.views.page.source import Source

#: A JSON object.
Message = dict[str, Any]


class ViewSession:
    """One conversation with one front end. It has no thread and no socket: who has calls it.

    Parameters
    ----------
    source : Source
        Where the run is read, and changed.
    may_change : bool
        Whether the front end may change anything.
    clock : callable
        Returns seconds since 1970.
    """

    def __init__(
        self, source: Source, may_change: bool, clock: Callable[[], float] = time.time
    ) -> None:
        self._source = source
        self._may_change = may_change
        self._clock = clock
        self._last: Summary | None = None

    def receive(self, message: Mapping[str, Any]) -> list[Message]:
        """Take in what the front end says; returns the answers, of which there may be none."""
        try:
            asked = msgspec.convert(message, FromFront)
        except msgspec.ValidationError as error:
            return [
                _plain(RequestFailed(0, f"this view does not understand its front end: {error}"))
            ]
        if isinstance(asked, ShowRun):
            self._last = None
            return self.tick()
        return []

    def tick(self) -> list[Message]:
        """Look at the run again; returns what has changed since the last time."""
        found = model.summary(self._source.snapshot(), now=self._clock())
        if self._last is not None and _same(found, self._last):
            return []
        self._last = found
        return [_plain(found)]


def _same(one: Summary, other: Summary) -> bool:
    """Whether two summaries say the same, whenever they were made."""
    return msgspec.structs.replace(one, time=other.time) == other


def _plain(message: ToFront) -> Message:
    found: Message = msgspec.to_builtins(message)
    return found
