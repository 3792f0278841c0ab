"""The driver's two conversations with the manager: one submits, one collects."""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.wire.messages import Owner, Refused, Reply, Request
from adaptive_scheduler.core.wire.tasks import (
    Call,
    Collect,
    Ended,
    PutFunction,
    Results,
    Submit,
    Submitted,
)
from adaptive_scheduler.errors import FileError, ManagerUnreachableError, RequestRefusedError
from adaptive_scheduler.io.transport.connection import Connection

#: Calls and bytes of one Submit.
MOST_CALLS, MOST_BYTES = 1000, 2**19
#: Seconds that a Collect waits in the manager.
WAIT = 20.0
#: Seconds between two tries to reach a manager that is away.
PAUSE = 0.5


class Channel:
    """One connection to the manager, by which one request after the other is sent until answered."""

    def __init__(self, folder: RunFolder, stop: int) -> None:
        host = socket.gethostname()
        self._me = Owner(f"driver:{host}:{os.getpid()}", 0, 0, uuid.uuid4().hex)
        self._connection = Connection(folder)
        self._number = 0
        self._stop = stop

    def ask(self, body: Request, timeout: float = 10.0) -> Reply | None:
        """Return the answer; None if the driver stops.

        Raises
        ------
        RequestRefusedError
        """
        while True:
            self._number += 1
            try:
                reply = self._connection.ask_unless(
                    self._stop, self._me, self._number, body, timeout
                )
            except (ManagerUnreachableError, FileError):
                time.sleep(PAUSE)
                continue
            if isinstance(reply, Refused):
                raise RequestRefusedError(reply.code, reply.reason)
            return reply

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Outgoing:
    """Something to be sent, and who is told of the answer."""

    __slots__ = ("calls", "futures", "request")

    def __init__(self, request: Request | None, calls: list[Any], futures: list[Any]) -> None:
        self.request = request
        self.calls = calls
        self.futures = futures


class Driver:
    """Submits tasks and collects their results, in two threads.

    Parameters
    ----------
    folder : RunFolder
    submitted : callable
        Given futures and the ids of their tasks.
    ended : callable
        Given each `Ended`.
    failed : callable
        Given futures that were refused, and the error.
    """

    def __init__(
        self,
        folder: RunFolder,
        submitted: Callable[[list[Any], list[int]], None],
        ended: Callable[[list[Ended]], None],
        failed: Callable[[list[Any], Exception], None],
    ) -> None:
        self._submitted, self._ended, self._failed = submitted, ended, failed
        self._stop = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._folder = folder
        self._waiting: deque[tuple[Call, TaskResources, Any]] = deque()
        self._requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._functions: dict[str, bytes] = {}
        self._sent_functions: set[str] = set()
        self._run = uuid.uuid4().hex
        self._batch = 0
        self._idle = threading.Event()
        self.fault: Exception | None = None
        self._threads = [
            threading.Thread(target=self._guard, args=(what,), name=name, daemon=True)
            for name, what in (("task sender", self._send), ("result collector", self._collect))
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, call: Call, resources: TaskResources, future: Any) -> None:
        """Send a task soon; those that come meanwhile go with it."""
        self._waiting.append((call, resources, future))
        self._requests.put(None)

    def put_function(self, key: str, data: bytes) -> None:
        """Let tasks call this function."""
        self._functions[key] = data

    def send(self, request: Request) -> None:
        """Send a request behind all that was submitted before."""
        self._requests.put(request)

    def close(self, patience: float = 10.0) -> None:
        """Send what is left, and end."""
        self._requests.put(_END)
        self._threads[0].join(patience)
        os.eventfd_write(self._stop, 1)
        self._threads[1].join(patience)

    def _guard(self, what: Callable[[Channel], None]) -> None:
        channel = Channel(self._folder, self._stop)
        try:
            what(channel)
        except Exception as error:  # noqa: BLE001  told to who waits for results
            self.fault = error
            self._failed([], error)
        finally:
            channel.close()

    # ------------------------------------------------------------------- the sender

    def _send(self, channel: Channel) -> None:
        while True:
            request = self._requests.get()
            if request is None:
                self._send_calls(channel)
            elif request is _END:
                self._send_calls(channel)
                return
            else:
                self._send_calls(channel)
                channel.ask(request)

    def _send_calls(self, channel: Channel) -> None:
        while self._waiting:
            taken: list[tuple[Call, TaskResources, Any]] = []
            size = 0
            while self._waiting and len(taken) < MOST_CALLS and size < MOST_BYTES:
                taken.append(self._waiting.popleft())
                size += len(taken[-1][0].spec)
            self._send_functions(channel, {call.function for call, _, _ in taken})
            resources = list({resources: None for _, resources, _ in taken})
            numbers = {one: number for number, one in enumerate(resources)}
            calls = [
                call if numbers[one] == 0 else _with_resources(call, numbers[one])
                for call, one, _ in taken
            ]
            self._batch += 1
            futures = [future for _, _, future in taken]
            try:
                reply = channel.ask(Submit(f"{self._run}:{self._batch}", resources, calls))
            except RequestRefusedError as error:
                self._failed(futures, error)
                continue
            if isinstance(reply, Submitted):
                self._submitted(futures, reply.items)

    def _send_functions(self, channel: Channel, keys: set[str]) -> None:
        for key in keys - self._sent_functions - {""}:
            data = self._functions[key]
            parts = [data[n : n + MOST_BYTES] for n in range(0, len(data), MOST_BYTES)] or [b""]
            for number, part in enumerate(parts):
                channel.ask(PutFunction(key, number, len(parts), part))
            self._sent_functions.add(key)

    # ------------------------------------------------------------------- the collector

    def _collect(self, channel: Channel) -> None:
        seen = 0
        while True:
            reply = channel.ask(Collect(seen, WAIT), WAIT + 1.0)
            if reply is None:
                return
            assert isinstance(reply, Results), reply
            seen = reply.upto
            if reply.ended:
                self._ended(reply.ended)


_END: Any = object()


def _with_resources(call: Call, number: int) -> Call:
    import msgspec

    return msgspec.structs.replace(call, resources=number)
