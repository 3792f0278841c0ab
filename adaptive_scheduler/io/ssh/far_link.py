"""Keeps a program there answering, through connections that break."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from adaptive_scheduler import errors
from adaptive_scheduler.errors import AdaptiveSchedulerError, FarHostError
from adaptive_scheduler.io.ssh.far_place import FarPlace
from adaptive_scheduler.io.ssh.far_session import (
    FarAnswer,
    FarFailure,
    FarSession,
    LostConnectionError,
    NoConnectionError,
)

#: Seconds between two looks whether the connection is there.
LOOK = 0.5
#: Seconds that a try to connect, which is under way at the end, is waited for.
LAST_WAIT = 2.0
#: Seconds between two tries to connect: twice as long each time, at most the second.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0


class FarLink:
    """Asks a program there, whatever becomes of the connection. Any number of threads may ask at a time.

    What was under way when the connection broke is asked again, so the program must not mind to
    be asked twice.

    Parameters
    ----------
    place : FarPlace
    connect : callable
        Starts a session, or raises FarHostError.
    look : callable
        Called now and then while the connection is there; it may raise as `try_ask` does.
    report : callable
        Given a sentence when the connection is lost, and when it is there again.
    """

    def __init__(
        self,
        place: FarPlace,
        connect: Callable[[], FarSession],
        look: Callable[[], None],
        report: Callable[[str], None],
    ) -> None:
        self._place, self._connect, self._look, self._report = place, connect, look, report
        self._lock = threading.Lock()
        self._there, self._closing = threading.Event(), threading.Event()
        self._session: FarSession | None = None
        self._reason = ""
        self._thread = threading.Thread(target=self._keep, name="ssh's watch", daemon=True)

    def open(self) -> None:
        """Connect for the first time.

        Raises
        ------
        FarHostError
        """
        self._session = self._connect()
        self._there.set()
        self._thread.start()

    @property
    def is_there(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._there.is_set()

    def wait(self) -> float:
        """Wait until there is a connection; returns for how many seconds."""
        begin = time.monotonic()
        self._there.wait()
        return time.monotonic() - begin

    def ask(self, what: str, *values: Any) -> msgspec.Raw:
        """Return what comes of a request, however long the connection is away.

        Raises
        ------
        AdaptiveSchedulerError, OSError
            What it raised there; FarHostError if this link was closed meanwhile.
        """
        if self._closing.is_set():
            return self._ask_once(what, values)
        while True:
            self._there.wait()
            try:
                return self.try_ask(what, *values)
            except LostConnectionError as error:
                if self._closing.is_set():
                    raise FarHostError(f"The connection to {self._place} is closed.") from error

    def _ask_once(self, what: str, values: Sequence[Any]) -> msgspec.Raw:
        """Connect for one request: files of a run are read after its driver has ended, too."""
        session = self._connect()
        try:
            return value_of(session.ask(what, values))
        except LostConnectionError:
            raise FarHostError(session.why_lost()) from None
        finally:
            session.end()

    def try_ask(self, what: str, *values: Any) -> msgspec.Raw:
        """Return what comes of a request; LostConnectionError if there is no connection."""
        with self._lock:
            session = self._session
            if session is None or self._closing.is_set():
                raise NoConnectionError(self._reason)
        try:
            return value_of(session.ask(what, values))
        except LostConnectionError:
            self._lose(session)
            raise

    def _lose(self, session: FarSession) -> None:
        """Take up another one; of all who waited for this one, the first is who sees to it."""
        with self._lock:
            if session is not self._session:
                return
            self._there.clear()
            self._reason = session.why_lost()
            self._session = None
            if self._closing.is_set():
                self._there.set()

    # ------------------------------------------------------------------- its thread

    def _keep(self) -> None:
        complaint = ""
        while not self._closing.wait(LOOK):
            if not self._there.is_set():
                self._take_up_again()
                continue
            try:
                self._look()
                complaint = ""
            except LostConnectionError:
                continue
            except (AdaptiveSchedulerError, OSError) as error:
                # as of a port that is not let through, or of disks that are away there
                if str(error) != complaint and not self._closing.is_set():
                    self._report(_tried_again(error))
                complaint = str(error)

    def _take_up_again(self) -> None:
        begin = time.monotonic()
        self._report(
            f"the connection to {self._place} is lost: {self._reason.rstrip('.')}. It is taken up "
            "again as soon as it can be; tasks go on there meanwhile."
        )
        for n in itertools.count():
            try:
                session = self._connect()
                break
            except (AdaptiveSchedulerError, OSError) as error:
                if str(error) != self._reason:
                    self._report(_tried_again(error))
                self._reason = str(error)
            if self._closing.wait(min(FIRST_PAUSE * 2**n, LONGEST_PAUSE)):
                return
        with self._lock:
            if self._closing.is_set():
                session.end()
                return
            self._session = session
            self._there.set()  # before anybody can lose it: who waits would be told of one that is gone
        self._report(
            f"the connection to {self._place} is there again, after {time.monotonic() - begin:.0f} s."
        )

    def close(self) -> None:
        """End it; who waits for an answer gets FarHostError."""
        self._closing.set()
        self._there.set()
        if (session := self._session) is not None:
            session.stop()
        with self._lock:
            if self._session is not None:
                self._session.end()
                self._session = None
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(LAST_WAIT)


def _tried_again(error: Exception) -> str:
    return f"{str(error).rstrip('.')}. It is tried again."


def value_of(answer: FarAnswer) -> msgspec.Raw:
    """Return what an answer brings, or raise what it brings."""
    if answer.failure is not None:
        raise _error_of(answer.failure)
    return answer.value


def failure_of(error: BaseException) -> FarFailure:
    """Return an error of this package, or of the system, as it travels."""
    if isinstance(error, errors.AdaptiveSchedulerError):
        made = error.__reduce__()
        values = made[1] if isinstance(made, tuple) else (str(error),)
        return FarFailure(type(error).__name__, [_text(one) for one in values])
    if isinstance(error, OSError):
        known = error.errno, error.strerror, error.filename
        values = [one if one is None or isinstance(one, int) else _text(one) for one in known]
        return FarFailure("OSError", values)
    return FarFailure("FarHostError", [f"{type(error).__name__} there: {_text(error)}"])


def _text(one: object) -> str:
    """What can be sent: names of files may have letters that are none."""
    text = os.fsdecode(one) if isinstance(one, bytes) else str(one)
    return text.encode(errors="backslashreplace").decode()


def _error_of(failure: FarFailure) -> Exception:
    if failure.kind == "OSError":
        return OSError(*failure.values)
    made = getattr(errors, failure.kind, None)
    if not (isinstance(made, type) and issubclass(made, errors.AdaptiveSchedulerError)):
        return FarHostError(": ".join(map(str, failure.values)))
    try:
        return made(*failure.values)
    except TypeError:  # its arguments have changed
        return FarHostError(": ".join(map(str, failure.values)))
