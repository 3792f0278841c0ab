"""Answer people: how the run stands, end it, go on, try again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rate import Rate
from adaptive_scheduler.core.rows.events import Cancelled
from adaptive_scheduler.core.rows.items import Phase
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
from adaptive_scheduler.core.wire.snapshot import (
    JobRow,
    Snapshot,
    damage,
    item_views,
    job_row,
    never_start,
)
from adaptive_scheduler.manager.clients import DatabaseManager, Moment
from adaptive_scheduler.manager.jobs import JobManager

#: Complaints of clients that reached no manager which one look shows.
_COMPLAINTS = 5
#: Seconds between two samples of the number of points, from which the rate is computed.
_SAMPLE = 5.0


class ControlApi:
    """The side of the manager that people talk to.

    Parameters
    ----------
    folder : RunFolder
    clients : DatabaseManager
    jobs : JobManager
    manager : str
        ``host:pid``, for people.
    started : Moment
        Of this manager.
    stop : callable
        Ends the manager.
    """

    def __init__(
        self,
        folder: RunFolder,
        clients: DatabaseManager,
        jobs: JobManager,
        manager: str,
        started: Moment,
        stop: Callable[[], None],
    ) -> None:
        self.jobs = jobs
        self.scheduler = ""
        self._refused, self._is_shut = 0, False
        self.stuck = self.unsigned = ""
        self._folder = folder
        self._clients = clients
        self._manager = manager
        self._started = started.wall
        self._stop = stop
        self._done_before = clients.book.phases[Phase.DONE]
        self._rate = Rate()
        self._next_sample = started.monotonic

    def sample_rate(self, now: Moment) -> None:
        """Note the number of points now and then: the rate shown is that of the last minute."""
        if now.monotonic >= self._next_sample:
            self._next_sample = now.monotonic + _SAMPLE
            self._rate.note(self._points(), now.monotonic)

    def note_strangers(self, refused: int, is_shut: bool) -> None:
        """Note how many connections had no key; logged at the first, the tenth, and so on."""
        if len(str(refused)) > len(str(self._refused or "")) and refused:
            self.jobs.notes.say("strangers_refused", connections=refused)
        if is_shut != self._is_shut:
            self.jobs.notes.say("door_shut" if is_shut else "door_opened", refused=refused)
        self._refused, self._is_shut = max(refused, self._refused), is_shut

    def answer(self, owner: Owner, request: Request, now: Moment) -> Reply | None:
        """Answer one request; None if it is not of the kind that people send."""
        items = 0
        match request:
            case Status():
                picture = self.snapshot(request.rows, now)
                return Picture(msgspec.Raw(msgspec.msgpack.encode(picture)))
            case Cancel():
                items = self._cancel(now)
            case CancelItems():
                return self._cancel_items(request, now)
            case Resume():
                self._go_on()
            case Retry():
                return self._retry(request, now)
            case Stop():
                self._stop()
            case _:
                return None
        self.jobs.notes.say("asked", request=type(request).__name__, by=owner.job)
        return Ok(items)

    def _cancel(self, now: Moment) -> int:
        unfinished = self._clients.book.unfinished
        self._clients.book.cancel(now.wall, self._clients.reports)
        self._clients.reports.clear()
        self._clients.closing = True
        self._clients.news = True
        return unfinished

    def _cancel_items(self, request: CancelItems, now: Moment) -> Reply:
        """Their clients are told at the next heartbeat; they save, and claim other items."""
        if (refused := self._unknown(request.items)) is not None:
            return refused
        reports = self._clients.reports
        n = 0
        for row in request.items:
            event = Cancelled(last=reports.get(row))
            if not isinstance(self._clients.book.apply(row, event, now.wall), Refused):
                reports.pop(row, None)
                n += 1
        self._clients.news = True
        self.jobs.notes.say("cancelled", items=n)
        return Ok(n)

    def _unknown(self, items: Sequence[int]) -> Refused | None:
        """Refuse items that the run does not have."""
        n = len(self._clients.book)
        unknown = [row for row in items if not 0 <= row < n]
        if not unknown:
            return None
        return Refused("no_such_item", f"there is no learner {unknown[0]}: they are 0 to {n - 1}.")

    def _go_on(self) -> None:
        self._clients.closing = False
        self.jobs.resume()

    def _retry(self, request: Retry, now: Moment) -> Reply:
        book = self._clients.book
        if (refused := self._unknown(request.items or ())) is not None:
            return refused
        wanted = {Phase.FAILED, Phase.CANCELLED} | ({Phase.DONE} if request.reopen else set())
        rows = range(len(book)) if request.items is None else request.items
        n = book.retry([row for row in rows if book.rows[row].phase in wanted], now.wall)
        self._go_on()
        self.jobs.notes.say("retried", items=n)
        return Ok(n)

    # ------------------------------------------------------------------- drawing

    def snapshot(self, rows: str, now: Moment) -> Snapshot:
        """Draw the run as it is at this moment."""
        book = self._clients.book
        points = self._points()
        jobs = self._job_rows(now)
        return Snapshot(
            run=self._clients.config.run,
            database=str(self._folder.database),
            time=now.wall,
            scheduler=self.scheduler,
            manager=self._manager,
            phases={phase.value: n for phase, n in book.phases.items() if n},
            items=item_views(book.rows, self._clients.reports, rows),
            jobs=jobs,
            submitted=sum(len(s.jobs or ()) for s in self._clients.jobs.submits.values()),
            points=points,
            points_per_second=self._rate.note(points, now.monotonic),
            started=self._started,
            finished=book.phases[Phase.DONE] - self._done_before,
            notes=[*self._notes(now), *never_start(jobs), *self._complaints()],
        )

    def _points(self) -> int:
        """Points of all learners: as the rows have them, and what was reported since."""
        rows, reports = self._clients.book.rows, self._clients.reports
        unsaved = (max(0, report.npoints - rows[row].npoints) for row, report in reports.items())
        return sum(row.npoints for row in rows) + sum(unsaved)

    def _job_rows(self, now: Moment) -> list[JobRow]:
        rows = []
        for record, listed, heard in self._clients.jobs.living():
            item = self._clients.book.held_by(record.id)
            rows.append(
                job_row(
                    record, listed, now.monotonic - heard, item.id if item else None,
                    self._clients.config.timing.lease,
                )
            )  # fmt: skip
        return rows

    def _notes(self, now: Moment) -> list[str]:
        notes = self.jobs.notes
        shown = {
            "the database cannot be written": self.stuck and f"{self.stuck} It goes on by itself.",
            "the lock cannot be renewed": self.unsigned
            and f"{self.unsigned}. Make room, or mend it: it goes on by itself.",
            "held": notes.held and f"{notes.held}. Mend it, then resume.",
            "waiting for the batch system": self.jobs.backoff.reason,
            "the queue cannot be seen": notes.blind
            and f"{notes.blind}; jobs go on, and it is looked again by itself",
            "cancelling": notes.cancel,
            "jobs died before they asked for work": not notes.held and notes.early_deaths,
            "excluded nodes": ", ".join(self.jobs.nodes.excluded(now.monotonic)),
            "connections without this run's key": str(self._refused or ""),
            "new clients wait": self._is_shut and "too many connections are open",
            "damaged data were kept aside": damage(self._clients.book.rows, self._clients.reports),
        }
        return [f"{what}: {why}" for what, why in shown.items() if why]

    def _complaints(self) -> list[str]:
        if not self._folder.complaints.is_dir():
            return []
        return [
            f"job {path.name} reached no manager: {path.read_text(errors='replace')[:300]}"
            for path in sorted(self._folder.complaints.iterdir())[:_COMPLAINTS]
        ]
