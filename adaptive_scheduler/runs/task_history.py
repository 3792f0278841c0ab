"""What has happened to a task, one event after the other, and the files that it has."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import RUNNING, TaskItem
from adaptive_scheduler.core.rows.task_results import told
from adaptive_scheduler.core.wire.tasks import EndKind, LastTry

#: How a try has ended, in words.
_HOW = {
    EndKind.VALUE: "done", EndKind.ERROR: "raised", EndKind.EXIT: "failed", EndKind.SIGNAL: "was killed",
    EndKind.TIMEOUT: "timed out", EndKind.CANCELLED: "cancelled", EndKind.CUT: "cut by the end of its job",
    EndKind.DIED: "died", EndKind.UNABLE: "could not be started", EndKind.LOST: "lost with its node",
}  # fmt: skip
#: Files of a task that are named.
MOST_FILES = 100


def history(row: TaskItem, facts: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Return what is known to have happened to a task, in order; times are seconds since 1970.

    Each event has `what` and `at`, those of a try `job` and `node` as well. What was handed out and
    came back before it had begun is not kept.

    Parameters
    ----------
    row : TaskItem
    facts : mapping of str to bytes
        By the names of `io.storage.fact_line.TABLES`.
    """
    events: list[dict[str, Any]] = []
    if row.created:
        events.append({"what": "submitted", "at": row.created})
    if last := facts.get("times"):
        found = msgspec.msgpack.decode(last, type=LastTry)
        for one in (*found.earlier, found):
            events += _try(one)
    if (at := told(facts.get("told"), row)) is not None:
        events.append({"what": "told to a driver", "at": at})
    if row.phase is RUNNING:
        events.append({"what": "handed out", "at": row.changed, "job": row.job})
    return events


def _try(one: LastTry) -> list[dict[str, Any]]:
    where = {"job": one.job, "node": one.node}
    return [
        {"what": "handed out", "at": one.handed_out, **where},
        {"what": "begun", "at": one.begun, **where},
        {"what": _HOW[one.kind], "at": one.ended, **where},
    ]


def own_files(folder: RunFolder, its: str) -> list[dict[str, Any]]:
    """Return name and bytes of the files in the folder of a command that has one of its own, `MOST_FILES` at most.

    Parameters
    ----------
    folder : RunFolder
    its : str
        The folder in which it runs.
    """
    path = Path(its)
    if not its or path.parent != folder.tasks or not path.is_dir():
        return []
    return sorted(_files_in(path), key=lambda one: str(one["name"]))[:MOST_FILES]


def _files_in(path: Path) -> Iterator[dict[str, Any]]:
    for folder, _, names in os.walk(path):
        for one in (Path(folder, name) for name in names):
            with suppress(OSError):  # its task may run, and has replaced or removed it since
                if one.is_file():
                    yield {"name": str(one.relative_to(path)), "bytes": one.stat().st_size}
