"""A run as a widget of a notebook: a thread that looks at it, and anywidget to show it."""

from __future__ import annotations

import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import anywidget
import traitlets

from adaptive_scheduler.runs.views.page import bundle
from adaptive_scheduler.runs.views.page.session import Message, RunViews, ViewTalk

#: A view that has gone.
_BYE = "bye"
#: What shows a widget.
MIME = "application/vnd.jupyter.widget-view+json"
#: Answers to a view that are kept while they cannot be sent.
MOST_KEPT = 10
#: Sends a message to one of the places where a widget is shown.
Send = Callable[[str, Message], None]

log = logging.getLogger(__name__)


class RunWidget(anywidget.AnyWidget):
    """One run; wherever it is shown there is a view with its own search and its own open item.

    Parameters
    ----------
    views : RunViews
        What opens its conversations.
    interval : float
        Seconds between two looks.
    may_change : bool
        Whether it has buttons.
    """

    _esm = bundle.script()
    _css = bundle.styles()
    may_change = traitlets.Bool(default_value=True).tag(sync=True)

    def __init__(self, views: RunViews, interval: float, *, may_change: bool = True) -> None:
        super().__init__(may_change=may_change)
        itself = weakref.ref(self)

        def send(view: str, message: Message) -> None:
            widget = itself()
            if widget is not None and widget.comm is not None:  # else it was closed
                widget.send({"view": view, "message": message})

        self._watcher = Watcher(views, interval, send)
        self.on_msg(self._take)

    def _take(self, _: Any, content: Any, __: Any) -> None:
        """What a view says; another thread answers, so that the kernel does not wait."""
        self._watcher.put(str(content.get("view", "")), content.get("message", {}))

    def close(self) -> None:
        """End it: its thread, and whatever shows it."""
        watcher = getattr(self, "_watcher", None)
        if watcher is not None:
            watcher.end()
        super().close()


class Watcher:
    """A thread that looks at a run for all views of one widget; there is none while none is shown.

    Parameters
    ----------
    views : RunViews
    interval : float
        Seconds between two looks.
    send : callable
    """

    def __init__(self, views: RunViews, interval: float, send: Send) -> None:
        self._views = views
        self._interval = interval
        self._send = send
        self._sessions: dict[str, ViewTalk] = {}
        self._unsent: dict[str, list[Message]] = {}
        self._incoming: deque[tuple[str, Message]] = deque()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_over = False

    def put(self, view: str, message: Message) -> None:
        """Take in what a view says."""
        with self._wake:
            self._incoming.append((view, message))
            self._wake.notify()
            is_there = self._thread is not None and self._thread.is_alive()
            if not is_there and not self._is_over:
                self._thread = threading.Thread(target=self._run, name="run view", daemon=True)
                self._thread.start()

    def end(self) -> None:
        """Let the thread end."""
        with self._wake:
            self._is_over = True
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                if not self._incoming and not self._is_over:
                    self._wake.wait(self._interval)
                taken = list(self._incoming)
                self._incoming.clear()
            for view, message in taken:
                self._guard(view, partial(self._take, view, message))
            for view, session in list(self._sessions.items()):
                self._guard(view, partial(self._look, view, session))
            with self._wake:
                if self._is_over or not (self._sessions or self._incoming):
                    self._thread = None
                    break
        self._views.close()

    def _guard(self, view: str, what: Callable[[], None]) -> None:
        """Do something for one view; whatever is wrong with it is told there, and the others go on.

        What could not be sent is said again: else the view would show for ever what was before.
        """
        try:  # the top of a thread
            what()
        except Exception as error:
            log.debug("A view of a run has failed", exc_info=True)
            if view in self._sessions:
                self._sessions[view].say_all_again()
            text = f"This view met an error of its own: {type(error).__name__}: {error}"
            with suppress(Exception):  # sending it may be what has failed
                self._send(view, {"type": "error", "request": 0, "text": text})

    def _take(self, view: str, message: Message) -> None:
        if message.get("type") == _BYE:
            self._sessions.pop(view, None)
            self._unsent.pop(view, None)
            return
        if view not in self._sessions:
            self._sessions[view] = self._views.open()
        self._tell(view, self._sessions[view].receive(message))

    def _look(self, view: str, session: ViewTalk) -> None:
        self._tell(view, session.tick())

    def _tell(self, view: str, messages: list[Message]) -> None:
        """Send messages; what a button did is kept if it cannot be sent: nothing else says it again."""
        waiting = deque([*self._unsent.pop(view, []), *messages])
        try:
            while waiting:
                self._send(view, waiting[0])
                waiting.popleft()
        finally:
            if kept := [one for one in waiting if _is_said_once(one)][-MOST_KEPT:]:
                self._unsent[view] = kept


def _is_said_once(message: Message) -> bool:
    """Whether it is the answer to a button, or to another request of a front end."""
    return message["type"] in ("done", "error") and bool(message.get("request"))
