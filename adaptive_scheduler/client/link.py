"""The thread that sends a session's requests to the manager, and how long a client waits for it."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType

from adaptive_scheduler.client.session import Sending, Session
from adaptive_scheduler.core.config import Timing
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.texts import sanitize_message
from adaptive_scheduler.core.wire.messages import Goodbye, Owner, Reply, Report, Request
from adaptive_scheduler.errors import (
    AdaptiveSchedulerError,
    FileError,
    ManagerUnreachableError,
    PermissionsError,
)
from adaptive_scheduler.io.system.complaints import Complaint
from adaptive_scheduler.io.transport import offline_goodbyes
from adaptive_scheduler.io.transport.connection import Connection

#: Seconds that a client with nothing to compute waits for a manager: it keeps cores from others.
IDLE_PATIENCE = 600.0
#: Seconds that a job that starts waits for a manager that another job has already given up: long
#: enough for one that lives.
BRIEF_PATIENCE = 3.0
#: Seconds that a client that must end waits for the answer to its last request.
FINAL_TIMEOUT = 5.0
#: The same where the manager has been away for long.
SHORT_FINAL_TIMEOUT = 1.0
#: Seconds between two checks, while there is nothing to send, whether there is a new manager.
_CHECK_INTERVAL = 0.5


class ManagerLink:
    """A client's link to the manager: sends heartbeats by itself, and requests when asked to.

    Its thread is the only user of the connection.

    Parameters
    ----------
    folder : RunFolder
        Of the run.
    owner : Owner
        The sender of all requests.
    timing : Timing
        Until the manager's welcome has its own.
    on_manager : callable
        Called in the thread when a manager answers for the first time: with its url, host, pid
        and instance, and for how many seconds no manager had answered, as ``away``.
    """

    def __init__(
        self,
        folder: RunFolder,
        owner: Owner,
        timing: Timing,
        on_manager: Callable[..., object] = lambda **_: None,
    ) -> None:
        self._folder = folder
        self.owner = owner
        self._on_manager = on_manager
        self._manager = ""
        self._session = Session(timing, time.monotonic(), lambda: random.uniform(0.8, 1.2))  # noqa: S311
        self._changed = threading.Condition()
        self._is_closing = threading.Event()
        self._fault: AdaptiveSchedulerError | None = None
        self._complaint = Complaint(folder, owner.job)
        self._thread = threading.Thread(target=self._serve, name="heartbeat", daemon=True)

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
        """End the thread, whatever has not been answered."""
        self._is_closing.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(2.0)  # one that still waits for an answer dies with the process

    # ------------------------------------------------------------- for other threads

    def send(self, body: Request) -> int:
        """Send a request until it is answered; returns at once, with a ticket for `wait`."""
        with self._changed:
            ticket = self._session.request(sanitize_message(body), time.monotonic())
            self._changed.notify_all()
            return ticket

    def wait(
        self, ticket: int, patience: float, gives_up: Callable[[], bool] = lambda: False
    ) -> Reply | None:
        """Wait for an answer.

        Parameters
        ----------
        ticket : int
            From `send`.
        patience : float
            Seconds that the manager may be silent.
        gives_up : callable
            Called now and then; if it returns True, the request is withdrawn.

        Returns
        -------
        Reply or None
            None if it was withdrawn, or the manager was silent for too long.

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
                    raise ManagerUnreachableError("the link to the manager has ended.")
                if gives_up() or time.monotonic() > end:
                    self._session.withdraw(ticket)
                    return None
                self._changed.wait(min(_CHECK_INTERVAL, max(0.0, end - time.monotonic()) + 0.01))

    def await_lease(self, patience: float, gives_up: Callable[[], bool]) -> bool:
        """Wait until the lease on the item is good: an answer that came late brings an old one.

        A learner that ends at once could not be saved without it.

        Parameters
        ----------
        patience : float
            Seconds; then the item may be begun all the same.
        gives_up : callable
            Called now and then; True ends the waiting.

        Returns
        -------
        bool
            False if `gives_up` ended it.
        """
        end = time.monotonic() + patience
        with self._changed:
            while (now := time.monotonic()) < end and self._session.refusal is None:
                if self._session.is_lease_good(now) or not self._thread.is_alive():
                    break
                if gives_up():
                    return False
                self._changed.wait(min(_CHECK_INTERVAL, end - now))
        return True

    def ask(
        self, body: Request, patience: float, gives_up: Callable[[], bool] = lambda: False
    ) -> Reply | None:
        """`send`, then `wait`."""
        return self.wait(self.send(body), patience, gives_up)

    def say_goodbye(self, goodbye: Goodbye, *, gave_up: bool = False) -> None:
        """Send a goodbye; if nobody answers, leave it in a file for the next manager.

        Without it the next manager would take a job that left in good order for one that crashed.

        Parameters
        ----------
        goodbye : Goodbye
        gave_up : bool
            The client leaves because the manager was away for too long.
        """
        if self.ask(goodbye, SHORT_FINAL_TIMEOUT if gave_up else FINAL_TIMEOUT) is not None:
            return
        try:
            offline_goodbyes.write_goodbye(
                self._folder, self.owner, goodbye.reason, goodbye.broken, gave_up
            )
        except FileError as error:
            print(f"adaptive_scheduler: {error}", file=sys.stderr)

    @property
    def timing(self) -> Timing:
        """As the manager has set it."""
        return self._session.timing

    def report(self, report: Report) -> None:
        """Report how far the item is; people see it after the next heartbeat."""
        with self._changed:
            self._session.set_report(report, time.monotonic())
            self._changed.notify_all()

    def refusal(self) -> str | None:
        """The code with which the manager took the item back; None as long as it has not."""
        refusal = self._session.refusal
        return None if refusal is None else refusal.code

    def is_lease_good(self) -> bool:
        """Whether no other client can have the item by now."""
        return self._session.is_lease_good(time.monotonic())

    @property
    def is_broken(self) -> bool:
        """Whether nothing more can be sent."""
        return self._fault is not None or not self._thread.is_alive()

    def silence(self) -> float:
        """Seconds since the last answer."""
        return self._session.silence(time.monotonic())

    def away(self) -> float:
        """Seconds since the first try that got no answer; 0 as long as the manager answers."""
        return self._session.away(time.monotonic())

    # ------------------------------------------------------------- the thread

    def _serve(self) -> None:
        connection = Connection(self._folder)
        try:
            while not self._is_closing.is_set():
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
        # not under the lock: a file system may hang, and other threads need the session
        has_moved = self.silence() > _CHECK_INTERVAL and connection.has_moved()
        with self._changed:
            now = time.monotonic()
            if has_moved:
                self._session.manager_moved(now)
            sending = self._session.next(now)
            if sending is None:
                self._changed.wait(max(0.0, min(self._session.due() - now, _CHECK_INTERVAL)))
            return sending

    def _send(self, connection: Connection, sending: Sending) -> None:
        try:
            reply = connection.ask(self.owner, sending.number, sending.body, sending.timeout)
        except PermissionsError:
            raise
        except (ManagerUnreachableError, FileError) as error:
            with self._changed:
                self._session.unanswered(sending)
            self._complaint.make(str(error), self.silence())
            return
        with self._changed:
            away = self.silence()
            self._session.answered(sending, reply, time.monotonic())
            self._changed.notify_all()
        self._note_manager(connection, away)
        self._complaint.withdraw()

    def _note_manager(self, connection: Connection, away: float) -> None:
        """Notice a manager that has not answered before."""
        peer = connection.peer
        if peer is not None and peer[1].instance != self._manager:
            url, address = peer
            self._manager = address.instance
            self._on_manager(
                url=url, host=address.host, manager=address.pid, instance=address.instance,
                away=round(away, 3),
            )  # fmt: skip


# ------------------------------------------------------------- how long it waits


def idle_patience(timing: Timing) -> float:
    """Seconds that a client with nothing to compute waits for the manager."""
    return min(IDLE_PATIENCE, timing.client_patience)


def first_patience(folder: RunFolder, timing: Timing) -> float:
    """Seconds that a client waits for its first answer from a manager.

    A dead manager cannot cancel the jobs that wait in the queue: they start one after the
    other, and must not keep their cores each as long as the first that found nobody.
    """
    patience = idle_patience(timing)
    return (
        min(patience, BRIEF_PATIENCE) if offline_goodbyes.is_manager_given_up(folder) else patience
    )


def away_for_too_long(timing: Timing) -> str:
    """Why a client leaves whose patience is over; for people."""
    return f"the manager was away for longer than client_patience ({timing.client_patience:g} s)"
