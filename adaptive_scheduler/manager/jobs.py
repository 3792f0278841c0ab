"""The manager's side of the batch system: decides which commands to run, and runs none itself."""

from __future__ import annotations

import sys
from collections.abc import Sequence, Set

import msgspec

from adaptive_scheduler.core.config import JobLimits, RunConfig
from adaptive_scheduler.core.jobs.commands import (
    Action,
    CancelDone,
    CancelJobs,
    Command,
    ForgetSubmit,
    FreeItem,
    Hold,
    ListingFailed,
    ListQueue,
    MarkDead,
    NotSubmitted,
    QueueListing,
    Result,
    SubmitJobs,
    Submitted,
    SubmitUnknown,
)
from adaptive_scheduler.core.jobs.job_table import JobTable
from adaptive_scheduler.core.jobs.listing_schedule import ListingSchedule
from adaptive_scheduler.core.jobs.outputs import (
    Output,
    early_deaths_text,
    end_reason,
    explain_early_death,
)
from adaptive_scheduler.core.jobs.reconcile import ItemCounts, ObservedJobs, reconcile
from adaptive_scheduler.core.jobs.submit_policy import LogEntry, SubmitPolicy
from adaptive_scheduler.core.rows.events import Lost
from adaptive_scheduler.core.rows.row import WAITING
from adaptive_scheduler.core.rows.run_state import RunState
from adaptive_scheduler.core.wire.ends import How, JobEnd, how_of_dead_job
from adaptive_scheduler.manager.clients import Moment
from adaptive_scheduler.manager.notes import Notes
from adaptive_scheduler.manager.tasks.jobs_wanted import idle_in_vain, jobs_wanted, room_of_pools

#: Seconds after which a cancel that had no effect is sent again.
CANCEL_AGAIN = 15.0
#: Of a manager that submits nothing.
_NO_JOBS = JobLimits(max_jobs=0)


class JobManager:
    """Takes in what the batch system answers, and decides what it is asked next.

    Parameters
    ----------
    state : RunState
    output : callable
        Given a job, the last lines that it printed; None if it has no output file.

    Attributes
    ----------
    scheduler : str
        Name of the batch system; "" until `configure`: no job is submitted before.
    policy : SubmitPolicy
    nodes : NodeHealth
    notes : Notes
    """

    def __init__(self, state: RunState, output: Output = lambda _: None) -> None:
        self.scheduler = ""
        self.output = output
        self._state = state
        self.notes = Notes()
        self.nodes = state.stops.nodes
        self.policy = SubmitPolicy(max_array=1)
        self._listings = ListingSchedule(state.config.timing.interval)
        self._over_since: float | None = None
        self._reported_deaths = 0

    def configure(self, config: RunConfig, scheduler: str, max_array: int) -> None:
        """Submit jobs from now on.

        Parameters
        ----------
        config : RunConfig
            With what kind of jobs to submit.
        scheduler : str
            Name of the batch system.
        max_array : int
            The most jobs that one submit may make.
        """
        self._state.config = config
        self._state.pools.write_shapes(config.shapes)
        self._state.pools.takes_more = True
        self.scheduler = scheduler
        self.policy = SubmitPolicy(max_array, self.policy.under_way)
        self._listings = ListingSchedule(config.timing.interval)
        self._state.dirty = True

    @property
    def submits(self) -> bool:
        """Whether jobs are submitted."""
        return bool(self.scheduler)

    @property
    def _config(self) -> RunConfig:
        return self._state.config

    @property
    def _jobs(self) -> JobTable:
        return self._state.jobs

    # ------------------------------------------------------------------- listing

    def commands_due(self, now: Moment) -> list[Command]:
        """Return a command that lists the queue, if it is time for that."""
        has_waited = self.policy.backoff.has_ended(self._listings.last, now.monotonic)
        wanted = self._state.dirty or has_waited
        if not self._listings.is_due(now.monotonic, wanted, self._is_any_leaving):
            return []
        self._state.dirty = False
        self._listings.on_sent(now.monotonic)
        return [ListQueue(self._jobs.unexplained(), self._jobs.started())]

    def next_due(self, now: Moment) -> float:
        """Return the seconds until `commands_due` may return something."""
        return self._listings.next_due(now.monotonic, self._state.dirty, self._is_any_leaving)

    @property
    def _is_any_leaving(self) -> bool:
        return self._over_since is not None or bool(self._jobs.leaving)

    # ------------------------------------------------------------------- results

    def on_result(self, result: Result, now: Moment) -> list[Command]:
        """Take in the result of a command; returns the commands that follow from it."""
        match result:
            case QueueListing():
                return self._on_listing(result, now)
            case ListingFailed():
                error, seconds = self._listings.on_failed(result.reason, now.monotonic)
                self.notes.listing_error = error
                self.notes.record("queue_not_seen", reason=result.reason, seconds=seconds)
            case CancelDone():
                self.notes.cancel_error = result.error
                self._jobs.on_cancelled(result.jobs)
                self._state.dirty = True
            case Submitted():
                self.policy.on_accepted(self._state.backoff_reason)
                self._jobs.end_submit(result.number, result.jobs, now.monotonic)
                self.notes.record("jobs_submitted", jobs=list(result.jobs))
                self._state.dirty = True
            case NotSubmitted():
                n = self._jobs.submits[result.number].n
                self._jobs.forget_submit(result.number)
                self._apply(self.policy.on_refused(result, n, now.monotonic))
                if not self.policy.backoff.reason_at(now.monotonic):
                    self._state.dirty = True  # other submits may do
            case SubmitUnknown():
                self._jobs.doubt_submit(result.number, now.monotonic)
                entry = self.policy.on_unanswered(
                    result.reason, now.monotonic, is_limit=result.is_limit
                )
                self._apply(entry)
        return []

    def _on_listing(self, listing: QueueListing, now: Moment) -> list[Command]:
        self.notes.listing_error = ""
        self._listings.on_listed()
        grace = self._config.timing.grace
        self._jobs.on_listing(listing, now.monotonic, self._config.run, grace)
        return self.reconcile(now)

    def _apply(self, outcome: Hold | LogEntry | None) -> None:
        if isinstance(outcome, Hold):
            self.hold(outcome.reason)
        elif outcome is not None:
            self.notes.record(outcome.event, **outcome.facts)

    def hold(self, reason: str) -> None:
        """Submit nothing more until `resume`."""
        # several submits of a group are refused for one reason
        if self._state.stops.held != reason:
            self._state.stops.held = reason
            self.notes.record("run_held", reason=reason)

    def resume(self) -> None:
        """Submit again: the user has mended what was wrong."""
        self._state.stops.held = ""
        self.policy.reset()
        self._listings.reset()
        self._jobs.reset_early_deaths()
        self._state.stops.barren_runs = 0
        self._state.dirty = True

    # ------------------------------------------------------------------ deciding

    def reconcile(self, now: Moment) -> list[Command]:
        """Decide and act until nothing more follows."""
        commands: list[Command] = []
        self._state.fail_unplaceable(now.wall, now.monotonic)
        limits = self._limits()
        for _ in range(len(self._jobs.records) + 2):  # each further round marks a job as dead
            actions = reconcile(self._counts(now), self._observe(now), limits, self._config.timing)
            for action in actions:
                commands += self._carry_out(action, now)
            if not any(
                isinstance(action, (MarkDead, FreeItem, ForgetSubmit)) for action in actions
            ):
                break
        self._note_early_deaths()
        return commands

    def _limits(self) -> JobLimits:
        if not self.submits:
            return _NO_JOBS
        if self._state.pools.by_shape:  # each has a limit of its own
            return JobLimits(max_jobs=sys.maxsize)
        return self._config.limits

    def _counts(self, now: Moment) -> ItemCounts:
        items, tasks = self._state.items, self._state.tasks
        if not (self._state.pools.by_shape or tasks.is_open):
            return ItemCounts(items.queued, items.running, items.phases[WAITING])
        # what has not ended is not over, whether a job is wanted for it or not
        is_open = tasks.is_open and not self._state.cancelled
        wanted = {} if self._state.is_over else jobs_wanted(self._state, now.monotonic)
        return ItemCounts(wanted, {}, items.unfinished + is_open, room_of_pools(self._state))

    def _observe(self, now: Moment) -> ObservedJobs:
        if not (self._state.is_over or self._state.cancelled):
            self._over_since = None
        elif self._over_since is None:
            self._over_since = now.monotonic
        holders: Set[str] = self._state.items.holders
        if self._state.items.tasks.of_job:
            holders = holders | self._state.items.tasks.of_job.keys()
        jobs, nodes = self._jobs.to_judge(holders, now.monotonic, self._config.timing.lease)
        self.nodes.add(nodes)
        return ObservedJobs(
            now=now.monotonic,
            jobs=jobs,
            holders=holders,
            submits=list(self._jobs.pending_submits.values()),
            at_work=len(self._jobs.live) - len(jobs),
            blocked=self._state.stops.held or self.policy.blocked(now.monotonic),
            over_for=now.monotonic - self._over_since if self._over_since is not None else 0.0,
            early_deaths=self._jobs.early_deaths,
            given_work=self._jobs.given_work,
            being_cancelled=self._state.stops.being_cancelled,
            idle_in_vain=idle_in_vain(self._state, now.monotonic),
        )

    def _note_early_deaths(self) -> None:
        """Report what jobs die of, also while others live: once for all that a listing shows."""
        n = self._jobs.early_deaths
        if n != self._reported_deaths:
            self._reported_deaths = n
            self.notes.early_deaths = early_deaths_text(n, self._jobs.records.values(), self.output)

    def _explain_early_death(self) -> str:
        return explain_early_death(self._jobs.records.values(), self.output)

    # -------------------------------------------------------------------- acting

    def _carry_out(self, action: Action, now: Moment) -> Sequence[Command]:
        match action:
            case MarkDead():
                self._mark_dead(action, now)
            case FreeItem():
                self._state.take_back(action.job, Lost(action.reason, how=How.LOST), now.wall)
            case ForgetSubmit():
                self._jobs.forget_submit(action.number)
            case Hold():
                self.hold(action.reason + self._explain_early_death())
            case CancelJobs():
                return self._cancel(action, now)
            case SubmitJobs():
                return self._submit(action, now)
        return []

    def _mark_dead(self, action: MarkDead, now: Moment) -> None:
        is_cancelled = self._state.stops.being_cancelled.pop(action.job, None) is not None
        is_ours = is_cancelled and action.cause == JobEnd.UNKNOWN
        cause = JobEnd.CANCELLED if is_ours else action.cause
        crash = action.crash and cause != JobEnd.CANCELLED
        item = self._state.items.held_by(action.job)
        held = item.id if item else None
        self.nodes.on_death(self._jobs.live[action.job], held, crash, now.monotonic)
        printed = (self.output(action.job) or "") if crash else ""
        reason = end_reason(action.job, cause, printed)
        how = how_of_dead_job(cause, crash=crash)
        self._state.take_back(action.job, Lost(reason, crash, output=printed, how=how), now.wall)
        self._jobs.mark_dead(action.job, cause)
        self.policy.on_job_ended()
        self.notes.record("job_ended", job=action.job, cause=cause, crash=crash)
        if (barren := self._state.backoff_reason) and not self._state.stops.held:
            outcome = self.policy.on_barren(barren, now.monotonic)
            if isinstance(outcome, Hold):
                goodbye = self._jobs.records[action.job].goodbye
                last = f"job {action.job} ended: {goodbye}" if goodbye else reason
                words = self._explain_early_death() or f". The last one: {last.rstrip('.')}"
                outcome = Hold(outcome.reason + words)
            self._apply(outcome)

    def _cancel(self, action: CancelJobs, now: Moment) -> list[Command]:
        """Cancel each job once in a while, not at every listing."""
        sent = self._state.stops.being_cancelled
        due = [
            job for job in action.jobs
            if now.monotonic - sent.get(job, float("-inf")) > CANCEL_AGAIN
        ]  # fmt: skip
        if not due:
            return []
        sent.update(dict.fromkeys(due, now.monotonic))
        self.notes.record("jobs_cancelled", jobs=due, reason=action.reason)
        return [CancelJobs(due, action.reason, action.if_silent)]

    def still_to_send(self, command: Command, now: Moment) -> Command | None:
        """Return what is to be sent of a command that may have waited for the disk.

        A job that was silent, and has been heard since, goes on.
        """
        if not isinstance(command, CancelJobs) or not command.if_silent:
            return command
        lease, live = self._state.config.timing.lease, self._jobs.live
        jobs = [
            one
            for one in command.jobs
            if one not in live or live[one].silence(now.monotonic) > lease
        ]
        for job in set(command.jobs).difference(jobs):
            self._state.stops.being_cancelled.pop(job, None)
        return msgspec.structs.replace(command, jobs=jobs) if jobs else None

    def _submit(self, action: SubmitJobs, now: Moment) -> list[Command]:
        portions = self.policy.split(self._free_names(self.policy.most(action.n)))
        self.policy.on_sent(len(portions), self._state.backoff_reason, now.monotonic)
        excluded = self.nodes.excluded(now.monotonic)
        commands: list[Command] = []
        group = 0
        for name, n in portions:
            submit = self._jobs.begin_submit(action.shape, n, name, now.wall, now.monotonic)
            group = group or submit.number
            commands.append(SubmitJobs(action.shape, n, submit.number, name, excluded, group))
        return commands

    def _free_names(self, n: int) -> list[str]:
        """Return one name for all jobs, or for each job one that no live job has."""
        names = self._config.job_names
        if len(names) == 1:
            return names * n
        taken = self._jobs.names_in_use()
        return [name for name in names if name not in taken][:n]
