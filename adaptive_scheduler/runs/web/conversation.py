"""Carries messages between one browser and one view of a run.

A view asks the manager and reads files, which may take long: so each has a thread of its own, and a
slow run holds up nobody else. The thread is a daemon: one that hangs in a file system does not keep
the server from ending.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol

import structlog

from adaptive_scheduler.errors import AdaptiveSchedulerError

Messages = list[dict[str, Any]]
#: Seconds between two looks at what is new.
TICK = 0.5

log = structlog.get_logger()


class View(Protocol):
    """What a browser talks with (`ViewSession`)."""

    def receive(self, message: dict[str, Any]) -> Messages:
        """Answer a message."""

    def tick(self) -> Messages:
        """Say what is new."""


class Conversation(threading.Thread):
    """One browser and one view of a run.

    Parameters
    ----------
    open_view : callable
        Makes the view; called in this thread.
    send : callable
        Sends messages to the browser, and returns when they are sent; raises `Closed`.
    """

    def __init__(self, open_view: Callable[[], View], send: Callable[[Messages], None]) -> None:
        super().__init__(name="browser", daemon=True)
        self._open_view = open_view
        self._send = send
        self._inbox: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._told = ""

    def put(self, message: dict[str, Any]) -> None:
        """Hand over a message of the browser."""
        self._inbox.put(message)

    def end(self) -> None:
        """The browser is gone."""
        self._inbox.put(None)

    def run(self) -> None:
        """Answer until the browser is gone."""
        try:
            while self._converse():
                pass
        except Closed:
            return
        except Exception as error:
            log.exception("view_failed")
            self._last_word(f"the page has failed ({error!r}): load it again")

    def _last_word(self, text: str) -> None:
        try:
            self._send([_error(text)])
        except Closed:
            return

    def _converse(self) -> bool:
        """Talk until something fails; returns whether to try again."""
        try:
            view = self._open_view()
            while (answers := self._next(view)) is not None:
                if answers:
                    self._send(answers)
                    self._told = ""
        except (AdaptiveSchedulerError, OSError) as error:
            self._tell(str(error))
            return self._wait()
        return False

    def _next(self, view: View) -> Messages | None:
        """Return the answers to the next message, or what is new; None if the browser is gone."""
        try:
            message = self._inbox.get(timeout=TICK)
        except queue.Empty:
            return view.tick()
        return None if message is None else view.receive(message)

    def _tell(self, text: str) -> None:
        """Send why a view fails; once, for it is tried again and again."""
        if text != self._told:
            self._told = text
            self._send([_error(text)])

    def _wait(self) -> bool:
        """Wait a moment before the next try; returns whether the browser is still there."""
        try:
            return self._inbox.get(timeout=TICK * 2) is not None
        except queue.Empty:
            return True


class Closed(Exception):  # noqa: N818  not an error: the browser is gone
    """The browser is gone, or the server ends."""


def _error(text: str) -> dict[str, Any]:
    return {"type": "error", "request": None, "text": text}
