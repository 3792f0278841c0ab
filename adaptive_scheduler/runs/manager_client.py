"""Sends requests of users to the manager of a run; reads the database if no manager runs."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Literal, TypeVar

import msgspec

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.jobs.records import JobRecord, SubmitRecord
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import OVER, TASK, Item, Phase
from adaptive_scheduler.core.rows.task_index import TaskIndex
from adaptive_scheduler.core.wire.messages import (
    Cancel,
    CancelItems,
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
from adaptive_scheduler.core.wire.pools import PoolState
from adaptive_scheduler.core.wire.snapshot import (
    ItemView,
    JobRow,
    damage,
    failed_task_views,
    item_views,
)
from adaptive_scheduler.errors import ManagerUnreachableError, RequestRefusedError
from adaptive_scheduler.io.disk.lock import holder, is_alive
from adaptive_scheduler.io.storage import database, row_codec
from adaptive_scheduler.io.storage.database import Tables
from adaptive_scheduler.io.storage.read_only import read_tables
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.io.system.read_logs import tail
from adaptive_scheduler.io.transport.connection import Connection
from adaptive_scheduler.io.transport.whereabouts import Whereabouts
from adaptive_scheduler.runs.views.status import RunSnapshot

T = TypeVar("T")
Rows = Literal["all", "active", "none"]


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

    def _count(self, body: Request) -> int:
        """Send a request, and return how many items it has changed."""
        reply = self.ask(body)
        return reply.items if isinstance(reply, Ok) else 0

    def stop(self) -> None:
        """End the manager's process; jobs go on and wait for the next one."""
        self.ask(Stop())

    # -------------------------------------------------------------------- status

    def lives(self) -> bool:
        """Whether a manager of this run is alive, as far as its lock shows."""
        found = holder(self.folder.lock)
        return found is not None and not found.prepares and is_alive(self.folder.lock, found)

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


def snapshot_on_disk(folder: RunFolder, rows: Rows = "active") -> RunSnapshot:
    """Return how a run stands from its database alone; nothing is changed."""
    tables = read_tables(folder)
    return snapshot_of(folder, tables, row_codec.read_items(tables, folder), rows)


def snapshot_of(
    folder: RunFolder, tables: Tables, items: Sequence[Item], rows: Rows = "active"
) -> RunSnapshot:
    """Return how a run stands by what was read of its database."""
    config = read_config(folder)
    phases: dict[str, int] = {}
    for item in items:
        phases[item.phase.value] = phases.get(item.phase.value, 0) + 1
    submits = [
        msgspec.convert(row, SubmitRecord) for row in tables.get(database.SUBMITS, {}).values()
    ]
    run = row_codec.read_run(tables)
    return RunSnapshot(
        run=config.run,
        database=str(folder.database),
        time=time.time(),
        alive=False,
        phases=phases,
        items=_views(config, items, rows),
        jobs=_job_rows(tables),
        submitted=sum(len(submit.jobs or ()) for submit in submits),
        points=sum(item.npoints for item in items),
        notes=_notes(folder, tables, config, items),
        kind=config.kind,
        is_open=run.is_open and not run.cancelled,
        pools=[PoolState(pool, 0, 0, 0, 0, 0) for pool in row_codec.read_pools(tables).values()],
    )


def _views(config: RunConfig, items: Sequence[Item], rows: Rows) -> list[ItemView]:
    if config.kind != TASK:
        return item_views(items, {}, rows)
    index = TaskIndex()
    index.read_ends(items)
    return [] if rows == "none" else failed_task_views(items, index.ends)


def _job_rows(tables: Tables) -> list[JobRow]:
    """Return the jobs that are not known to have ended; of a run that is over none by hand."""
    rows = tables.get(database.ITEMS, {}).values()
    unfinished = any(row["phase"] not in OVER for row in rows)
    running = [row for row in rows if row["phase"] == Phase.RUNNING]
    holders = {row["job"]: row["id"] for row in running if row.get("kind") != TASK}
    tasks = Counter(row["job"] for row in running if row.get("kind") == TASK)
    records = (msgspec.convert(row, JobRecord) for row in tables.get(database.JOBS, {}).values())
    return [
        JobRow(
            id=record.id, name=record.name, state="unknown", host=record.host,
            item=holders.get(record.id), tasks=tasks[record.id],
        )
        for record in records
        if not record.ended and (not record.external or unfinished)
    ]  # fmt: skip


def _notes(
    folder: RunFolder, tables: Tables, config: RunConfig, items: Sequence[Item]
) -> list[str]:
    row = row_codec.read_run(tables)
    notes = [f"held: {row.held}. Mend it, then resume."] if row.held else []
    if kept := damage(items, {}):
        notes.append(f"damaged data were kept aside: {kept}")
    if printed := tail(folder.manager_output):
        notes.append(f"the last manager of run {config.run} printed: {printed}")
    return notes
