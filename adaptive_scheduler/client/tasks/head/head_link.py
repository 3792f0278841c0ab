"""The head's conversation with the manager: a thread that carries one report at a time."""

from __future__ import annotations

import os
import selectors
import threading
import time
from collections import deque
from contextlib import suppress

import msgspec

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.tasks.place import NodeInventory
from adaptive_scheduler.core.wire.messages import Goodbye, Hello, Owner, Refused, Reply, Welcome
from adaptive_scheduler.core.wire.tasks import Trade, Work
from adaptive_scheduler.errors import FileError, ManagerUnreachableError, RequestRefusedError
from adaptive_scheduler.io.system.complaints import Complaint
from adaptive_scheduler.io.transport import offline_goodbyes
from adaptive_scheduler.io.transport.connection import Connection

#: Seconds between two tries to reach a manager that is away.
PAUSE = 0.5
#: Seconds that the answer to a Hello and to a Goodbye may take.
HELLO_TIMEOUT, GOODBYE_TIMEOUT = 5.0, 2.0
#: Seconds for which nothing newer is sent while a report is under way that is answered at once: on a
#: slow disk the manager takes longer for an answer than it takes until the next task ends.
ANSWER = 3.0


class HeadLink:
    """A thread that carries the newest Trade to the manager, and its answers back.

    Parameters
    ----------
    folder : RunFolder
    owner : Owner
    hello : Hello
        Said to each manager that does not know this head, until `introduce` brings a newer one.

    Attributes
    ----------
    answered : int
        File descriptor that becomes readable when an answer has come.
    answers : deque of Work
    fault : Exception or None
        What ended the thread.
    """

    def __init__(self, folder: RunFolder, owner: Owner, hello: Hello) -> None:
        self.answered = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.answers: deque[Work] = deque()
        self.fault: Exception | None = None
        self._to = folder, owner, hello
        self._number = 0
        self._next: Trade | Goodbye | None = None
        self._away_since: float | None = None
        self._lock = threading.Lock()
        self._posted = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._guard, name="manager link", daemon=True)
        self._thread.start()

    def post(self, trade: Trade | Goodbye) -> None:
        """Send this, in place of what is under way; what that alone would have told goes along."""
        with self._lock:
            former = self._next
            if isinstance(former, Trade) and isinstance(trade, Trade) and former.begun:
                trade = msgspec.structs.replace(trade, begun=[*former.begun, *trade.begun])
            self._next = trade
        os.eventfd_write(self._posted, 1)

    def introduce(self, nodes: list[NodeInventory]) -> None:
        """Tell managers that come later that there is this."""
        folder, owner, hello = self._to
        cores = sum(len(node.cores) for node in nodes)
        self._to = folder, owner, msgspec.structs.replace(hello, ranks=cores, inventory=list(nodes))

    def away_for(self) -> float:
        """Seconds since the manager was first not reached; 0 while it answers."""
        since = self._away_since
        return 0.0 if since is None else time.monotonic() - since

    def close(self, goodbye: Goodbye, patience: float, *, gave_up: bool = False) -> None:
        """Say goodbye; if no manager hears it, leave it in a file for the next one."""
        self.post(goodbye)
        self._thread.join(patience)
        if self._thread.is_alive():
            folder, owner, _ = self._to
            with suppress(FileError):  # then the next manager learns it from the queue
                offline_goodbyes.write_goodbye(
                    folder, owner, goodbye.reason, goodbye.broken, gave_up
                )

    # ------------------------------------------------------------------- in the thread

    def _guard(self) -> None:
        connection = Connection(self._to[0])
        try:
            self._carry(connection)
        except Exception as error:  # noqa: BLE001  the top of a thread: handed to the main one
            self.fault = error
            os.eventfd_write(self.answered, 1)
        finally:
            connection.close()

    def _carry(self, connection: Connection) -> None:
        poll = selectors.DefaultSelector()
        poll.register(self._posted, selectors.EVENT_READ)
        complaint, is_greeted = Complaint(self._to[0], self._to[1].job), False
        while True:
            poll.select()
            while (trade := self._take_next()) is not None:
                try:
                    if not is_greeted:
                        self._greet(connection)
                        is_greeted = True
                    reply = self._ask(connection, trade)
                except (ManagerUnreachableError, FileError) as error:
                    self._note_away()
                    complaint.make(str(error), self.away_for())
                    continue
                if reply is not None:
                    self._away_since = None
                    complaint.withdraw()
                if isinstance(trade, Goodbye):
                    return
                is_greeted = self._take_reply(trade, reply)

    def _take_next(self) -> Trade | Goodbye | None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._posted)
        with self._lock:
            return self._next

    def _note_away(self) -> None:
        if self._away_since is None:
            self._away_since = time.monotonic()
        time.sleep(PAUSE)

    def _ask(self, connection: Connection, trade: Trade | Goodbye) -> Reply | None:
        """Return the answer; None if something newer is to be sent."""
        self._number += 1
        owner = self._to[1]
        if isinstance(trade, Goodbye):
            return connection.ask(owner, self._number, trade, GOODBYE_TIMEOUT)
        is_answered_at_once = bool(trade.ended) or trade.wait <= 0
        return connection.ask_unless(
            self._posted, owner, self._number, trade, trade.wait + 1.0,
            ANSWER if is_answered_at_once else 0.0,
        )  # fmt: skip

    def _take_reply(self, trade: Trade, reply: Reply | None) -> bool:
        """Take in an answer; returns whether this manager knows the head."""
        if isinstance(reply, Work):
            with self._lock:
                if self._next is trade:
                    self._next = None
            self.answers.append(reply)
            os.eventfd_write(self.answered, 1)
        elif isinstance(reply, Refused):
            if reply.code != "unknown_head":
                raise RequestRefusedError(reply.code, reply.reason)
            return False
        return True

    def _greet(self, connection: Connection) -> None:
        _, owner, hello = self._to
        self._number += 1
        reply = connection.ask(owner, self._number, hello, HELLO_TIMEOUT)
        if isinstance(reply, Refused):
            raise RequestRefusedError(reply.code, reply.reason)
        assert isinstance(reply, Welcome), reply
