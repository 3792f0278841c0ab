"""How a run stands, as people see it: a `Snapshot`, computed from items, reports and jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from adaptive_scheduler.core.jobs.batch_jobs import JobState, ListedJob, QueueCause
from adaptive_scheduler.core.jobs.records import JobRecord
from adaptive_scheduler.core.reasons.queue_words import jobs_text
from adaptive_scheduler.core.rows.row import FAILED, LEARNER, TASK, Item, Phase, TaskItem
from adaptive_scheduler.core.wire.messages import Report
from adaptive_scheduler.core.wire.pools import PoolState

#: A learner makes no progress if its last point is older than this many seconds, and older than
#: this many times the duration of its slow points (the 95th percentile).
STALLED, STALLED_FACTOR = 60.0, 5.0
#: What to do about a learner whose points cannot be written.
UNSAVED = "Its points wait in memory: make room, or mend it, and it goes on by itself"
#: Most learners with damaged data that a snapshot names.
DAMAGED = 5
#: Most failed tasks that a snapshot names, the last ones; and ends that are looked through for them.
FAILED_TASKS, LOOKED_THROUGH = 20, 10_000


class ItemView(msgspec.Struct, omit_defaults=True):
    """One learner. Units as in `Report` and `Item`: seconds, MiB, percent.

    `busy`: part of its job's cores that evaluate a point. `stalled`: it runs, and its last point came `idle_since` seconds ago, which is long.
    """

    id: int
    fname: str | list[str]
    phase: Phase
    job: str | None = None
    npoints: int = 0
    loss: float | None = None
    points_per_second: float = 0.0
    busy: float = 0.0
    overhead: float = 0.0
    cpu: float = 0.0
    memory: float = 0.0
    idle_since: float = 0.0
    stalled: bool = False
    worked: float = 0.0
    attempts: int = 0
    fails: int = 0
    crashes: int = 0
    reason: str = ""
    traceback: str = ""
    kept_aside: str = ""


class JobRow(msgspec.Struct, omit_defaults=True):
    """One job.

    `silent`: seconds since its last heartbeat; `suspect`: for too long; `waiting`: it has not
    started; `cause` and `remedy`: why, and what to do about one that will never start. Of a job that runs tasks:
    how many it holds, its cores on nodes that are there, and how many of these are in use; how many
    nodes it has, how many of these have not come yet, and which are lost.
    """

    id: str
    name: str = ""
    state: str = ""
    reason: str = ""
    remedy: str = ""
    cause: QueueCause = QueueCause.OTHER
    host: str = ""
    item: int | None = None
    silent: float = 0.0
    suspect: bool = False
    waiting: bool = False
    tasks: int = 0
    cores: int = 0
    used: int = 0
    nodes: int = 0
    missing: int = 0
    lost: list[str] = []


class Snapshot(msgspec.Struct, omit_defaults=True):
    """A run at one instant.

    Attributes
    ----------
    run, database, scheduler : str
    time : float
        When the manager made it, in seconds since 1970.
    alive : bool
        Whether a manager made it; else it was read from the database.
    manager : str
        ``host:pid``.
    phases : dict
        Items by phase.
    items : list of ItemView
    jobs : list of JobRow
    submitted : int
        Jobs submitted so far.
    points : int
        Of all items.
    points_per_second : float
        Of all learners together, in the last minute.
    started : float
        Seconds since 1970 at which this manager started.
    finished : int
        Items that became DONE since then.
    notes : list of str
        Texts that a user should read: why the run is held, what it waits for, ...
    kind : str
        What its items are: ``learner`` or ``task``.
    pools : list of PoolState
        Of a run of tasks.
    ended_by : dict of str to int
        Tries of tasks that have ended since this manager started, by how they ended.
    ended_per_second : float
        Tasks that ended, in the last minute.
    is_open : bool
        More tasks may come: a driver has not closed the run yet.
    """

    run: str
    database: str
    time: float
    alive: bool = True
    scheduler: str = ""
    manager: str = ""
    phases: dict[str, int] = {}
    items: list[ItemView] = []
    jobs: list[JobRow] = []
    submitted: int = 0
    points: int = 0
    points_per_second: float = 0.0
    started: float = 0.0
    finished: int = 0
    notes: list[str] = []
    kind: str = LEARNER
    pools: list[PoolState] = []
    ended_by: dict[str, int] = {}
    ended_per_second: float = 0.0
    is_open: bool = False

    @property
    def total(self) -> int:
        """Items in all."""
        return sum(self.phases.values())

    @property
    def over(self) -> bool:
        """Whether every item has ended, and no more will come."""
        return not self.is_open and not self.unfinished

    @property
    def unfinished(self) -> int:
        """Items that have not ended."""
        return sum(self.phases.get(phase, 0) for phase in ("waiting", "queued", "running"))

    @property
    def pace(self) -> float | None:
        """Points, or ends of tasks, a second; None if there is no manager, or nothing left to do."""
        if not self.alive or self.over:
            return None
        return self.ended_per_second if self.kind == TASK else self.points_per_second

    @property
    def is_served(self) -> bool:
        """Whether it has jobs, or pools that will have some."""
        return bool(self.jobs) or any(not one.pool.is_removed for one in self.pools)

    @property
    def is_held(self) -> bool:
        """Whether nothing is submitted until somebody calls `resume`."""
        return any(note.startswith("held:") for note in self.notes)

    @property
    def remaining(self) -> float | None:
        """Seconds until all is done at the present pace; None if that is not known.

        Of tasks it is not: those that are left may be quite unlike those that have ended.
        """
        elapsed = self.time - self.started
        left = sum(self.phases.get(p, 0) for p in ("waiting", "queued", "running"))
        if not self.alive or self.finished < 1 or elapsed <= 0 or self.kind != LEARNER:
            return None
        return left * elapsed / self.finished


def item_view(item: Item, report: Report | None) -> ItemView:
    """Join an item with the last report of its client."""
    view = ItemView(
        id=item.id, fname=item.fname, phase=item.phase, job=item.job, npoints=item.npoints,
        loss=item.loss, worked=item.worked, attempts=item.attempts, fails=item.fails,
        crashes=item.crashes, reason=item.reason, traceback=item.traceback,
        kept_aside=item.kept_aside,
    )  # fmt: skip
    if report is not None and item.phase is Phase.RUNNING:
        view.npoints, view.loss = max(report.npoints, item.npoints), report.loss
        view.points_per_second, view.overhead = report.points_per_second, report.overhead
        view.busy = min(1.0, max(0.0, report.busy))
        view.cpu, view.memory, view.idle_since = report.cpu, report.memory, report.idle_since
        view.stalled = report.idle_since > max(STALLED, STALLED_FACTOR * report.p95)
        view.kept_aside = report.kept_aside or view.kept_aside
        view.worked += report.seconds
        if report.problem:
            view.reason = f"{report.problem}. {UNSAVED}"
    return view


def item_views(rows: Iterable[Item], reports: Mapping[int, Report], which: str) -> list[ItemView]:
    """Views of ``all`` items, of only ``active`` and failed ones, or of ``none``."""
    if which == "none":
        return []
    shown = (Phase.RUNNING, Phase.FAILED) if which == "active" else tuple(Phase)
    return [item_view(row, reports.get(row.id)) for row in rows if row.phase in shown]


def failed_task_views(rows: Sequence[Item], ends: Sequence[int]) -> list[ItemView]:
    """Views of the tasks that failed last; `ends`: rows in the order in which they ended, or -1."""
    found: dict[int, ItemView] = {}
    for item_id in ends[: -LOOKED_THROUGH - 1 : -1]:
        row = rows[item_id] if item_id >= 0 else None
        if type(row) is TaskItem and row.phase is FAILED:
            view = ItemView(row.id, row.name, row.phase, attempts=row.attempts, reason=row.reason)
            found.setdefault(row.id, view)
        if len(found) == FAILED_TASKS:
            break
    return list(found.values())


class KeptRow(Protocol):
    """A row of which damaged data may have been kept."""

    @property
    def id(self) -> int:
        """Its number."""

    @property
    def kept_aside(self) -> str:
        """The names of what was kept."""


def damage(rows: Iterable[KeptRow], reports: Mapping[int, Report]) -> str:
    """Name learners whose data files were damaged, and where these are kept; "" if none was."""
    found = [
        f"learner {row.id}: {kept}"
        for row in rows
        if (kept := row.kept_aside or getattr(reports.get(row.id), "kept_aside", ""))
    ]
    more = f" and of {len(found) - DAMAGED} more learners" if len(found) > DAMAGED else ""
    return "; ".join(found[:DAMAGED]) + more


def never_start(jobs: Iterable[JobRow]) -> list[str]:
    """Why jobs in the queue will not start by themselves, and what to do; one line per reason."""
    causes = Counter((job.cause, job.reason, job.remedy) for job in jobs if job.remedy)
    again = {QueueCause.NEVER: "; then cancel, and start again"}
    return [
        f"{jobs_text(n, cause, reason)}: {remedy}{again.get(cause, '')}"
        for (cause, reason, remedy), n in causes.items()
    ]


def job_row(
    record: JobRecord, listed: ListedJob | None, silent: float, item: int | None, lease: float
) -> JobRow:
    """Join what is known of a job with its row in the queue."""
    return JobRow(
        id=record.id, name=record.name,
        state=listed.native_state if listed else ("by hand" if record.external else "not listed"),
        reason=listed.reason if listed else record.goodbye,
        remedy=listed.remedy if listed else "",
        cause=listed.why if listed else QueueCause.OTHER,
        host=record.host or (listed.nodes[0] if listed and listed.nodes else ""),
        item=item, silent=silent if record.owner else 0.0,
        suspect=bool(record.owner) and silent > lease,
        waiting=listed is not None and listed.state is JobState.PENDING,
    )  # fmt: skip
