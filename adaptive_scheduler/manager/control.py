"""Answers the requests of people: status, cancel, resume, retry, stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from adaptive_scheduler.core.jobs.outputs import DIED_EARLY, complaint_is_over, reached_no_manager
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rate import Rate
from adaptive_scheduler.core.rows.events import Cancelled
from adaptive_scheduler.core.rows.row import TASK, Phase
from adaptive_scheduler.core.rows.run_state import RunState
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
from adaptive_scheduler.core.wire.snapshot import (
    ItemView,
    JobRow,
    Snapshot,
    damage,
    failed_task_views,
    item_views,
    job_row,
    never_start,
)
from adaptive_scheduler.io.system.complaints import read_complaints
from adaptive_scheduler.manager.clients import Moment
from adaptive_scheduler.manager.jobs import JobManager
from adaptive_scheduler.manager.persistence import Persistence
from adaptive_scheduler.manager.tasks.pools import pool_states

#: What people send.
CONTROL_REQUESTS = frozenset((Status, Cancel, CancelItems, Resume, Retry, ChangeMaxJobs, Stop))
#: Complaints of clients that reached no manager of which `status` shows the first.
_COMPLAINTS = 5
#: Seconds between two samples of the number of points, from which the rate is computed.
_SAMPLE = 5.0


class ManagerProcess(msgspec.Struct, frozen=True):
    """The process that serves.

    Attributes
    ----------
    name : str
        ``host:pid``, for people.
    started : Moment
        When it began.
    stop : callable
        Ends it.
    """

    name: str
    started: Moment
    stop: Callable[[], None]


class ControlApi:
    """Answers people: shows the run, cancels, resumes and retries it, ends the manager.

    Parameters
    ----------
    folder : RunFolder
    state : RunState
    jobs : JobManager
    persistence : Persistence
    process : ManagerProcess
    """

    def __init__(
        self,
        folder: RunFolder,
        state: RunState,
        jobs: JobManager,
        persistence: Persistence,
        process: ManagerProcess,
    ) -> None:
        self._folder = folder
        self._state = state
        self._jobs = jobs
        self._persistence = persistence
        self._process = process
        self._lock_error = ""
        self._refused, self._is_shut = 0, False
        self._done_before = state.items.phases[Phase.DONE]
        self._rate = Rate()
        self._next_sample = process.started.monotonic

    def sample_rate(self, now: Moment) -> None:
        """Note the number of points now and then: the rate shown is that of the last minute."""
        if now.monotonic >= self._next_sample:
            self._next_sample = now.monotonic + _SAMPLE
            self._rate.note(self._progress(), now.monotonic)

    def observe(self, lock_error: str, refused: int, is_shut: bool) -> None:
        """Take in how the run's lock and the socket are; changes are logged.

        Parameters
        ----------
        lock_error : str
            Why the lock cannot be renewed; "" if it was.
        refused : int
            Connections so far that had no key; logged at the first, the tenth, and so on.
        is_shut : bool
            Whether no connection is accepted, because too many are open.
        """
        self._lock_error = lock_error
        if len(str(refused)) > len(str(self._refused or "")) and refused:
            self._jobs.notes.record("connections_refused", connections=refused)
        if is_shut != self._is_shut:
            event = "new_connections_wait" if is_shut else "new_connections_accepted"
            self._jobs.notes.record(event, refused=refused)
        self._refused, self._is_shut = max(refused, self._refused), is_shut

    def handle(self, owner: Owner, _number: int, request: Request, now: Moment) -> Reply:
        """Answer one request; one that comes twice may be carried out twice."""
        items = 0
        match request:
            case Status():
                snapshot = self.snapshot(request.rows, now)
                return Picture(msgspec.Raw(msgspec.msgpack.encode(snapshot)))
            case Cancel():
                items = self._cancel(now)
            case CancelItems():
                return self._cancel_items(request, now)
            case Resume():
                self._resume()
            case Retry():
                return self._retry(request, now)
            case ChangeMaxJobs():
                return self._change_max_jobs(request.max_jobs)
            case Stop():
                self._process.stop()
        self._jobs.notes.record("asked", request=type(request).__name__, by=owner.job)
        return Ok(items)

    def _cancel(self, now: Moment) -> int:
        unfinished = self._state.items.unfinished
        self._state.items.cancel(now.wall, self._state.reports)
        self._state.reports.clear()
        self._state.tasks.drop_cancelled()
        self._state.cancelled = True
        self._state.dirty = self._state.tasks.changed = True
        return unfinished

    def _cancel_items(self, request: CancelItems, now: Moment) -> Reply:
        """Cancel some items. Their clients learn it at the next heartbeat, save, and claim others."""
        if (refused := self._unknown(request.items)) is not None:
            return refused
        reports, n = self._state.reports, 0
        for item in request.items:
            event = Cancelled(last=reports.get(item))
            if not isinstance(self._state.items.apply(item, event, now.wall), Refused):
                reports.pop(item, None)
                n += 1
        self._state.tasks.drop_cancelled()
        self._state.dirty = True
        self._jobs.notes.record("cancelled", items=n)
        return Ok(n)

    def _unknown(self, items: Sequence[int]) -> Refused | None:
        """Refuse items that the run does not have."""
        n = len(self._state.items)
        unknown = [one for one in items if not 0 <= one < n]
        if not unknown:
            return None
        kind = self._state.config.kind
        there = f"they are 0 to {n - 1}" if n else "it has none yet"
        return Refused("no_such_item", f"there is no {kind} {unknown[0]}: {there}.")

    def _resume(self) -> None:
        self._state.cancelled = False
        self._jobs.resume()

    def _retry(self, request: Retry, now: Moment) -> Reply:
        items = self._state.items
        if (refused := self._unknown(request.items or ())) is not None:
            return refused
        wanted = {Phase.FAILED, Phase.CANCELLED} | ({Phase.DONE} if request.reopen else set())
        ids = range(len(items)) if request.items is None else request.items
        n = items.retry([one for one in ids if items.rows[one].phase in wanted], now.wall)
        self._resume()
        self._jobs.notes.record("retried", items=n)
        return Ok(n)

    def _change_max_jobs(self, n: int) -> Reply:
        if n < 1 or self._is_of_tasks:
            reason = (
                "its pools say how many jobs it has" if n > 0 else f"max_jobs={n} is less than 1"
            )
            return Refused("bad_limit", f"{reason}.")
        config, before = self._state.config, self._state.config.limits.max_jobs
        if n != before:
            limits = msgspec.structs.replace(config.limits, max_jobs=n)
            self._state.config = msgspec.structs.replace(config, limits=limits)
            self._state.dirty = True
            self._jobs.notes.record("max_jobs_changed", before=before, max_jobs=n)
        return Ok(self._state.jobs.in_queue)

    # ------------------------------------------------------------------- drawing

    def snapshot(self, rows: str, now: Moment) -> Snapshot:
        """The run as it is at this moment."""
        state, jobs, is_of_tasks = self._state, self._job_rows(now), self._is_of_tasks
        progress, rate = self._progress(), self._rate.note(self._progress(), now.monotonic)
        return Snapshot(
            run=state.config.run,
            database=str(self._folder.database),
            time=now.wall,
            scheduler=self._jobs.scheduler,
            manager=self._process.name,
            phases={phase.value: n for phase, n in state.items.phases.items() if n},
            items=self._item_views(rows),
            jobs=jobs,
            submitted=sum(len(submit.jobs or ()) for submit in state.jobs.submits.values()),
            points=0 if is_of_tasks else progress,
            points_per_second=0.0 if is_of_tasks else rate,
            started=self._process.started.wall,
            finished=state.items.phases[Phase.DONE] - self._done_before,
            notes=[*self._notes(now), *never_start(jobs), *self._complaints(now)],
            kind=state.config.kind,
            pools=pool_states(state),
            ended_by={kind.name.lower(): n for kind, n in state.tasks.ended_by.items()},
            ended_per_second=rate if is_of_tasks else 0.0,
            is_open=state.tasks.is_open and not state.cancelled,
        )

    def _item_views(self, rows: str) -> list[ItemView]:
        """Of tasks only the last that failed: there may be a million."""
        items = self._state.items
        if self._is_of_tasks:
            return [] if rows == "none" else failed_task_views(items.rows, items.tasks.ends)
        return item_views(items.rows, self._state.reports, rows)

    @property
    def _is_of_tasks(self) -> bool:
        return self._state.config.kind == TASK

    def _progress(self) -> int:
        """Ends of tasks; or points of all learners: as the rows have them, and reported since."""
        if self._is_of_tasks:
            return len(self._state.items.tasks.ends)
        rows, reports = self._state.items.rows, self._state.reports
        unsaved = (max(0, report.npoints - rows[n].npoints) for n, report in reports.items())
        return sum(item.npoints for item in rows) + sum(unsaved)

    def _job_rows(self, now: Moment) -> list[JobRow]:
        rows = []
        for job in self._state.jobs.live.values():
            item = self._state.items.held_by(job.id)
            row = job_row(
                job.record, job.listed, now.monotonic - job.last_heard, item.id if item else None,
                self._state.config.timing.lease,
            )  # fmt: skip
            if (head := self._state.tasks.heads.get(job.id)) is not None:
                row.tasks, row.cores = len(head.view.mirror.given), head.cores
                row.used = head.used_cores
                nodes = head.inventory.nodes
                row.nodes, row.missing = len(nodes), sum(not node.cores for node in nodes)
                row.lost = [nodes[number].name for number in sorted(head.inventory.lost)]
            rows.append(row)
        return rows

    def _notes(self, now: Moment) -> list[str]:
        state, notes, write_error = self._state, self._jobs.notes, self._persistence.write_error
        shown = {
            "the database cannot be written": write_error
            and f"{write_error} It goes on by itself.",
            "the lock cannot be renewed": self._lock_error
            and f"{self._lock_error}. Make room, or mend it: it goes on by itself.",
            "held": state.stops.held and f"{state.stops.held}. Mend it, then resume.",
            "waiting for the batch system": self._jobs.policy.backoff.reason,
            "the queue cannot be listed": notes.listing_error
            and f"{notes.listing_error}; jobs go on, and it is tried again by itself",
            "cancelling": notes.cancel_error,
            DIED_EARLY: not state.stops.held and notes.early_deaths,
            "excluded nodes": ", ".join(self._jobs.nodes.excluded(now.monotonic)),
            "connections without this run's key": str(self._refused or ""),
            "new clients wait": self._is_shut and "too many connections are open",
            "damaged data were kept aside": damage(
                () if self._is_of_tasks else state.items.rows, state.reports
            ),
        }
        return [f"{what}: {why}" for what, why in shown.items() if why]

    def _complaints(self, now: Moment) -> list[str]:
        is_over = complaint_is_over(self._state.jobs, now.wall, now.monotonic)
        found = list(read_complaints(self._folder, is_over, removes=True).items())[:_COMPLAINTS]
        return [reached_no_manager(job, said) for job, said in found]
