"""All runs below a folder, each in a few words, read from disk: also of other hosts."""

from __future__ import annotations

import time
from collections.abc import Iterable

import msgspec

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.io.disk.lock import holder, is_alive
from adaptive_scheduler.io.storage.glance import glance
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.runs.views.status import CANCELLED, DEAD, FAILED, FINISHED, HELD, RUNNING

#: The state of a run whose files cannot be read.
UNREADABLE = "unreadable"


class RunSummary(msgspec.Struct):
    """One run.

    Attributes
    ----------
    folder : str
    run : str
        Its id.
    kind : str
        ``learner`` or ``task``.
    state : str
        As `status` of the run says it, or ``unreadable``.
    phases : dict of str to int
        Learners or tasks by phase, as acknowledged on disk.
    total, done : int
    points : int
    host : str
        Where its manager runs; "" if none does.
    started, changed : float
        When it was started first, and when it last changed; seconds since 1970.
    problem : str
        Why it cannot be read.
    """

    folder: str
    run: str = ""
    kind: str = ""
    state: str = UNREADABLE
    phases: dict[str, int] = {}
    total: int = 0
    done: int = 0
    points: int = 0
    host: str = ""
    started: float = 0.0
    changed: float = 0.0
    problem: str = ""


def summaries(folders: Iterable[RunFolder]) -> list[RunSummary]:
    """Return a summary of each run; one that cannot be read says why."""
    return [_summary(folder) for folder in folders]


def _summary(folder: RunFolder) -> RunSummary:
    made = RunSummary(str(folder.home))
    try:
        _fill(made, folder)
    except (AdaptiveSchedulerError, OSError) as error:
        made.problem = str(error)
    return made


def _fill(made: RunSummary, folder: RunFolder) -> None:
    config = read_config(folder)
    found = glance(folder, config.kind)
    made.run, made.kind = config.run, config.kind
    made.phases, made.points = found.phases, found.points
    made.total, made.done = len(found.rows), made.phases.get("done", 0)
    owner = holder(folder.lock)
    if owner is not None and not owner.prepares and is_alive(folder.lock, owner):
        made.host = owner.host
    is_open = found.run.is_open and not found.run.cancelled
    made.state = _state(made, is_open=is_open, held=found.run.held)
    made.started = config.started or folder.config.stat().st_mtime
    made.changed = _changed(folder)


def _state(made: RunSummary, *, is_open: bool, held: str) -> str:
    if is_open or any(made.phases.get(phase) for phase in ("waiting", "queued", "running")):
        if not made.host:
            return DEAD
        return HELD if held else RUNNING
    if made.phases.get("cancelled"):
        return CANCELLED
    return FAILED if made.phases.get("failed") else FINISHED


def _changed(folder: RunFolder) -> float:
    """When the database or its journal was written last."""
    paths = [folder.database, folder.journals, *folder.journals.glob("*.jsonl")]
    return max((path.stat().st_mtime for path in paths if path.exists()), default=time.time())
