"""Decide which jobs the batch system is to run. No command is run in here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from adaptive_scheduler.core.config import Limits, RunConfig
from adaptive_scheduler.core.jobs.backoff import Backoff, Room
from adaptive_scheduler.core.jobs.batch_jobs import Refusal
from adaptive_scheduler.core.jobs.commands import (
    CancelDone,
    CancelTask,
    ListingFailed,
    ListQueue,
    NotSubmitted,
    QueueListing,
    Result,
    Submit,
    Submitted,
    SubmitUnknown,
    Task,
)
from adaptive_scheduler.core.jobs.job_table import JobTable
from adaptive_scheduler.core.jobs.nodes import QUICK, NodeHealth
from adaptive_scheduler.core.jobs.reconcile import (
    Action,
    BuryJob,
    CancelJobs,
    Counts,
    ForgetSubmit,
    FreeItem,
    Hold,
    Observed,
    SubmitJobs,
    reconcile,
)
from adaptive_scheduler.core.jobs.records import Output, end_reason, last_words
from adaptive_scheduler.core.rows.events import Lost
from adaptive_scheduler.core.rows.items import WAITING
from adaptive_scheduler.core.rows.run_state import RunState
from adaptive_scheduler.manager.clients import Moment
from adaptive_scheduler.manager.notes import Notes

#: Looks at the queue that events ask for are at least this far apart (seconds):
#: administrators count them.
SPACING = 1.0
#: Waves of jobs, each after a longer wait, of which none got anywhere: then a person must look.
MAX_VAIN_WAVES = 8
#: Seconds after a look that failed in which none is made: the first time, and at most.
FIRST_BLIND, LONGEST_BLIND = SPACING / 2, 60.0
#: A cancel that had no effect is sent again after this time (seconds).
AGAIN = 15.0
#: Of a manager that submits nothing.
_NO_JOBS = Limits(max_simultaneous_jobs=0)


class JobManager:
    """The batch system's side of the manager.

    Parameters
    ----------
    state : RunState
    output : callable
        Given a job, the last lines that it printed; None if there is no file of it.

    Attributes
    ----------
    scheduler : str
        Name of the batch system; "" until `configure`: no job is submitted before.
    """

    def __init__(self, state: RunState, output: Output = lambda _: None) -> None:
        self.scheduler = ""
        self._output = output
        self._state = state
        self._largest_array = self._max_array = 0
        self._room = Room()
        self.notes = Notes()
        self.nodes = NodeHealth()
        self._looking = False
        self._last_look = float("-inf")
        self.backoff = Backoff()
        self._blind = Backoff(FIRST_BLIND, LONGEST_BLIND)
        self._over_since: float | None = None
        self._submitting = self._told_deaths = 0
        self._vain_waves: set[float] = set()  # when they were submitted
        #: Submits that are under way together are a wave; whether one of this wave was not taken.
        self._is_wave_refused = False
        #: Whether the wait is for room, so that the end of a job ends it.
        self._is_at_limit = False

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
        self.scheduler = scheduler
        self._largest_array = self._max_array = max_array
        self._state.dirty = True

    @property
    def submits(self) -> bool:
        """Whether jobs are submitted."""
        return bool(self.scheduler)

    @property
    def _config(self) -> RunConfig:
        return self._state.config

    @property
    def _limits(self) -> Limits:
        return self._config.limits if self.submits else _NO_JOBS

    @property
    def _jobs(self) -> JobTable:
        return self._state.jobs

    # -------------------------------------------------------------------- asking

    def tasks(self, now: Moment) -> list[Task]:
        """Return what is to be asked of the batch system at this moment."""
        since = now.monotonic - self._last_look
        is_time = self.backoff.has_ended(self._last_look, now.monotonic)
        wanted = (self._state.dirty or is_time) and since >= SPACING
        due = wanted or since >= self._interval()
        if self._looking or not due or self._blind.left(now.monotonic):
            return []
        self._state.dirty = False
        self._looking, self._last_look = True, now.monotonic
        return [ListQueue(self._jobs.unexplained(), self._jobs.begun())]

    def _interval(self) -> float:
        """Look more often while somebody is expected to leave or has said goodbye."""
        soon = self._over_since is not None or self._jobs.is_any_leaving
        return min(SPACING, self._config.timing.interval) if soon else self._config.timing.interval

    def next_due(self, now: Moment) -> float:
        """Seconds until `tasks` may have something."""
        wait = SPACING if self._state.dirty else self._interval()
        return max(self._blind.left(now.monotonic), self._last_look + wait - now.monotonic)

    # ------------------------------------------------------------------- hearing

    def take(self, result: Result, now: Moment) -> list[Task]:
        """Take in what came of a task; returns what follows from it."""
        match result:
            case QueueListing():
                return self._take_listing(result, now)
            case ListingFailed():
                self._looking = False
                seconds = self._blind.wait(result.reason, now.monotonic)
                self.notes.listing_error = self._blind.reason
                self.notes.record("queue_not_seen", reason=result.reason, seconds=seconds)
            case Submitted():
                if not (self._state.backoff_reason or self._is_wave_refused):
                    self.backoff.clear()
                    self._is_at_limit = False
                self._end_submitting()
                self._jobs.end_submit(result.number, result.jobs, now.monotonic)
                self.notes.record("jobs_submitted", jobs=list(result.jobs))
                self._state.dirty = True
            case NotSubmitted():
                self._refused(result, now)
                self._end_submitting()
            case SubmitUnknown():
                self._jobs.doubt_submit(result.number, now.monotonic)
                self._refuse_wave(f"a submit did not answer: {result.reason}", now)
                self._end_submitting()
            case CancelDone():
                self.notes.cancel_error = result.words
                self._jobs.note_cancelled(result.jobs)
                self._state.dirty = True
        return []

    def _take_listing(self, result: QueueListing, now: Moment) -> list[Task]:
        self._looking, self.notes.listing_error = False, ""
        self._blind.clear()
        run, grace = self._config.run, self._config.timing.grace
        self._jobs.observe(result.jobs, result.endings, now.monotonic, run, result.doubt, grace)
        return self.reconcile(now)

    def _refused(self, result: NotSubmitted, now: Moment) -> None:
        n = self._jobs.submits[result.number].n
        self._jobs.forget_submit(result.number)
        if result.refusal is Refusal.LIMIT or n == 1:
            self._room.refuse(n)  # of many names, each with a submit of its own, one is tried next
        if result.refusal is Refusal.LIMIT and n > 1:
            self._is_wave_refused = self._state.dirty = True
            self.notes.record("fewer_jobs_at_once", reason=result.words, jobs=self._room.most)
        elif result.refusal is Refusal.TOO_LONG and n > 1:
            # the array may be what is too large: sites differ in how long one may be
            self._max_array = max(1, n // 4)
            self._state.dirty = True
            self.notes.record("smaller_arrays", reason=result.words, jobs=self._max_array)
        elif result.refusal in (Refusal.IMPOSSIBLE, Refusal.TOO_LONG):
            self.hold(f"the batch system refuses these jobs: {result.words}")
        else:
            self._refuse_wave(f"{result.words}; {result.refusal.remedy}", now)
            self._is_at_limit = self._is_at_limit or result.refusal is Refusal.LIMIT

    def _refuse_wave(self, words: str, now: Moment) -> None:
        """Wait, once for all submits of a wave: they were sent together, and say one thing."""
        if not (self._is_wave_refused and self.backoff.reason):
            self._wait(words, now)
        self._is_wave_refused = True

    def _end_submitting(self) -> None:
        self._submitting -= 1
        if not (self._submitting or self._is_wave_refused):
            self._room.grow(self._max_array)

    def _make_room(self) -> None:
        """A job has left the queue: nobody has to wait any longer for that."""
        if self._is_at_limit:
            self._is_at_limit = False
            self.backoff.clear()
        else:
            self._room.add()

    def _wait(self, words: str, now: Moment) -> None:
        if self.backoff.why(now.monotonic):
            return  # deaths that one look shows are one reason to wait, too
        self._is_at_limit = False
        seconds = self.backoff.wait(words, now.monotonic)
        self.notes.record("submit_postponed", reason=words, seconds=seconds)

    def hold(self, reason: str) -> None:
        """Submit nothing more until `resume`."""
        if self._state.held == reason:  # several submits of one wave say the same
            return
        self._state.held = reason
        self.notes.record("run_held", reason=reason)

    def resume(self) -> None:
        """Submit again."""
        self._state.held = ""
        self.backoff.clear()
        self._blind.clear()
        self._max_array, self._room, self._is_at_limit = self._largest_array, Room(), False
        self._jobs.pardon()
        self._state.barren_runs = 0
        self._vain_waves.clear()
        self._state.dirty = True

    # ------------------------------------------------------------------ deciding

    def reconcile(self, now: Moment) -> list[Task]:
        """Compare and act until nothing more follows."""
        tasks: list[Task] = []
        for _ in range(len(self._jobs.records) + 2):  # each round buries at least one job
            actions = reconcile(
                self._counts(), self._observed(now), self._limits, self._config.timing
            )
            tasks += [task for action in actions for task in self._carry_out(action, now)]
            if not any(isinstance(action, (BuryJob, FreeItem, ForgetSubmit)) for action in actions):
                break
        self._note_early_deaths()
        return tasks

    def _note_early_deaths(self) -> None:
        """Tell people of what jobs die, also while others live: once for all that a look shows."""
        n = self._jobs.early_deaths
        if n != self._told_deaths:
            self._told_deaths = n
            words = last_words(self._jobs.records.values(), self._output) if n else ""
            self.notes.early_deaths = f"{n} in a row{words}" if n else ""

    def _counts(self) -> Counts:
        items = self._state.items
        return Counts(items.queued, items.running, items.phases[WAITING])

    def _observed(self, now: Moment) -> Observed:
        over = self._state.items.unfinished == 0 or self._state.cancelled
        if not over:
            self._over_since = None
        elif self._over_since is None:
            self._over_since = now.monotonic
        lease = self._config.timing.lease
        survey = self._jobs.survey(self._state.items.holders, now.monotonic, lease)
        self.nodes.see(survey.nodes)
        return Observed(
            jobs=survey.views,
            at_work=survey.at_work,
            submits=self._jobs.submit_views(now.monotonic),
            held=self._state.held or self._postponed(now),
            over_for=now.monotonic - self._over_since if self._over_since is not None else 0.0,
            early_deaths=self._jobs.early_deaths,
            lived=self._jobs.lived,
            leaving=self._state.being_cancelled,
        )

    def _postponed(self, now: Moment) -> str:
        """Submit one thing at a time, and not before a back-off is over."""
        if self._submitting:
            return "a submit is under way"
        return self.backoff.why(now.monotonic)

    def _carry_out(self, action: Action, now: Moment) -> Sequence[Task]:
        match action:
            case BuryJob():
                self._bury(action, now)
            case FreeItem():
                self._state.take_back(action.job, Lost(action.reason), now.wall)
            case ForgetSubmit():
                self._jobs.forget_submit(action.number)
            case Hold():
                self.hold(action.reason + last_words(self._jobs.records.values(), self._output))
            case CancelJobs():
                return self._cancel(action, now)
            case SubmitJobs():
                return self._submit(action, now)
        return []

    def _bury(self, action: BuryJob, now: Moment) -> None:
        ours = self._state.being_cancelled.pop(action.job, None) is not None
        cause = "cancelled" if ours and action.cause == "unknown" else action.cause
        crash = action.crash and cause != "cancelled"
        self._blame_node(action.job, crash, now)
        said = self._output(action.job) if crash else None
        words = end_reason(action.job, cause, (lambda _: said) if crash else None)
        self._state.take_back(action.job, Lost(words, crash, output=said or ""), now.wall)
        self._jobs.bury(action.job, cause)
        self._make_room()
        self.notes.record("job_ended", job=action.job, cause=cause, crash=crash)
        if why := self._state.backoff_reason:
            self._despair(why, now)

    def _despair(self, why: str, now: Moment) -> None:
        """Jobs get nowhere: wait once for each wave of them, and in the end for a person."""
        if self._state.held or self.backoff.why(now.monotonic):
            return
        if len(self._vain_waves) >= MAX_VAIN_WAVES:
            words = last_words(self._jobs.records.values(), self._output)
            self.hold(f"{why}; {len(self._vain_waves)} pauses have not helped{words}")
        else:
            self._wait(why, now)

    def _blame_node(self, job: str, crash: bool, now: Moment) -> None:
        """A node is suspected of deaths before the first claim or soon after one."""
        record, item = self._jobs.records[job], self._state.items.held_by(job)
        worked = self._jobs.worked_for(job)
        if (crash and (item is not None or not record.has_worked) and (worked or 0.0) < QUICK) or (
            record.broken and not record.has_worked
        ):
            node, held = self._jobs.node_of(job), item.id if item else None
            self.nodes.note_death(node, job, held, now.monotonic)

    def _cancel(self, action: CancelJobs, now: Moment) -> list[Task]:
        """Cancel each job once in a while, not at every look."""
        leaving = self._state.being_cancelled
        due = [
            job for job in action.jobs
            if now.monotonic - leaving.get(job, float("-inf")) > AGAIN
        ]  # fmt: skip
        if not due:
            return []
        leaving.update(dict.fromkeys(due, now.monotonic))
        self.notes.record("jobs_cancelled", jobs=due, reason=action.reason)
        return [CancelTask(due)]

    def _submit(self, action: SubmitJobs, now: Moment) -> Sequence[Task]:
        if self._state.backoff_reason:
            self._vain_waves.add(now.monotonic)
        else:
            self._vain_waves.clear()
        names = self._free_names(self._room.part(action.n))
        if not self._submitting:
            self._is_wave_refused = False
        tasks: list[Submit] = []
        for name, n in self._portions(names):
            submit = self._jobs.begin_submit(action.shape, n, name, now.wall, now.monotonic)
            self._submitting += 1
            wave = tasks[0].submit.number if tasks else submit.number
            tasks.append(Submit(submit, self.nodes.excluded(now.monotonic), wave))
        return tasks

    def _portions(self, names: list[str]) -> list[tuple[str, int]]:
        """Jobs of one name are submitted together, as many as one submit may make."""
        portions: list[tuple[str, int]] = []
        for name, n in Counter(names).items():
            whole, rest = divmod(n, self._max_array)
            portions += [(name, self._max_array)] * whole + [(name, rest)] * (rest > 0)
        return portions

    def _free_names(self, n: int) -> list[str]:
        """One name for all jobs, or for each job one that no living job has."""
        names = self._config.job_names
        if len(names) == 1:
            return names * n
        taken = self._jobs.unknown_names() | {record.name for record, _, _ in self._jobs.living()}
        return [name for name in names if name not in taken][:n]
