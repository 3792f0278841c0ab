"""Recognises requests that come late, behind newer ones of the same sender."""

from __future__ import annotations

#: Senders that are remembered; those heard least recently are forgotten.
MOST_SENDERS = 10_000


class RequestOrder:
    """The number of the newest request of each sender.

    A sender asks for one thing after another, so one that comes behind a newer one is a repetition
    of what was done before: done again, it would undo what the newer one has changed.
    """

    def __init__(self) -> None:
        self._newest: dict[str, int] = {}

    def is_late(self, sender: str, number: int) -> bool:
        """Note a request; whether a newer one of its sender has come before."""
        newest = self._newest.pop(sender, 0)
        self._newest[sender] = max(newest, number)
        if len(self._newest) > MOST_SENDERS:
            del self._newest[next(iter(self._newest))]
        return number < newest
