"""Carries messages between one browser and one view of a run.

A view asks the manager and reads files, which may take long: so each has a thread of its own, and a
slow run holds up nobody else. The thread is a daemon: one that hangs in a file system does not keep
the server from ending.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol

from adaptive_scheduler.errors import AdaptiveSchedulerError

Messages = list[dict[str, Any]]
#: Seconds between two looks at what is new.
TICK = 0.5
#: Seconds before a run that could not be read is tried again.
PAUSE = 1.0

log = logging.getLogger(__name__)


class View(Protocol):
    """What a browser talks with (`ViewSession`)."""

    def receive(self, message: dict[str, Any]) -> Messages:
        """Answer a message."""

    def tick(self) -> Messages:
        """Say what is new."""


class BrowserTalk(threading.Thread):
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
        self._inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._failed: dict[str, dict[str, Any]] = {}
        self._told = ""

    def put(self, message: dict[str, Any]) -> None:
        """Hand over a message of the browser."""
        self._inbox.put(message)

    def end(self) -> None:
        """The browser is gone."""
        self._ended.set()
        self._inbox.put({})  # it wakes who waits

    def run(self) -> None:
        """Answer until the browser is gone."""
        try:
            view = self._opened()
            while not self._ended.is_set():
                self._step(view)
        except Closed:
            return
        except Exception as error:  # top of the thread: a fault of ours must be seen
            log.exception("The view of a run has failed")
            self._last_word(f"the page has failed ({error!r}): load it again")

    def _last_word(self, text: str) -> None:
        try:
            self._send([_error(text)])
        except Closed:
            return

    def _opened(self) -> View:
        """Open the view, again and again while the run cannot be read."""
        while not self._ended.is_set():
            try:
                return self._open_view()
            except (AdaptiveSchedulerError, OSError) as error:
                self._tell(error)
            self._ended.wait(PAUSE)
        raise Closed

    def _step(self, view: View) -> None:
        """Answer the next message; or, if none comes, say what is new."""
        try:
            message = self._inbox.get(timeout=TICK)
        except queue.Empty:
            self._look(view)
            return
        if not self._ended.is_set():
            self._answer(view, message)

    def _answer(self, view: View, message: dict[str, Any]) -> None:
        kind = str(message.get("type"))
        self._failed.pop(kind, None)
        try:
            self._say(view.receive(message))
        except (AdaptiveSchedulerError, OSError) as error:
            if kind == "do":  # nobody expects it to be done later
                self._send([_error(str(error), message)])
                return
            self._failed[kind] = message
            self._tell(error)

    def _look(self, view: View) -> None:
        """Say what is new, and answer what could not be answered before."""
        try:
            news = view.tick()
            while self._failed:
                news += view.receive(self._failed.pop(next(iter(self._failed))))
            self._say(news)
        except (AdaptiveSchedulerError, OSError) as error:
            self._tell(error)
            self._ended.wait(PAUSE)

    def _say(self, answers: Messages) -> None:
        if answers:
            self._send(answers)
            self._told = ""

    def _tell(self, error: Exception) -> None:
        """Send why a view fails; once, for it is tried again and again."""
        if str(error) != self._told:
            self._told = str(error)
            self._send([_error(str(error))])


class Closed(Exception):  # noqa: N818  not an error: the browser is gone
    """The browser is gone, or the server ends."""


def _error(text: str, message: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "error", "request": (message or {}).get("request", 0), "text": text}
