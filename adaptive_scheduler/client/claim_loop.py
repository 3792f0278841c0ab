"""The claim loop of a client: claim a learner, run it, report, and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.client.deadline import Deadline
from adaptive_scheduler.client.goodbye import FINAL_TIMEOUT, away_for_too_long, idle_patience
from adaptive_scheduler.client.learners.reports import (
    StaleReport,
    crash_told,
    failure,
    last_word,
    report_of,
)
from adaptive_scheduler.client.learners.tools import Recipe, Workers
from adaptive_scheduler.client.link import ManagerLink
from adaptive_scheduler.client.process_setup import collect_garbage
from adaptive_scheduler.client.usage import Meter
from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.goals import predicate
from adaptive_scheduler.core.jobs.outputs import of_this_try
from adaptive_scheduler.core.wire.messages import (
    Assigned,
    Claim,
    Fail,
    Finish,
    Idle,
    Ok,
    Refused,
    Release,
    Reply,
    Report,
)
from adaptive_scheduler.errors import RequestRefusedError
from adaptive_scheduler.io.system.read_logs import CRASH_LINES, job_output_tail

if TYPE_CHECKING:
    from adaptive_scheduler.client.learners.run import LearnerWork, Outcome

#: Seconds that points in flight get after a second signal; after the first they get a third
#: of the time until the SIGKILL.
SECOND_SIGNAL_GRACE = 0.5


class ClaimLoop:
    """Claim, run, report, until there is nothing to do or no time to do it.

    Parameters
    ----------
    talk : ManagerLink
    workers : Workers
    recipe : callable
        Gives the `Recipe` of now: a retry may have changed functions and goal.
    config : RunConfig
        Its intervals and timing.
    deadline : Deadline
    log : structlog.BoundLogger

    Attributes
    ----------
    pool_fault : str
        Why the client must be started anew: a worker died, or hangs; "" as a rule.
    gave_up : bool
        It ended because the manager was away for too long.
    has_begun : bool
        It was given a learner.
    token : int
        Its right to the learner of which the last word is not said yet; 0 without one.
    """

    def __init__(
        self,
        talk: ManagerLink,
        workers: Workers,
        recipe: Callable[[], Recipe],
        config: RunConfig,
        deadline: Deadline,
        log: Any,
    ) -> None:
        self.pool_fault = ""
        self.gave_up = False
        self.has_begun = False
        self.token = 0
        self._talk = talk
        self._workers = workers
        self._recipe = recipe
        self._config = config
        self._deadline = deadline
        self._meter = Meter()
        self._aging = StaleReport()
        self._log = log
        self._lock = threading.Lock()
        self._work: LearnerWork | None = None
        self._ending: str | None = None
        self._signals = 0
        self._is_taken_back = False
        self._is_late = False
        self._last_line = 0.0
        self._idle_since = 0.0

    # ------------------------------------------------------------- from other threads

    def end(self, why: str) -> None:
        """Stop soon; a second time: at once."""
        patience = self._config.timing.kill_wait / 3
        with self._lock:
            self._signals += 1
            self._ending = self._ending or why
            if self._work is not None:
                self._work.stop("signal", patience if self._signals == 1 else SECOND_SIGNAL_GRACE)

    def look(self) -> None:
        """Notice what only the clock, or the manager, can tell."""
        if self._ending is None and (why := self._why_alone()):
            self.gave_up = True
            self._log.warning("manager_given_up", reason=why, away=round(self._talk.away(), 1))
            self.end(why)
        refusal = self._talk.refusal()
        with self._lock:
            if self._work is None:
                return
            if (aged := self._aging.aged()) is not None:
                self._talk.tell(aged)
            if refusal is not None and not self._is_taken_back:
                self._is_taken_back = True
                self._log.warning("item_taken_back", code=refusal)
                self._work.stop("signal" if refusal == "cancelled" else "lost", SECOND_SIGNAL_GRACE)
            elif self._deadline.has_come and not self._is_late:
                self._is_late = True  # once: each stop shortens what is left for the save
                self._work.stop("deadline", max(SECOND_SIGNAL_GRACE, self._deadline.spare / 2))

    def _why_alone(self) -> str:
        if self._talk.has_broken:
            return "no further word with the manager is possible"
        timing = self._config.timing
        return away_for_too_long(timing) if self._talk.away() > timing.client_patience else ""

    # ------------------------------------------------------------- the loop

    def work(self, begun: Callable[[], object]) -> str:
        """Run learners; returns why it ended.

        Parameters
        ----------
        begun : callable
            Told when the first learner is given.

        Raises
        ------
        RequestRefusedError
            The manager wants nothing of this client.
        """
        self._idle_since = time.monotonic()
        given: Reply | None = None
        while (why := self._reason_to_end()) is None:
            reply = given or self._claim()
            given = None
            if isinstance(reply, Assigned):
                if not self.has_begun:
                    begun()
                self.has_begun, self.token = True, reply.token
                begin = time.monotonic()
                given = self._run(reply)
                self._idle_since = time.monotonic()
                collect_garbage(self._idle_since - begin)
            elif isinstance(reply, Refused):
                raise RequestRefusedError(reply.code, reply.reason)
            elif isinstance(reply, Idle):
                self._wait(reply)
            elif self._ending is None and not self._deadline.is_near:
                self.gave_up = True
                self._ending = "the manager does not answer"
        if isinstance(given, Assigned):  # the end came while it was being given
            self._say(Release(given.token, why), self._log_of(given))
        return why

    def _reason_to_end(self) -> str | None:
        if self._ending is not None:
            return self._ending
        if self._deadline.is_near:
            return "deadline"
        return self.pool_fault or None

    def _claim(self) -> Any:
        patience = idle_patience(self._config.timing)
        return self._talk.ask(
            Claim(), patience, lambda: self._ending is not None or self._deadline.is_near
        )

    def _wait(self, reply: Idle) -> None:
        """Nothing is free: stay a while, or end."""
        if reply.over:
            self._ending = self._ending or "nothing is left to do"
        elif time.monotonic() - self._idle_since > self._talk.timing.idle:
            self._ending = self._ending or "nothing to do for a while"
        end = time.monotonic() + reply.wait
        while self._ending is None and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))

    # ------------------------------------------------------------- one learner

    def _run(self, assigned: Assigned) -> Reply | None:
        """Run it; returns the answer to the claim of the next, if the last words made one."""
        from adaptive_scheduler.client.learners.final_save import as_ours
        from adaptive_scheduler.client.learners.run import run_learner

        log = self._log_of(assigned)
        log.info("item_claimed")
        if not self._talk.await_lease(FINAL_TIMEOUT, lambda: self._reason_to_end() is not None):
            return self._say(Release(assigned.token, self._reason_to_end() or ""), log)
        begin = time.monotonic()
        try:
            work = self._prepare(assigned, begin, log)
            outcome = run_learner(work)
        except BaseException as error:
            log.exception("learner_not_run")
            report = Report(seconds=time.monotonic() - begin)
            ours = as_ours("learner, or code that it needs,", error)
            return self._say(failure(assigned.token, ours, report), log)
        finally:
            with self._lock:
                self._work = None
                self._aging.forget()
        if outcome.is_pool_broken or outcome.is_pool_stuck:
            self.pool_fault = "a worker died" if outcome.is_pool_broken else "a worker hangs"
        if outcome.reason == "deadline" and work.deadline is not None:
            late = time.monotonic() - work.deadline
            self._deadline.saving = max(self._deadline.saving, late)
        for note in outcome.report.notes:
            log.warning("data_repaired", note=note)
        return self._conclude(assigned.token, outcome, log)

    def _log_of(self, assigned: Assigned) -> Any:
        return self._log.bind(item=assigned.item, fname=assigned.fname, token=assigned.token)

    def _prepare(self, assigned: Assigned, begin: float, log: Any) -> LearnerWork:
        from adaptive_scheduler.client.learners.run import LearnerWork

        recipe, config = self._recipe(), self._config
        work = LearnerWork(
            learner=recipe.learner(assigned),
            fname=assigned.fname,
            goal=predicate(
                recipe.goal,
                recipe.goal_function,
                worked=lambda: assigned.worked + time.monotonic() - begin,
                now=time.time,
            ),
            pool=self._workers.pool,
            workers=self._workers.count,
            programs=self._workers.programs,
            token=assigned.token,
            save_interval=config.save_interval,
            points_interval=config.points_interval,
            deadline=self._deadline.stop,
            point_timeout=recipe.point_timeout,
            point_retries=recipe.point_retries,
            lease_ok=self._talk.is_lease_good,
            on_progress=lambda progress: self._progress(progress, log),
            runner_kwargs=dict(recipe.runner_kwargs),
            initializers=recipe.initializers(assigned),
        )
        with self._lock:
            self._work, self._is_taken_back, self._is_late = work, False, False
            if self._ending is not None:
                work.stop("signal", SECOND_SIGNAL_GRACE)
        return work

    def _progress(self, progress: dict[str, Any], log: Any) -> None:
        usage = self._meter.usage()
        report = report_of(progress, usage)
        self._aging.note(report)
        self._talk.tell(report)
        now = time.monotonic()
        if now >= self._last_line + self._config.log_interval:
            self._last_line = now
            log.info("progress_made", **progress, cpu=usage.cpu, memory=usage.memory)

    def _conclude(self, token: int, outcome: Outcome, log: Any) -> Reply | None:
        log.info(
            "learner_stopped", reason=outcome.reason, npoints=outcome.npoints, loss=outcome.loss,
            new_points=outcome.new_points, seconds=outcome.seconds, saved=outcome.saved,
            problem=outcome.problem,
        )  # fmt: skip
        if outcome.reason == "lost":
            self.token = 0
            return None
        claims = self._reason_to_end() is None
        word = last_word(token, outcome, self._workers.count, claims=claims)
        if outcome.is_pool_broken and isinstance(word, Fail):
            word = crash_told(word, self._output())
        return self._say(word, log)

    def _output(self) -> str:
        """The end of what this job has printed since its client was started."""
        text = job_output_tail(self._config.log_folder, self._talk.owner.job, CRASH_LINES) or ""
        return of_this_try(text)

    def _say(self, word: Finish | Fail | Release, log: Any) -> Reply | None:
        """Tell how it ended; held for as long as it takes, unless the job itself ends.

        Returns the answer to the claim in it, if there was one.
        """
        ticket = self._talk.say(word)
        reply = self._talk.wait(ticket, self._config.timing.client_patience, self._must_go())
        self.token = 0
        event = {Finish: "item_finished", Fail: "item_failed", Release: "item_released"}[type(word)]
        if isinstance(reply, Refused):
            log.warning("item_lost", code=reply.code, reason=reply.reason)
        elif reply is None:
            log.warning("manager_unreachable", unsaid=event)
        else:
            log.info(event, reason=getattr(word, "reason", "goal met"))
            return None if isinstance(reply, Ok) else reply
        return None

    def _must_go(self) -> Callable[[], bool]:
        """A question that is answered with yes a few seconds after the client has to end."""
        since: list[float] = []

        def asked() -> bool:
            if self._ending is not None or self._deadline.is_near:
                since.append(time.monotonic())
            return bool(since) and time.monotonic() - since[0] > FINAL_TIMEOUT

        return asked
