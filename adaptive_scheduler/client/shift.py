"""What a client does from its first claim to its last: one learner after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.client.conversation import Conversation
from adaptive_scheduler.client.deadline import Deadline
from adaptive_scheduler.client.measure import Meter
from adaptive_scheduler.client.tools import Recipe, Workers
from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.goals import predicate
from adaptive_scheduler.core.messages import (
    Assigned,
    Claim,
    Fail,
    Finish,
    Idle,
    Ok,
    Refused,
    Release,
    Report,
)
from adaptive_scheduler.errors import AdaptiveSchedulerError, RequestRefusedError, UserCodeError

if TYPE_CHECKING:
    from adaptive_scheduler.client.work import Outcome, Work

#: Seconds that a client with nothing to compute waits for a manager that is away.
IDLE_PATIENCE = 600.0
#: Seconds that a client that must end waits for the answer to its last word.
LAST_WORD = 5.0
#: Seconds that points in flight get after a second signal; after the first they get a third
#: of the time until the SIGKILL.
HURRY = 0.5


class Shift:
    """Claim, run, report, until there is nothing to do or no time to do it.

    Parameters
    ----------
    talk : Conversation
    workers : Workers
    recipe : Recipe
    config : RunConfig
        Its intervals and timing.
    deadline : Deadline
    log : structlog.BoundLogger

    Attributes
    ----------
    is_pool_broken : bool
        A worker died: the client must be started anew.
    """

    def __init__(
        self,
        talk: Conversation,
        workers: Workers,
        recipe: Recipe,
        config: RunConfig,
        deadline: Deadline,
        log: Any,
    ) -> None:
        self.is_pool_broken = False
        self._talk = talk
        self._workers = workers
        self._recipe = recipe
        self._config = config
        self._deadline = deadline
        self._meter = Meter()
        self._log = log
        self._lock = threading.Lock()
        self._work: Work | None = None
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
                self._work.stop("signal", patience if self._signals == 1 else HURRY)

    def look(self) -> None:
        """Notice what only the clock, or the manager, can tell."""
        if self._ending is None and self._is_alone():
            self.end("the manager was away for too long")
        refusal = self._talk.refusal()
        with self._lock:
            if self._work is None:
                return
            if refusal is not None and not self._is_taken_back:
                self._is_taken_back = True
                self._log.warning("item_taken_back", code=refusal)
                self._work.stop("signal" if refusal == "cancelled" else "lost", HURRY)
            elif self._deadline.has_come and not self._is_late:
                self._is_late = True  # once: each stop shortens what is left for the save
                self._work.stop("deadline", max(HURRY, self._deadline.spare / 2))

    def _is_alone(self) -> bool:
        return self._talk.has_broken or self._talk.silence() > self._config.timing.orphan

    # ------------------------------------------------------------- the loop

    def work(self, first: int | None = None) -> str:
        """Run learners; returns why it ended.

        Parameters
        ----------
        first : int, optional
            Ticket of a claim that was said already.

        Raises
        ------
        RequestRefusedError
            The manager wants nothing of this client.
        """
        self._idle_since = time.monotonic()
        while (why := self._reason_to_end()) is None:
            reply = self._claim(first)
            first = None
            if isinstance(reply, Assigned):
                self._run(reply)
                self._idle_since = time.monotonic()
            elif isinstance(reply, Refused):
                raise RequestRefusedError(reply.code, reply.reason)
            elif isinstance(reply, Idle):
                self._wait(reply)
            elif self._ending is None and not self._deadline.is_near:
                self._ending = "the manager does not answer"
        return why

    def _reason_to_end(self) -> str | None:
        if self._ending is not None:
            return self._ending
        if self._deadline.is_near:
            return "deadline"
        return "a worker died" if self.is_pool_broken else None

    def _claim(self, ticket: int | None) -> Any:
        if ticket is None:
            ticket = self._talk.say(Claim())
        return self._talk.wait(
            ticket, IDLE_PATIENCE, lambda: self._ending is not None or self._deadline.is_near
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

    def _run(self, assigned: Assigned) -> None:
        from adaptive_scheduler.client.work import run_learner

        log = self._log.bind(item=assigned.item, fname=assigned.fname)
        log.info("item_claimed", token=assigned.token)
        begin = time.monotonic()
        try:
            work = self._prepare(assigned, begin, log)
            outcome = run_learner(work)
        except AdaptiveSchedulerError as error:  # it could not be loaded: nothing was evaluated
            report = Report(seconds=time.monotonic() - begin)
            self._say(_fail(assigned.token, error, report), log)
            return
        finally:
            with self._lock:
                self._work = None
        self.is_pool_broken = outcome.is_pool_broken
        if outcome.reason == "deadline" and work.deadline is not None:
            late = time.monotonic() - work.deadline
            self._deadline.saving = max(self._deadline.saving, late)
        for note in outcome.report.notes:
            log.warning("data_repaired", note=note)
        self._conclude(assigned.token, outcome, log)

    def _prepare(self, assigned: Assigned, begin: float, log: Any) -> Work:
        from adaptive_scheduler.client.work import Work

        recipe, config = self._recipe, self._config
        work = Work(
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
            token=assigned.token,
            save_interval=config.save_interval,
            points_interval=config.points_interval,
            deadline=self._deadline.stop,
            lease_ok=self._talk.is_lease_good,
            on_progress=lambda progress: self._progress(progress, log),
            runner_kwargs=dict(recipe.runner_kwargs),
            initializers=recipe.initializers,
        )
        with self._lock:
            self._work, self._is_taken_back, self._is_late = work, False, False
            if self._ending is not None:
                work.stop("signal", HURRY)
        return work

    def _progress(self, progress: dict[str, Any], log: Any) -> None:
        usage = self._meter.usage()
        report = Report(
            npoints=progress["npoints"],
            loss=progress["loss"],
            seconds=progress["elapsed"],
            new_points=progress["new_points"],
            points_per_second=progress["points_per_second"],
            overhead=progress["overhead"],
            cpu=usage.cpu,
            memory=usage.memory,
            idle_since=progress["idle_since"],
            problem=progress["problem"],
        )
        self._talk.tell(report)
        now = time.monotonic()
        if now >= self._last_line + self._config.log_interval:
            self._last_line = now
            log.info("progress_made", **progress, cpu=usage.cpu, memory=usage.memory)

    def _conclude(self, token: int, outcome: Outcome, log: Any) -> None:
        report = Report(
            npoints=outcome.npoints,
            loss=outcome.loss,
            seconds=outcome.seconds,
            new_points=outcome.new_points,
        )
        log.info(
            "learner_stopped", reason=outcome.reason, npoints=outcome.npoints, loss=outcome.loss,
            new_points=outcome.new_points, seconds=outcome.seconds, saved=outcome.saved,
            problem=outcome.problem,
        )  # fmt: skip
        if outcome.reason == "lost":
            return
        if outcome.error is not None:
            self._say(_fail(token, outcome.error, report, crash=outcome.is_pool_broken), log)
        elif outcome.reason == "goal" and outcome.saved:
            self._say(Finish(token, report), log)
        else:
            why = outcome.reason if outcome.reason != "goal" else f"not saved: {outcome.problem}"
            self._say(Release(token, why, report), log)

    def _say(self, word: Finish | Fail | Release, log: Any) -> None:
        """Tell how it ended; held for as long as it takes, unless the job itself ends."""
        ticket = self._talk.say(word)
        reply = self._talk.wait(ticket, self._config.timing.orphan, self._must_go())
        event = {Finish: "item_finished", Fail: "item_failed", Release: "item_released"}[type(word)]
        if isinstance(reply, Ok):
            log.info(event, reason=getattr(word, "reason", "goal met"))
        elif isinstance(reply, Refused):
            log.warning("item_lost", code=reply.code, reason=reply.reason)
        else:
            log.warning("manager_unreachable", unsaid=event)

    def _must_go(self) -> Callable[[], bool]:
        """A question that is answered with yes a few seconds after the client has to end."""
        since: list[float] = []

        def asked() -> bool:
            if self._ending is not None or self._deadline.is_near:
                since.append(time.monotonic())
            return bool(since) and time.monotonic() - since[0] > LAST_WORD

        return asked


def _fail(
    token: int, error: AdaptiveSchedulerError, report: Report, *, crash: bool = False
) -> Fail:
    text = error.traceback_text if isinstance(error, UserCodeError) else ""
    return Fail(token, str(error), text, report, crash)
