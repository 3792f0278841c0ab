"""Answer clients: who runs what. No socket, no file, no clock in here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.jobs.job_table import JobTable
from adaptive_scheduler.core.jobs.reconcile import EARLY_DEATHS
from adaptive_scheduler.core.jobs.records import JobRecord, Output
from adaptive_scheduler.core.rows.events import Finished, Lost, Raised, Released
from adaptive_scheduler.core.rows.item_table import ItemTable
from adaptive_scheduler.core.rows.items import CANCELLED, QUEUED, RUNNING, Item
from adaptive_scheduler.core.wire.messages import (
    Assigned,
    Beat,
    Claim,
    Fail,
    Finish,
    Goodbye,
    Hello,
    Idle,
    Ok,
    Owner,
    Refused,
    Release,
    Reply,
    Report,
    Request,
    Welcome,
)

#: Seconds until a client without work asks again: soon while items may come free.
WAIT = 1.0


@dataclass(frozen=True)
class Moment:
    """One instant on both clocks: seconds since 1970, and the host's monotonic seconds."""

    wall: float
    monotonic: float


class DatabaseManager:
    """The clients' side of the manager.

    Parameters
    ----------
    book : ItemTable
    jobs : JobTable
    combos : mapping of int to object
        The rows' combinations of parameters, if the database was made with them.
    config : RunConfig

    Attributes
    ----------
    reports : dict of int to Report
        The last report of each running row.
    news : bool
        Something happened that the job manager should look at.
    closing : bool
        The run was cancelled.
    leaving : dict of str to float
        Jobs that are being cancelled, and since when: they get no more work.
    fruitless : int
        Times in a row that an item that was begun was given back before one point was evaluated.
    output : callable
        Gives the end of what a job has printed.
    """

    def __init__(
        self, book: ItemTable, jobs: JobTable, combos: Mapping[int, Any], config: RunConfig
    ) -> None:
        self.book = book
        self.jobs = jobs
        self.config = config
        self.reports: dict[int, Report] = {}
        self.news = True
        self.closing = False
        self.leaving: dict[str, float] = {}
        self.fruitless = 0
        self.output: Output = lambda _: None
        self._combos = combos
        self._submits: dict[str, int] = {}
        self._replies: dict[str, tuple[int, Reply]] = {}

    @property
    def bad_luck(self) -> str:
        """Why more jobs like the last ones would be a waste; "" if they would not."""
        early = self.jobs.early_deaths
        if self.jobs.lived and early >= EARLY_DEATHS:
            return f"{early} jobs in a row died before they asked for work"
        if self.fruitless >= EARLY_DEATHS:
            return (
                f"{self.fruitless} times in a row a job ended before it had evaluated one point: "
                "its walltime is too short, its point too long, or something ends it"
            )
        return ""

    def _judge(self, report: Report | None, *, is_over: bool) -> None:
        """See by a report whether jobs get anywhere."""
        if report is not None and report.new_points:
            self.fruitless = 0
        elif is_over:
            self.fruitless += 1

    def handle(self, owner: Owner, number: int, request: Request, now: Moment) -> Reply:
        """Answer one request of a client.

        Parameters
        ----------
        owner : Owner
            Who asks.
        number : int
            Of its requests; the same number gets the same reply.
        request : Request
        now : Moment
        """
        last = self._replies.get(owner.uuid)
        if last is not None and number <= last[0]:
            return last[1] if number == last[0] else Refused("old_request", "answered before.")
        if type(request) is Hello:
            self._submits[owner.job] = request.submit
        record = self._hear(owner, request, now)
        if type(record) is Refused:
            reply: Reply = record
        else:
            reply = self._answer(owner, record, request, now)
        self._replies[owner.uuid] = (number, reply)
        return reply

    def _hear(self, owner: Owner, request: Request, now: Moment) -> JobRecord | Refused:
        """Know who speaks. A claim that comes after its client's goodbye must not give it work."""
        known = self.jobs.records.get(owner.job)
        has_left = known is not None and known.goodbye and known.owner == owner
        if has_left and type(request) is not Goodbye:
            return Refused("left", f"the client of job {owner.job} has said goodbye before.")
        return self.jobs.hear(owner, self._submits.get(owner.job, -1), now.monotonic)

    def _answer(self, owner: Owner, record: JobRecord, request: Request, now: Moment) -> Reply:
        answer = _ANSWERS.get(type(request))
        if answer is None:
            return Refused("not_for_clients", f"{type(request).__name__} is for people.")
        return answer(self, owner, record, request, now)

    def _welcome(self, owner: Owner, _record: JobRecord, request: Hello, _now: Moment) -> Reply:
        self.jobs.note_host(owner.job, request.host)
        timing = self.config.timing
        return Welcome(self.config.run, timing.beat, timing.lease, timing.idle)

    def _claim(
        self, owner: Owner, record: JobRecord, _request: Claim | Finish, now: Moment
    ) -> Reply:
        held = self.book.held_by(owner.job)
        last = self.reports.get(held.id) if held is not None else None
        if held is None and owner.job in self.leaving:
            return Idle(WAIT, over=True)
        output = (self.output(owner.job) or "") if held is not None and held.owner != owner else ""
        item = self.book.claim(owner, record.shape, now.wall, last, output)
        if type(item) is Refused:
            return item
        if held is not None and (item is None or item.token != held.token):
            self.reports.pop(held.id, None)
        if item is None:
            over = self.closing or not self.book.may_become_free(record.shape)
            self.news = self.news or over
            return Idle(WAIT, over)
        if held is None or held.token != item.token:
            self.jobs.note_claim(owner.job, now.monotonic)
        return Assigned(
            item.id, item.token, item.fname, item.worked, self._combos.get(item.id), item.kind
        )

    def _holder(self, token: int) -> Item | Refused:
        """Return the row that a token is good for."""
        row = self.book.row_of(token)
        if row is None:
            return Refused("stale_token", "this right is of no item that this run knows.")
        item = self.book.rows[row]
        if item.phase is CANCELLED and item.token == token:
            return Refused("cancelled", f"item {row} was cancelled: save it, then let go.")
        if item.phase is not RUNNING or item.token != token:
            return Refused(
                "stale_token", f"item {row} is {item.phase.value} by now ({item.reason})."
            )
        return item

    def _beat(self, _owner: Owner, _record: JobRecord, request: Beat, _now: Moment) -> Reply:
        if not request.token:
            return Ok()
        item = self._holder(request.token)
        if type(item) is Refused:
            return item
        self.reports[item.id] = request.report
        self._judge(request.report, is_over=False)
        return Ok()

    def _finish(self, owner: Owner, record: JobRecord, request: Finish, now: Moment) -> Reply:
        reply = self._end(Finished(request.token, request.report), now)
        if request.claims and type(reply) is Ok:
            return self._claim(owner, record, request, now)
        return reply

    def _fail(self, _owner: Owner, _record: JobRecord, request: Fail, now: Moment) -> Reply:
        event = Raised(
            request.token, request.reason, request.traceback, request.report, request.crash,
            request.workers,
        )  # fmt: skip
        return self._end(event, now)

    def _release(self, _owner: Owner, _record: JobRecord, request: Release, now: Moment) -> Reply:
        return self._end(Released(request.token, request.reason, request.report), now)

    def _end(self, event: Finished | Raised | Released, now: Moment) -> Reply:
        row = self.book.row_of(event.token)
        if row is None:
            return Refused("stale_token", "this right is of no item that this run knows.")
        free = self.book.phases[QUEUED]
        after = self.book.apply(row, event, now.wall)
        if type(after) is Refused:
            return after
        self.reports.pop(row, None)
        has_begun = event.report.seconds > 0  # else it was given to a client that was about to end
        self._judge(event.report, is_over=type(event) is Released and has_begun)
        if type(event) is Raised and after.phase is QUEUED:
            self.book.delay(row, now.monotonic)
        more_free = self.book.phases[QUEUED] > free  # itself again, or what waited for it
        self.news = self.news or more_free or self.book.unfinished == 0
        return Ok()

    def hear_late(self, owner: Owner, goodbye: Goodbye, now: Moment) -> bool:
        """Take in a goodbye that no manager heard; False if it is of no client that is missed."""
        record = self.jobs.records.get(owner.job)
        if record is None or record.ended or record.goodbye or record.owner not in (None, owner):
            return False
        self._goodbye(owner, record, goodbye, now)
        return True

    def _goodbye(self, owner: Owner, _record: JobRecord, request: Goodbye, now: Moment) -> Reply:
        self.jobs.note_goodbye(owner.job, request.reason, request.broken)
        self.free(owner.job, Lost(request.reason or "its client left"), now)
        self.news = True
        return Ok()

    def free(self, job: str, event: Lost, now: Moment) -> None:
        """Take back what a job holds, if it holds anything."""
        item = self.book.held_by(job)
        if item is None:
            return
        last = self.reports.pop(item.id, None)
        self._judge(last, is_over=not event.crash)
        lost = Lost(event.reason, event.crash, last, event.output)
        self.book.apply(item.id, lost, now.wall)
        self.news = True


#: Request -> how it is answered. What is not here is not for clients.
_ANSWERS: dict[type, Callable[[DatabaseManager, Owner, JobRecord, Any, Moment], Reply]] = {
    Hello: DatabaseManager._welcome,  # noqa: SLF001  the class's own table
    Claim: DatabaseManager._claim,  # noqa: SLF001
    Beat: DatabaseManager._beat,  # noqa: SLF001
    Finish: DatabaseManager._finish,  # noqa: SLF001
    Fail: DatabaseManager._fail,  # noqa: SLF001
    Release: DatabaseManager._release,  # noqa: SLF001
    Goodbye: DatabaseManager._goodbye,  # noqa: SLF001
}
