"""What waits to be sent to the manager: a bounded buffer, so that who submits too fast must wait."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.wire.messages import Request
from adaptive_scheduler.core.wire.tasks import NewTask, Withdraw

#: Calls and bytes of one message.
MOST_CALLS, MOST_BYTES = 1000, 2**19
#: Calls and bytes that wait to be sent, at most: then `submit` waits.
MOST_WAITING, MOST_WAITING_BYTES = 50_000, 64 * 2**20

#: Makes requests when its turn has come: by then all that was submitted before has its id.
Requests = Callable[[], Iterable[Request]]


class Outgoing(NamedTuple):
    """A task to be submitted, the futures for which it waits, and its own.

    `data`: bytes of the function that is sent before it.
    """

    call: NewTask
    resources: TaskResources
    after: tuple[Any, ...]
    future: Any
    data: int = 0

    @property
    def is_ready(self) -> bool:
        """Whether all for which it waits have their ids, or never will."""
        return all(other.number is not None or other.done() for other in self.after)


class Outbox:
    """Tasks and requests in their order. Any number of threads put, one takes."""

    def __init__(self) -> None:
        self._entries: deque[Outgoing | Requests] = deque()
        self._changed = threading.Condition()
        self._bytes = 0
        self._is_closed = False
        self._sender = 0
        self._withdrawn: list[int] = []

    def note_sender(self) -> None:
        """Tell that this thread takes: it never waits for itself."""
        self._sender = threading.get_ident()

    def put(self, entry: Outgoing | Requests) -> bool:
        """Add something; wait while too much is here. False: it is closed.

        Not for the sender: what it was sending then may need one request more.
        """
        with self._changed:
            while self._is_full() and not self._is_closed:
                self._changed.wait()
            if self._is_closed and threading.get_ident() != self._sender:
                return False
            self._entries.append(entry)
            self._bytes += _size(entry)
            if len(self._entries) == 1:
                self._changed.notify_all()
            return True

    def withdraw(self, item: int) -> None:
        """Cancel a task, in one request with all that are cancelled before that is sent."""
        with self._changed:
            self._withdrawn.append(item)
            is_first = len(self._withdrawn) == 1
        if is_first:
            self.put(self._withdraw)

    def _withdraw(self) -> Iterable[Request]:
        with self._changed:
            items, self._withdrawn = self._withdrawn, []
        for n in range(0, len(items), MOST_CALLS):
            yield Withdraw(items[n : n + MOST_CALLS])

    def _is_full(self) -> bool:
        is_full = len(self._entries) >= MOST_WAITING or self._bytes >= MOST_WAITING_BYTES
        return is_full and threading.get_ident() != self._sender

    def take(self) -> list[Outgoing] | Requests | None:
        """Wait for something: tasks for one message, or a request; None at the end."""
        with self._changed:
            while not self._entries:
                if self._is_closed:
                    return None
                self._changed.wait()
            first = self._entries.popleft()
            if not isinstance(first, Outgoing):
                self._changed.notify_all()
                return first
            taken = [first]
            size = _size(first)
            while self._entries and len(taken) < MOST_CALLS and size < MOST_BYTES:
                following = self._entries[0]
                if not isinstance(following, Outgoing) or not following.is_ready:
                    break
                taken.append(following)
                self._entries.popleft()
                size += _size(following)
            self._bytes -= size
            self._changed.notify_all()
            return taken

    def close(self) -> None:
        """Take nothing more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def drop(self) -> list[Any]:
        """Return the futures of all that was not sent."""
        with self._changed:
            entries, self._entries = self._entries, deque()
            self._bytes = 0
            self._changed.notify_all()
        return [entry.future for entry in entries if isinstance(entry, Outgoing)]


def _size(entry: Outgoing | Requests) -> int:
    if not isinstance(entry, Outgoing):
        return 0
    call = entry.call
    texts = len(call.key) + len(call.name) + len(call.tag)
    return entry.data + len(call.spec) + texts + 9 * len(entry.after) + 200
