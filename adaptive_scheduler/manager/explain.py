"""Answer who asks why an item or a job is as it is. No socket, no file, no clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from adaptive_scheduler.core.jobs.outputs import IsOver, complaint_is_over
from adaptive_scheduler.core.reasons.question import Known
from adaptive_scheduler.core.reasons.table import explain
from adaptive_scheduler.core.rows.run_state import RunState
from adaptive_scheduler.core.wire.messages import Owner, Refused, Reply
from adaptive_scheduler.core.wire.reasons import Explain, Reasons
from adaptive_scheduler.manager.clients import Moment
from adaptive_scheduler.manager.jobs import JobManager
from adaptive_scheduler.manager.persistence import Persistence

#: What people ask.
EXPLAIN_REQUESTS = frozenset((Explain,))


class Explainer:
    """Tells people what keeps an item or a job; changes nothing.

    Parameters
    ----------
    state : RunState
    jobs : JobManager
    persistence : Persistence
    complaints : callable
        Reads what clients wrote that could not reach a manager, by their jobs: given what says whether
        such a complaint is over, and the job that is asked about.
    """

    def __init__(
        self,
        state: RunState,
        jobs: JobManager,
        persistence: Persistence,
        complaints: Callable[[IsOver, str], Mapping[str, str]],
    ) -> None:
        self._state = state
        self._jobs = jobs
        self._persistence = persistence
        self._complaints = complaints

    def handle(self, _owner: Owner, _number: int, request: Explain, now: Moment) -> Reply:
        """Answer one request."""
        if request.job:
            return self._of_job(request.job, now)
        rows = self._state.items.rows
        if not 0 <= request.item < len(rows):
            kind = self._state.config.kind
            return Refused("no_such_item", f"there is no {kind} {request.item}.")
        row = rows[request.item]
        return Reasons(row.phase.value, explain(self._known(now, row.job or ""), row))

    def _of_job(self, job: str, now: Moment) -> Reply:
        record = self._state.jobs.records.get(job)
        if record is None:
            return Refused("no_such_job", f"this run has no job {job}.")
        live = self._state.jobs.live.get(job)
        state = "ended" if live is None else "not listed"
        if live is not None and live.listed is not None:
            state = live.listed.native_state
        return Reasons(state, explain(self._known(now, job), record=record))

    def _known(self, now: Moment, job: str) -> Known:
        policy = self._jobs.policy
        is_over = complaint_is_over(self._state.jobs, now.wall, now.monotonic)
        return Known(
            self._state,
            now.wall,
            now.monotonic,
            submits=self._jobs.submits,
            is_full=policy.is_at_limit and bool(policy.backoff.reason),
            submit_error=policy.backoff.reason,
            listing_error=self._jobs.notes.listing_error,
            write_error=self._persistence.write_error,
            early_deaths=self._jobs.notes.early_deaths,
            complaints=self._complaints(is_over, job),
            output=self._jobs.output,
        )
