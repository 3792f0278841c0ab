"""The driver's two conversations with the manager: one submits, one collects."""

from __future__ import annotations

import itertools
import os
import select
import socket
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from typing import Any, Protocol

import msgspec

from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.wire.messages import Owner, Refused, Reply, Request
from adaptive_scheduler.core.wire.tasks import (
    Collect,
    Fetch,
    Fetched,
    NewTask,
    PutFunction,
    RefusedTask,
    Results,
    Submit,
    TaskResult,
    TasksSubmitted,
)
from adaptive_scheduler.errors import FileError, ManagerUnreachableError, RequestRefusedError
from adaptive_scheduler.io.transport.connection import Connection
from adaptive_scheduler.io.transport.whereabouts import Whereabouts
from adaptive_scheduler.runs.driver.outbox import MOST_BYTES, MOST_CALLS, Outbox, Outgoing

#: Seconds that a Collect waits in the manager.
WAIT = 20.0
#: Seconds between two tries to reach a manager that is away.
PAUSE = 0.5
#: Seconds between two looks, at the end, whether there is a manager that could answer.
LOOK = 0.1
#: Refusals of tasks that may be taken when they are sent once more.
_MAY_COME_AGAIN = frozenset({"unknown_function", "refused_before"})


class Channel:
    """One connection to the manager, by which one request after the other is sent until answered.

    Parameters
    ----------
    where : Whereabouts
        Says where the manager is.
    stop : int
        File descriptor that becomes readable when the driver stops.
    """

    def __init__(self, where: Whereabouts, stop: int) -> None:
        host = socket.gethostname()
        self._me = Owner(f"driver:{host}:{os.getpid()}", 0, 0, uuid.uuid4().hex)
        self._connection = Connection(where)
        self._number = 0
        self._stop = stop

    def ask(self, body: Request, timeout: float = 10.0) -> Reply | None:
        """Return the answer, however long the manager is away; None if the driver stops.

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
                if select.select([self._stop], [], [], PAUSE)[0]:
                    return None
                continue
            if isinstance(reply, Refused):
                raise RequestRefusedError(reply.code, reply.reason)
            return reply

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Listener(Protocol):
    """Who is told what the manager says, by either thread."""

    def is_sending(self, futures: list[Any]) -> bool:
        """Tasks are about to be submitted; returns whether they are to be."""

    def submitted(self, futures: list[Any], items: list[int]) -> None:
        """Take the ids of tasks."""

    def ended(self, ended: list[TaskResult]) -> None:
        """Take ends."""

    def failed(self, futures: list[Any], error: Exception) -> None:
        """Take back futures that were refused."""

    def broken(self, error: Exception) -> None:
        """Nothing more will come."""


class Driver:
    """Submits tasks and collects their results, in two threads.

    Parameters
    ----------
    where : Whereabouts
        Says where the manager is.
    listener : Listener
    """

    def __init__(self, where: Whereabouts, listener: Listener) -> None:
        self._listener = listener
        self._position = threading.Event()  # set when the collector knows from where it collects
        self._stop = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._where = where
        self.outbox = Outbox()
        self._functions: dict[str, bytes] = {}
        self._sent_functions: set[str] = set()
        self._uncounted: set[str] = set()  # functions that came with no task yet
        self._batches = (f"{uuid.uuid4().hex}:{n}" for n in itertools.count())
        self._threads = [
            threading.Thread(target=self._guard, args=(what,), name=name, daemon=True)
            for name, what in (("task sender", self._send), ("result collector", self._collect))
        ]

    def start(self) -> None:
        """Start both threads."""
        for thread in self._threads:
            thread.start()

    def put_function(self, key: str, data: bytes) -> None:
        """Let tasks call this function."""
        if key not in self._sent_functions:
            self._functions[key] = data
            self._uncounted.add(key)

    def put_task(self, call: NewTask, resources: TaskResources, future: Any) -> bool:
        """Submit a task; waits while too much is under way. False: the driver has ended.

        Large arguments are a function of their own, and wait in memory with their task.
        """
        size = 0
        if call.function in self._uncounted:
            self._uncounted.discard(call.function)
            size = len(self._functions.get(call.function, b""))
        return self.outbox.put(Outgoing(call, resources, future.settings.after, future, size))

    def close(self, is_heard: Callable[[], bool], patience: float = 10.0) -> None:
        """Send what is left, as long as somebody is there who hears it, and end."""
        self.outbox.close()
        if threading.current_thread() is not self._threads[0]:
            end = time.monotonic() + patience
            self._threads[0].join(LOOK)
            while self._threads[0].is_alive() and time.monotonic() < end and is_heard():
                self._threads[0].join(LOOK)
        os.eventfd_write(self._stop, 1)
        end = time.monotonic() + patience
        for thread in self._threads:  # the sender hears of it, too
            if threading.current_thread() is not thread:
                thread.join(max(0.0, end - time.monotonic()))
        if not any(thread.is_alive() for thread in self._threads):
            os.close(self._stop)

    def _guard(self, what: Callable[[Channel], None]) -> None:
        channel = Channel(self._where, self._stop)
        try:
            what(channel)
        except Exception as error:  # noqa: BLE001  told to who waits for results
            self.outbox.close()
            self._listener.broken(error)
        finally:
            channel.close()
            self._position.set()

    # ------------------------------------------------------------------- the sender

    def _send(self, channel: Channel) -> None:
        self.outbox.note_sender()
        self._position.wait()
        while (taken := self.outbox.take()) is not None:
            if isinstance(taken, list):
                try:
                    self._send_calls(channel, taken)
                except Exception as error:  # nobody else knows of those that were not sent yet
                    self._listener.failed([one.future for one in taken], error)
                    raise
            else:
                for request in taken():
                    if isinstance(request, Fetch):
                        self._fetch(channel, request.items)
                    else:
                        channel.ask(request)
            del taken  # what it refers to may go

    def _send_calls(self, channel: Channel, taken: list[Outgoing], tries: int = 3) -> None:
        taken = [one for one in taken if not one.future.done() and self._can_wait(one)]
        taken = self._with_functions(channel, taken)
        if not taken:
            return
        functions = {one.call.function for one in taken} - {""}
        resources = list({one.resources: None for one in taken})
        numbers = {one: number for number, one in enumerate(resources)}
        calls = [_placed(one, numbers) for one in taken]
        futures = [one.future for one in taken]
        if not self._listener.is_sending(futures):
            return
        try:
            reply = channel.ask(Submit(next(self._batches), resources, calls))
        except RequestRefusedError as error:
            self._listener.submitted([], [])
            self._listener.failed(futures, error)
            return
        if not isinstance(reply, TasksSubmitted):
            self._listener.failed(
                futures, BrokenExecutor("the executor was shut before the manager answered")
            )
            return
        there = [(one, item) for one, item in zip(taken, reply.items, strict=True) if item >= 0]
        self._listener.submitted([one.future for one, _ in there], [item for _, item in there])
        lost = [(taken[one.place], one) for one in reply.refused]
        self._take_refusals(channel, lost, tries)
        for key in functions - {one.call.function for one, _ in lost}:
            self._functions.pop(key, None)  # the manager has them on disk
        if keyed := [item for one, item in there if one.call.key]:
            self._fetch(channel, keyed)  # they may have ended long ago

    def _take_refusals(
        self, channel: Channel, refused: list[tuple[Outgoing, RefusedTask]], tries: int
    ) -> None:
        """Send again what a manager that died had only in parts; the others have failed."""
        again: list[Outgoing] = []
        for one, why in refused:
            has_function = not one.call.function or one.call.function in self._functions
            if why.code in _MAY_COME_AGAIN and has_function and tries:
                self._sent_functions.discard(one.call.function)
                again.append(one)
            else:
                self._listener.failed([one.future], RequestRefusedError(why.code, why.reason))
        self._send_calls(channel, again, tries - 1)

    def _can_wait(self, one: Outgoing) -> bool:
        """Whether the tasks for which it waits exist."""
        for other in one.after:
            if other.number is None:
                error = other.exception() if not other.cancelled() else None
                reason = (
                    f"after: a task for which this one waits was not taken: {error or 'cancelled'}"
                )
                self._listener.failed([one.future], RequestRefusedError("no_such_item", reason))
                return False
        return True

    def _with_functions(self, channel: Channel, taken: list[Outgoing]) -> list[Outgoing]:
        """Send the functions that the manager lacks; returns the tasks whose functions it has then."""
        refused: dict[str, RequestRefusedError] = {}
        for key in {one.call.function for one in taken} - {""} - self._sent_functions:
            try:
                self._send_function(channel, key)
            except RequestRefusedError as error:
                refused[key] = error
                self._functions.pop(key, None)
            else:
                self._sent_functions.add(key)
        for one in taken:
            if one.call.function in refused:
                self._listener.failed([one.future], refused[one.call.function])
        return [one for one in taken if one.call.function not in refused]

    def _send_function(self, channel: Channel, key: str) -> None:
        data = self._functions[key]
        parts = [data[n : n + MOST_BYTES] for n in range(0, len(data), MOST_BYTES)] or [b""]
        for number, part in enumerate(parts):
            channel.ask(PutFunction(key, number, len(parts), part))

    # ------------------------------------------------------------------- the collector

    def _collect(self, channel: Channel) -> None:
        begin = channel.ask(Fetch([]))
        if not isinstance(begin, Fetched):
            return
        seen = begin.ends
        self._position.set()
        while True:
            reply = channel.ask(Collect(seen, WAIT), WAIT + 1.0)
            if reply is None:
                return
            assert isinstance(reply, Results), reply
            seen = reply.upto
            if reply.ended:
                self._listener.ended(reply.ended)
            del reply  # values may be large

    def _fetch(self, channel: Channel, items: list[int]) -> None:
        """Take those of these tasks that have ended already."""
        while items:
            reply = channel.ask(Fetch(items[:MOST_CALLS]))
            if not isinstance(reply, Fetched):
                return
            self._listener.ended(reply.ended)
            items = items[reply.looked_at :]


def _placed(one: Outgoing, numbers: dict[TaskResources, int]) -> NewTask:
    number = numbers[one.resources]
    if not number and not one.after:
        return one.call
    after = [other.number for other in one.after]
    return msgspec.structs.replace(one.call, resources=number, after=after)
