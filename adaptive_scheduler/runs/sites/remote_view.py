"""A run on another host as a view shows it: the conversation is held there, its messages travel by ssh."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.io.ssh.far_session import LostConnectionError, NoConnectionError
from adaptive_scheduler.runs.views.page.session import Message, ViewSession
from adaptive_scheduler.runs.views.page.source import RunSource
from adaptive_scheduler.runs.views.tables import duration

#: Views at once there, and seconds after which one that asks nothing is gone.
MOST, SILENCE = 50, 600.0

_decode = msgspec.msgpack.Decoder(list[dict[str, Any]]).decode


class Ask(Protocol):
    """Asks the far end, if there is a connection."""

    def __call__(self, what: str, *values: Any) -> msgspec.Raw:
        """Return what it answers; LostConnectionError if it is not there."""


class RemoteViews:
    """Opens views of a run on another host.

    Parameters
    ----------
    try_ask : callable
        Asks the far end; raises LostConnectionError if there is no connection.
    may_change : bool
    """

    def __init__(self, try_ask: Ask, *, may_change: bool) -> None:
        self._try_ask = try_ask
        self._may_change = may_change

    def open(self) -> RemoteView:
        """Open one."""
        return RemoteView(self._try_ask, may_change=self._may_change)

    def close(self) -> None:
        """The connection is that of the run's driver, and stays."""


class RemoteView:
    """One conversation: `ViewSession` has it there.

    If the connection was lost, another program answers there, which knows nothing: so the last message
    of each kind goes with every request, as far as it is needed to begin anew. Meanwhile what is shown
    is called old.

    Parameters
    ----------
    try_ask : callable
    may_change : bool
    """

    def __init__(self, try_ask: Ask, *, may_change: bool) -> None:
        self._try_ask = try_ask
        self._may_change = may_change
        self._name = uuid.uuid4().hex
        self._said: dict[str, Message] = {}
        self._summary: Message | None = None
        self._heard = time.monotonic()
        self._trouble = ""

    def receive(self, message: Mapping[str, Any]) -> list[Message]:
        """Have it answered there."""
        kind = str(message.get("type"))
        if kind == "close":
            self._said.pop("open", None)
        elif kind in ("hello", "rows", "open"):
            self._said[kind] = dict(message)
        try:
            return self._ask(dict(message))
        except LostConnectionError as error:
            if kind != "do":
                return self._old(str(error))
            text = (
                f"Not done: there is no connection to the host of the run. {error}"
                if isinstance(error, NoConnectionError)
                else "The connection to the host of the run was lost just then: nobody knows whether it was "
                "done. Look at the run when it is there again."
            )
            return _failed(message, text)
        except (AdaptiveSchedulerError, OSError) as error:
            return _failed(message, str(error))

    def tick(self) -> list[Message]:
        """Ask there what is new."""
        try:
            return self._ask(None)
        except LostConnectionError as error:
            return self._old(str(error))
        except (AdaptiveSchedulerError, OSError) as error:
            return _failed({}, str(error))

    def say_all_again(self) -> None:
        """Begin anew: a message may have been lost."""
        self._name = uuid.uuid4().hex

    def _ask(self, message: Message | None) -> list[Message]:
        asked = [self._name, self._may_change, message, list(self._said.values())]
        answers = _decode(self._try_ask("view", *asked))
        self._heard = time.monotonic()
        if self._trouble:
            self._trouble = ""
            self.say_all_again()
        for answer in answers:
            if answer.get("type") == "summary":
                self._summary = {**answer, "series": None}
        return answers

    def _old(self, reason: str) -> list[Message]:
        """What was shown last, and that it is old."""
        age = duration(time.monotonic() - self._heard)
        self._trouble = (
            f"This is {age} old: there is no connection to the host of the run. {reason}"
        )
        if self._summary is None:
            return [{"type": "error", "request": 0, "text": self._trouble}]
        return [{**self._summary, "is_old": True, "age_text": self._trouble}]


def _failed(message: Mapping[str, Any], text: str) -> list[Message]:
    return [{"type": "error", "request": message.get("request", 0), "text": text}]


class FarViews:
    """The conversations at the far end, which share what they read. Several are answered at a time.

    Parameters
    ----------
    folder : RunFolder
    """

    def __init__(self, folder: RunFolder) -> None:
        self._source = RunSource(folder)
        self._lock = threading.Lock()
        self._sessions: dict[str, tuple[ViewSession, float]] = {}

    def answer(
        self, name: str, may_change: bool, message: Message | None, said: list[Message]
    ) -> list[Message]:
        """Answer a message, or say what is new; see `RemoteView`."""
        now, news = time.monotonic(), []
        with self._lock:
            known = self._sessions.pop(name, None)
            session = ViewSession(self._source, may_change) if known is None else known[0]
            self._sessions[name] = session, now
            self._forget(now)
        if known is None:
            news = [answer for one in said if one != message for answer in session.receive(one)]
        return [*news, *(session.tick() if message is None else session.receive(message))]

    def _forget(self, now: float) -> None:
        """Forget those whose front ends are gone."""
        silent = [name for name, (_, at) in self._sessions.items() if now - at > SILENCE]
        for name in [*silent, *list(self._sessions)[:-MOST]]:
            self._sessions.pop(name, None)
