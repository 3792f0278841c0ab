"""Sends requests of users to the manager of a run; reads the database if no manager runs."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

import msgspec

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.messages import (
    Cancel,
    CancelItems,
    ChangeMaxJobs,
    Ok,
    Owner,
    Picture,
    Refused,
    Reply,
    Request,
    Resume,
    Retry,
    Status,
    Stop,
)
from adaptive_scheduler.errors import ManagerUnreachableError, RequestRefusedError
from adaptive_scheduler.io.disk.lock import Holder, holder, is_alive
from adaptive_scheduler.io.storage.run_config import change_config
from adaptive_scheduler.runs.reading.on_disk import Rows, snapshot_on_disk
from adaptive_scheduler.runs.views.status import RunSnapshot

if TYPE_CHECKING:
    from adaptive_scheduler.io.transport.connection import Connection
    from adaptive_scheduler.io.transport.whereabouts import Whereabouts

__all__ = ["ManagerClient", "Rows", "snapshot_on_disk"]

T = TypeVar("T")


class ManagerClient:
    """Connection to the manager of one run. Any number of threads may use it.

    Parameters
    ----------
    folder : RunFolder or path-like
        The run's folder, its database or a `RunManager`'s folder.
    timeout : float
        Seconds that the manager may take to answer at each of its addresses.
    where : Whereabouts, optional
        What says where the manager is; default: the folder. With another one only `ask` can be
        used, and what is made of it: the folder is not here.
    """

    def __init__(
        self,
        folder: RunFolder | str | os.PathLike[str],
        timeout: float = 10.0,
        where: Whereabouts | None = None,
    ) -> None:
        self.folder = folder if isinstance(folder, RunFolder) else RunFolder(folder)
        self._where = where or self.folder
        self._timeout = timeout
        host = socket.gethostname()
        self._me = Owner(f"viewer:{host}:{os.getpid()}", 0, 0, uuid.uuid4().hex)
        self._number = 0
        self._connection: Connection | None = None
        self._lock = threading.Lock()
        self._dead: Holder | None = None

    def __enter__(self) -> ManagerClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    # -------------------------------------------------------------------- requests

    def ask(self, body: Request) -> Reply:
        """Send a request to the manager, and return its reply.

        Raises
        ------
        ManagerUnreachableError
            It does not answer.
        RequestRefusedError
            It refuses the request.
        """
        from adaptive_scheduler.io.transport.connection import Connection  # ZeroMQ takes time

        with self._lock:
            if self._connection is None:
                self._connection = Connection(self._where)
            self._number += 1
            reply = self._connection.ask(self._me, self._number, body, self._timeout)
        if isinstance(reply, Refused):
            raise RequestRefusedError(reply.code, reply.reason)
        return reply

    def cancel(self) -> int:
        """End the run: its learners and its jobs; returns how many learners."""
        return self._count(Cancel())

    def cancel_items(self, items: Sequence[int]) -> int:
        """End these items alone; returns how many had not ended before."""
        return self._count(CancelItems(list(items)))

    def resume(self) -> None:
        """Submit jobs again after the run was held."""
        self.ask(Resume())

    def retry(self, items: Sequence[int] | None = None, reopen: bool = False) -> int:
        """Queue learners again, with failures counted from zero; returns how many.

        Parameters
        ----------
        items : sequence of int, optional
            Rows; None: all failed and cancelled ones.
        reopen : bool
            Those of `items` that are done, too.
        """
        return self._count(Retry(None if items is None else list(items), reopen))

    def limit_jobs(self, n: int) -> int:
        """Set how many jobs a run of learners has at most, also for its managers to come.

        Returns how many jobs it has, or has asked for; 0 if no manager runs.
        """
        change_config(self.folder, partial(_with_max_jobs, n=n))
        return self.change(lambda: self._count(ChangeMaxJobs(n)), lambda: 0)

    def _count(self, body: Request) -> int:
        """Send a request, and return how many items it has changed."""
        reply = self.ask(body)
        return reply.items if isinstance(reply, Ok) else 0

    def stop(self) -> None:
        """End the manager's process; jobs go on and wait for the next one."""
        self.ask(Stop())

    # -------------------------------------------------------------------- status

    def lives(self) -> bool:
        """Whether a manager of this run is alive, as far as its lock shows.

        To find that one on another host is dead takes half a minute: it is found once.
        """
        found = holder(self.folder.lock)
        if found is None or found.prepares or found == self._dead:
            return False
        if is_alive(self.folder.lock, found):
            return True
        self._dead = found
        return False

    def change(self, ask: Callable[[], T], change_on_disk: Callable[[], T]) -> T:
        """Have something changed by the manager, or on disk if none runs.

        One that ends just now does not answer, and is gone a moment later: then the same is done
        without it. It may have done it already; done twice, it changes nothing more.

        Raises
        ------
        ManagerUnreachableError
            There is one, and it does not answer.
        """
        if self.lives():
            try:
                return ask()
            except ManagerUnreachableError:
                if self.lives():
                    raise
        return change_on_disk()

    def snapshot(self, rows: Rows = "active") -> RunSnapshot:
        """Return how the run stands: from the manager, or from the database if none runs.

        Raises
        ------
        RunError, DatabaseError
            There is no run in this folder.
        """
        if not self.lives():
            return snapshot_on_disk(self.folder, rows)
        try:
            reply = self.ask(Status(rows))
        except ManagerUnreachableError as error:
            on_disk = snapshot_on_disk(self.folder, rows)
            if self.lives():
                on_disk.notes.append(f"a manager runs, but: {error}")
            return on_disk
        assert isinstance(reply, Picture), reply
        return msgspec.msgpack.decode(reply.snapshot, type=RunSnapshot)


def _with_max_jobs(config: RunConfig, n: int) -> RunConfig:
    limits = msgspec.structs.replace(config.limits, max_jobs=n)
    return msgspec.structs.replace(config, limits=limits)
