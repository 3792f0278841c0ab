"""Answers the requests of clients. No socket, file or clock is used here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from adaptive_scheduler.core.jobs.outputs import Output
from adaptive_scheduler.core.jobs.records import JobRecord
from adaptive_scheduler.core.rows.events import Finished, Lost, Raised, Released
from adaptive_scheduler.core.rows.row import CANCELLED, QUEUED, RUNNING, Item
from adaptive_scheduler.core.rows.run_state import RunState
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
    Request,
    Welcome,
)

#: Seconds until a client without work asks again: soon while items may come free.
WAIT = 1.0
#: Why a job gets no work although there is some.
NO_MORE = "its job is cancelled, or one more than the run may have by now"


@dataclass(frozen=True)
class Moment:
    """One instant on both clocks: seconds since 1970, and the host's monotonic seconds."""

    wall: float
    monotonic: float


class DatabaseManager:
    """Answers clients: gives items, takes them back, keeps their reports.

    Parameters
    ----------
    state : RunState
    output : callable
        Given a job, the last lines that it printed; None if there is no file of it.
    """

    def __init__(self, state: RunState, output: Output = lambda _: None) -> None:
        self._state = state
        self._output = output
        self._submits: dict[str, int] = {}
        self._replies: dict[str, tuple[int, Reply]] = {}

    def handle(self, owner: Owner, number: int, request: Request, now: Moment) -> Reply:
        """Answer one request, which may come twice or late.

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
        if isinstance(request, (Hello, Goodbye)) and request.submit >= 0:
            self._submits[owner.job] = request.submit
        record = self.renew_lease(owner, request, now)
        if type(record) is Refused:
            reply: Reply = record
        else:
            reply = _ANSWERS[type(request)](self, owner, record, request, now)
        self._replies[owner.uuid] = (number, reply)
        return reply

    def last_number(self, owner: Owner) -> int:
        """Return the number of the last request of a client that was answered here."""
        return self._replies.get(owner.uuid, (0, Ok()))[0]

    def renew_lease(self, owner: Owner, request: Request, now: Moment) -> JobRecord | Refused:
        """Any request does. But a claim that comes after its client's goodbye must not give work."""
        known = self._state.jobs.records.get(owner.job)
        has_left = known is not None and known.goodbye and known.owner == owner
        if has_left and type(request) is not Goodbye:
            return Refused("left", f"the client of job {owner.job} has said goodbye before.")
        jobs, before = self._state.jobs, None if known is None else known.owner
        record = jobs.on_heartbeat(owner, self._submits.get(owner.job, -1), now.monotonic)
        if before is not None and before != owner and type(record) is not Refused:
            self._lose_tasks(before, owner, now)
        return record

    def _lose_tasks(self, before: Owner, owner: Owner, now: Moment) -> None:
        """A job has a new client: the tasks of the one before have died with it."""
        if owner.job in self._state.items.tasks.of_job or owner.job in self._state.tasks.heads:
            was_requeued = before.restart != owner.restart  # that is not the tasks' fault
            cause = "cancelled" if was_requeued else "unknown"
            self._state.tasks.lose_head(owner.job, "its head was started anew", cause, now.wall)
            self._state.dirty = True

    def _welcome(self, owner: Owner, _record: JobRecord, request: Hello, now: Moment) -> Reply:
        started = now.wall - request.age if 0.0 < request.age < now.wall else now.wall
        self._state.jobs.on_hello(owner.job, request.host, started, request.ranks)
        if request.inventory:
            self._state.tasks.meet_head(owner, request.inventory)
            self._state.note_nodes(owner.job, now.wall, now.monotonic)
        timing = self._state.config.timing
        return Welcome(self._state.config.run, timing.beat, timing.lease, timing.idle)

    # ------------------------------------------------------------------ an item is taken

    def _claim(
        self, owner: Owner, record: JobRecord, _request: Claim | Finish, now: Moment
    ) -> Reply:
        state = self._state
        held = state.items.held_by(owner.job)
        if held is None and state.is_one_too_many(owner.job):
            state.stops.being_cancelled[owner.job] = now.monotonic
        if held is None and owner.job in state.stops.being_cancelled:
            return Idle(WAIT, over=True, reason=NO_MORE)
        last = state.reports.get(held.id) if held is not None else None
        output = (self._output(owner.job) or "") if held is not None and held.owner != owner else ""
        item = state.items.claim(owner, record.shape, now.wall, last, output)
        if type(item) is Refused:
            return item
        if held is not None and (item is None or item.token != held.token):
            state.reports.pop(held.id, None)
        if item is None:
            over = state.cancelled or not state.items.may_become_free(record.shape)
            state.dirty = state.dirty or over
            return Idle(WAIT, over)
        if held is None or held.token != item.token:
            state.jobs.on_claim(owner.job, now.monotonic)
        return Assigned(
            item.id, item.token, item.fname, item.worked, state.combos.get(item.id), item.kind
        )

    # ------------------------------------------------------------ an item goes on, or ends

    def _beat(self, _owner: Owner, _record: JobRecord, request: Beat, _now: Moment) -> Reply:
        if not request.token:
            return Ok()
        item = self._check_token(request.token)
        if type(item) is Refused:
            return item
        self._state.reports[item.id] = request.report
        self._state.count_barren_run(request.report, is_over=False)
        return Ok()

    def _check_token(self, token: int) -> Item | Refused:
        """Return the item that a token is valid for."""
        item = self._state.items.by_token(token)
        if item is None:
            return _unknown_token()
        if item.phase is CANCELLED and item.token == token:
            return Refused("cancelled", f"item {item.id} was cancelled: save it, then let go.")
        if item.phase is not RUNNING or item.token != token:
            return Refused(
                "stale_token", f"item {item.id} is {item.phase.value} by now ({item.reason})."
            )
        return item

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
        event = Released(request.token, request.reason, request.report, request.how)
        return self._end(event, now)

    def _end(self, event: Finished | Raised | Released, now: Moment) -> Reply:
        state, items = self._state, self._state.items
        item = items.by_token(event.token)
        if item is None:
            return _unknown_token()
        queued = items.phases[QUEUED]
        after = items.apply(item.id, event, now.wall)
        if type(after) is Refused:
            return after
        state.reports.pop(item.id, None)
        has_begun = event.report.seconds > 0  # else it was given to a client that was about to end
        state.count_barren_run(event.report, is_over=type(event) is Released and has_begun)
        more_queued = items.phases[QUEUED] > queued  # itself again, or what depends on it
        state.dirty = state.dirty or more_queued or items.unfinished == 0
        return Ok()

    # ----------------------------------------------------------------------- a client ends

    def _goodbye(self, owner: Owner, _record: JobRecord, request: Goodbye, now: Moment) -> Reply:
        state = self._state
        state.jobs.on_goodbye(owner.job, request.reason, request.broken)
        lost = Lost(request.reason or "its client left", how=request.how)
        state.take_back(owner.job, lost, now.wall)
        state.dirty = True
        return Ok()

    def receive_offline_goodbye(self, owner: Owner, goodbye: Goodbye, now: Moment) -> bool:
        """Take in a goodbye that was left in a file; False if it changes nothing any more."""
        record = self._state.jobs.records.get(owner.job)
        if record is None or record.ended or record.goodbye or record.owner not in (None, owner):
            return False
        self._goodbye(owner, record, goodbye, now)
        return True


def _unknown_token() -> Refused:
    return Refused("stale_token", "this token was given for no item of this run.")


#: Request -> how it is answered.
_ANSWERS: dict[type, Callable[[DatabaseManager, Owner, JobRecord, Any, Moment], Reply]] = {
    Hello: DatabaseManager._welcome,  # noqa: SLF001  the class's own table
    Claim: DatabaseManager._claim,  # noqa: SLF001
    Beat: DatabaseManager._beat,  # noqa: SLF001
    Finish: DatabaseManager._finish,  # noqa: SLF001
    Fail: DatabaseManager._fail,  # noqa: SLF001
    Release: DatabaseManager._release,  # noqa: SLF001
    Goodbye: DatabaseManager._goodbye,  # noqa: SLF001
}
#: What clients send.
CLIENT_REQUESTS = frozenset(_ANSWERS)
