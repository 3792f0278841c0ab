"""Carries messages between one browser and one view of a run.

A view asks the manager and reads files, which may take long: so each has a thread of its own, and a
slow run holds up nobody else. The thread is a daemon: one that hangs in a file system does not keep
the server from ending.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

Messages = list[dict[str, Any]]
#: Seconds between two looks at what is new.
TICK = 0.5

log = logging.getLogger(__name__)


class View(Protocol):
    """What a browser talks with (`ViewSession`): it answers with errors, and raises none."""

    def receive(self, message: dict[str, Any]) -> Messages:
        """Answer a message."""

    def tick(self) -> Messages:
        """Say what is new."""


class Closed(Exception):  # noqa: N818  not an error: the browser is gone
    """The browser is gone, or the server ends."""


class BrowserTalk(threading.Thread):
    """One browser and one view of a run.

    Parameters
    ----------
    open_view : callable
        Opens the view, in this thread, and closes it at the end.
    send : callable
        Sends messages to the browser, and returns when they are sent; raises `Closed`.
    """

    def __init__(
        self,
        open_view: Callable[[], AbstractContextManager[View]],
        send: Callable[[Messages], None],
    ) -> None:
        super().__init__(name="browser", daemon=True)
        self._open_view = open_view
        self._send = send
        self._inbox: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._told = ""
        self._next_tick = 0.0

    def put(self, message: dict[str, Any]) -> None:
        """Hand over a message of the browser."""
        self._inbox.put(message)

    def end(self) -> None:
        """The browser is gone."""
        self._inbox.put(None)

    def run(self) -> None:
        """Answer until the browser is gone."""
        try:
            with self._open_view() as view:
                while (answers := self._next(view)) is not None:
                    self._say(answers)
        except Closed:
            return
        except Exception as error:  # top of the thread: a fault of ours must be seen
            log.exception("The view of a run has failed")
            with contextlib.suppress(Closed):
                text = f"The page has failed ({error!r}): load it again."
                self._send([{"type": "error", "request": 0, "text": text}])

    def _next(self, view: View) -> Messages | None:
        """Return the answers to the next message, or what is new; None if the browser is gone.

        Who scrolls sends many messages: what is new is told all the same.
        """
        left = self._next_tick - time.monotonic()
        if left > 0:
            with contextlib.suppress(queue.Empty):
                message = self._inbox.get(timeout=left)
                return None if message is None else view.receive(message)
        answers = view.tick()
        self._next_tick = time.monotonic() + TICK
        return answers

    def _say(self, answers: Messages) -> None:
        """Send answers, but not again and again that the run cannot be read."""
        news = [one for one in answers if not self._is_told(one)]
        if news:
            self._send(news)
            self._told = news[-1]["text"] if _is_general_error(news[-1]) else ""

    def _is_told(self, answer: dict[str, Any]) -> bool:
        return _is_general_error(answer) and answer["text"] == self._told


def _is_general_error(answer: dict[str, Any]) -> bool:
    """Whether it answers no request, but tells how the run is."""
    return answer.get("type") == "error" and not answer.get("request")
