"""The thread that sends a session's requests to the manager."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from adaptive_scheduler.client.session import Sending, Session
from adaptive_scheduler.core.config import Timing
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.texts import sanitize_message
from adaptive_scheduler.core.wire.messages import Owner, Reply, Report, Request
from adaptive_scheduler.errors import (
    AdaptiveSchedulerError,
    FileError,
    ManagerUnreachableError,
    PermissionsError,
)
from adaptive_scheduler.io.storage import files
from adaptive_scheduler.io.transport.connection import Connection

#: Seconds between two looks around while there is nothing to say.
_LOOK = 0.5
#: Seconds of silence before the first complaint: a manager that is started anew is no fault.
_FIRST_COMPLAINT = 5.0
#: Seconds between two complaints of one job: each is a write to a shared file system.
_COMPLAINT = 60.0


class ManagerLink:
    """A client's talk with the manager: heartbeats by themselves, requests when asked.

    Its thread is the only user of the connection.

    Parameters
    ----------
    folder : RunFolder
        Of the run.
    owner : Owner
        Who speaks.
    timing : Timing
        Until the manager tells its own.
    met : callable
        Told, in the thread, of each manager that answers for the first time: its url, host,
        pid and instance, and for how long (seconds) no manager had been heard, as ``away``.
    """

    def __init__(
        self,
        folder: RunFolder,
        owner: Owner,
        timing: Timing,
        met: Callable[..., object] = lambda **_: None,
    ) -> None:
        self._folder = folder
        self.owner = owner
        self._met = met
        self._manager = ""
        self._session = Session(timing, time.monotonic(), lambda: random.uniform(0.8, 1.2))  # noqa: S311
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._fault: AdaptiveSchedulerError | None = None
        self._complaint = folder.complaints / owner.job.replace(os.sep, "_")
        self._complained = float("-inf")
        self._has_complaint = True  # perhaps of a former client of this job
        self._thread = threading.Thread(target=self._talk, name="heartbeat", daemon=True)

    def __enter__(self) -> ManagerLink:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop talking, whatever has not been answered."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(2.0)  # one that still waits for an answer dies with the process

    # ------------------------------------------------------------- for other threads

    def say(self, body: Request) -> int:
        """Hand over a request that is sent until it is answered; a ticket for `wait`."""
        with self._changed:
            ticket = self._session.say(sanitize_message(body), time.monotonic())
            self._changed.notify_all()
            return ticket

    def wait(
        self, ticket: int, patience: float, gives_up: Callable[[], bool] = lambda: False
    ) -> Reply | None:
        """Wait for an answer.

        Parameters
        ----------
        ticket : int
            From `say`.
        patience : float
            Seconds that the manager may be silent.
        gives_up : callable
            Asked now and then; True gives the request up.

        Returns
        -------
        Reply or None
            None if it was given up, or the manager was silent for too long.

        Raises
        ------
        AdaptiveSchedulerError
            No answer can be understood, or keys are missing: waiting makes no sense.
        """
        end = time.monotonic() + patience
        with self._changed:
            while True:
                reply = self._session.reply(ticket)
                if reply is not None:
                    return reply
                if self._fault is not None:
                    raise self._fault
                if not self._thread.is_alive():
                    raise ManagerUnreachableError("the talk with the manager has ended.")
                if gives_up() or time.monotonic() > end:
                    self._session.unsay(ticket)
                    return None
                self._changed.wait(min(_LOOK, max(0.0, end - time.monotonic()) + 0.01))

    def await_lease(self, patience: float, gives_up: Callable[[], bool]) -> bool:
        """Wait until the item is surely ours: a manager that was away for long may answer late.

        A learner that ends at once could not be saved otherwise.

        Parameters
        ----------
        patience : float
            Seconds; then the item may be begun all the same.
        gives_up : callable
            Asked now and then.

        Returns
        -------
        bool
            False if it was given up.
        """
        end = time.monotonic() + patience
        with self._changed:
            while (now := time.monotonic()) < end and self._session.refusal is None:
                if self._session.is_lease_good(now) or not self._thread.is_alive():
                    break
                if gives_up():
                    return False
                self._changed.wait(min(_LOOK, end - now))
        return True

    def ask(
        self, body: Request, patience: float, gives_up: Callable[[], bool] = lambda: False
    ) -> Reply | None:
        """`say`, then `wait`."""
        return self.wait(self.say(body), patience, gives_up)

    @property
    def timing(self) -> Timing:
        """As the manager told it."""
        return self._session.timing

    def tell(self, report: Report) -> None:
        """How far the item is; people see it after the next heartbeat."""
        with self._changed:
            self._session.tell(report, time.monotonic())
            self._changed.notify_all()

    def refusal(self) -> str | None:
        """The code with which the manager took the item back; None as long as it has not."""
        refusal = self._session.refusal
        return None if refusal is None else refusal.code

    def is_lease_good(self) -> bool:
        """Whether no other client can have the item by now."""
        return self._session.is_lease_good(time.monotonic())

    @property
    def has_broken(self) -> bool:
        """Whether no further word is possible."""
        return self._fault is not None or not self._thread.is_alive()

    def silence(self) -> float:
        """Seconds since the manager was last heard."""
        return self._session.silence(time.monotonic())

    def away(self) -> float:
        """Seconds since the manager was first asked in vain; 0 as long as it answers."""
        return self._session.away(time.monotonic())

    # ------------------------------------------------------------- the thread

    def _talk(self) -> None:
        connection = Connection(self._folder)
        try:
            while not self._closing.is_set():
                sending = self._next(connection)
                if sending is not None:
                    self._send(connection, sending)
        except AdaptiveSchedulerError as error:  # a key, a version: no later try is better
            self._fault = error
        finally:
            connection.close()
            with self._changed:
                self._changed.notify_all()

    def _next(self, connection: Connection) -> Sending | None:
        # not under the lock: a file system may hang, and others want to speak
        has_moved = self.silence() > _LOOK and connection.has_moved()
        with self._changed:
            now = time.monotonic()
            if has_moved:
                self._session.manager_moved(now)
            sending = self._session.next(now)
            if sending is None:
                self._changed.wait(max(0.0, min(self._session.due() - now, _LOOK)))
            return sending

    def _send(self, connection: Connection, sending: Sending) -> None:
        try:
            reply = connection.ask(self.owner, sending.number, sending.body, sending.timeout)
        except PermissionsError:
            raise
        except (ManagerUnreachableError, FileError) as error:
            with self._changed:
                self._session.unanswered(sending)
            self._complain(str(error))
            return
        with self._changed:
            away = self.silence()
            self._session.answered(sending, reply, time.monotonic())
            self._changed.notify_all()
        self._note_manager(connection, away)
        if self._has_complaint:
            self._has_complaint, self._complained = False, float("-inf")
            with suppress(OSError):
                self._complaint.unlink()

    def _note_manager(self, connection: Connection, away: float) -> None:
        """Tell of a manager that has not answered before."""
        peer = connection.peer
        if peer is not None and peer[1].instance != self._manager:
            url, address = peer
            self._manager = address.instance
            self._met(
                url=url, host=address.host, manager=address.pid, instance=address.instance,
                away=round(away, 3),
            )  # fmt: skip

    def _complain(self, text: str) -> None:
        """Leave a word where `status` finds it: the network may be the fault."""
        is_soon = self.silence() < _FIRST_COMPLAINT
        if is_soon or time.monotonic() < self._complained + _COMPLAINT:
            return
        self._complained, self._has_complaint = time.monotonic(), True
        with suppress(FileError, OSError):  # nobody is left to be told
            self._complaint.parent.mkdir(mode=0o700, exist_ok=True)
            line = f"{time.strftime('%F %T')} host {os.uname().nodename}: {text}\n"
            files.write_atomically(self._complaint, line.encode(), mode=0o600)
