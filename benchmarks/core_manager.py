"""The manager's tables with a real journal but without sockets, for `assign-core` and `flat`."""

from __future__ import annotations

import time
from pathlib import Path

import structlog

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.core.wire.messages import Assigned, Claim, Finish, Hello, Owner, Report
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.storage import database, row_codec
from adaptive_scheduler.io.storage.database import Database
from adaptive_scheduler.manager.clients import DatabaseManager, Moment
from adaptive_scheduler.manager.persistence import Persistence

REPORT = Report(npoints=50, loss=0.01, seconds=1.0, new_points=50)


def make_run(home: Path, n: int) -> RunFolder:
    """Create a database of `n` learners in a new run folder."""
    folder = RunFolder(home)
    files.private_folder(folder.folder)
    items = [Item(row, f"data/learner_{row:06d}.pickle", Phase.QUEUED) for row in range(n)]
    database.create(folder.database, row_codec.new_tables(items, None))
    return folder


def config() -> RunConfig:
    """The settings of a run with jobs of one shape."""
    return RunConfig("bench", [Resources(cores=1)], ["bench"], "/nowhere")


class CoreManager:
    """Tables, request handler and journal of one run.

    Parameters
    ----------
    home : Path
        Folder of the run, on the file system that is measured.
    n : int
        Number of learners.
    clients : int
        Number of clients, whose requests are handled as one group.
    """

    def __init__(self, home: Path, n: int, clients: int = 64) -> None:
        folder = make_run(home, n)
        store = Database(folder)
        run = row_codec.open_state(store.take_tables(), folder, config(), time.monotonic())
        self.manager = DatabaseManager(run)
        self.persistence = Persistence(store, run, structlog.get_logger())
        self._owners = [Owner(f"{1000 + k}", 0, 0, f"uuid-{k}") for k in range(clients)]
        self._number = 0
        self._turn([(owner, Hello("node", 1, 1, -1)) for owner in self._owners])

    def _turn(self, requests: list) -> list:
        """Handle one group of requests as the manager does: each in turn, then one fdatasync."""
        now = Moment(time.time(), time.monotonic())
        self._number += 1
        replies = [self.manager.handle(who, self._number, what, now) for who, what in requests]
        assert self.persistence.commit()
        return replies

    def cycles(self, groups: int, *, apart: bool = False) -> float:
        """Claim and finish `groups` × clients items; returns cycles per second.

        Each finish claims the next item, as clients do; with `apart` the claim is another request.
        """
        given = self._claim()
        begin = time.perf_counter()
        for _ in range(groups):
            ends = zip(self._owners, given, strict=True)
            given = self._turn(
                [(owner, Finish(reply.token, REPORT, not apart)) for owner, reply in ends]
            )
            given = self._claim() if apart else given
        rate = groups * len(self._owners) / (time.perf_counter() - begin)
        assert all(isinstance(reply, Assigned) for reply in given)
        return rate

    def _claim(self) -> list:
        """Let each client claim an item; one that holds an item keeps it."""
        return self._turn([(owner, Claim()) for owner in self._owners])
