"""Runs of which only the files are there: no manager, no jobs."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

import msgspec

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import TASK, Item, Phase
from adaptive_scheduler.io.disk import files, lock
from adaptive_scheduler.io.storage import database
from adaptive_scheduler.io.storage.row_codec import new_tables
from adaptive_scheduler.io.storage.run_config import write_config
from adaptive_scheduler.io.storage.tinydb_file import Tables

PHASES = (Phase.DONE, Phase.QUEUED, Phase.RUNNING, Phase.FAILED, Phase.CANCELLED, Phase.WAITING)


def learners(n: int) -> list[Item]:
    """Rows in all phases, with names that are long and of which some have wide letters."""
    return [
        Item(
            k, f"/data/my study/alpha_{k / 7:.9f}_温度_{k}.pickle", PHASES[k % 6], npoints=k, worked=1.5 * k,
            job=f"12_{k}" if k % 6 == 2 else None, fails=int(k % 6 == 3),
            reason="your function raised ValueError: no" if k % 6 == 3 else "",
        )
        for k in range(n)
    ]  # fmt: skip


def make_run(
    home: Path, rows: Sequence[Item], kind: str = "learner", tables: Tables | None = None
) -> RunFolder:
    """Write the files of a run that has these rows."""
    folder = RunFolder(home)
    files.private_folder(folder.home)
    files.private_folder(folder.folder)
    shapes = [] if kind == TASK else [Resources()]
    write_config(folder, RunConfig("ab12", shapes, ["study"], str(folder.logs), kind=kind))
    database.create(folder.database, {**new_tables(rows, None), **(tables or {})})
    return folder


def with_manager_on(folder: RunFolder, host: str) -> None:
    """Let it look as if a manager of another host, or a dead one of this one, held the lock."""
    here = host == socket.gethostname()
    pid = 2**22 + 1 if here else 7
    found = lock.Holder(host, pid, lock.boot_id(), 1.0, "secret")
    folder.lock.write_bytes(msgspec.json.encode(found))
