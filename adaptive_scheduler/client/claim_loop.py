"""The claim loop of a client: claim an item, run it, report how it ended, and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from adaptive_scheduler.client.deadline import Deadline
from adaptive_scheduler.client.link import (
    FINAL_TIMEOUT,
    ManagerLink,
    away_for_too_long,
    idle_patience,
)
from adaptive_scheduler.client.payload import ItemContext, ItemEnd, ItemRun, Payload
from adaptive_scheduler.client.reports import failure
from adaptive_scheduler.client.running_item import SECOND_SIGNAL_GRACE, RunningItem
from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.jobs.outputs import end_of_output, of_this_try
from adaptive_scheduler.core.wire.ends import How
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
from adaptive_scheduler.errors import EnvironmentMismatchError, RequestRefusedError
from adaptive_scheduler.io.system.read_logs import CRASH_LINES, job_output_tail

#: Why a client ends whose job has no time left.
DEADLINE = "deadline"


def how_left(why: str) -> How:
    """How an item ends that a client leaves for this reason."""
    return How.WALLTIME if why == DEADLINE else How.GIVEN_BACK


class ClaimLoop:
    """Claim, run, report, until there is nothing to do or no time to do it.

    Parameters
    ----------
    link : ManagerLink
    payloads : mapping
        What runs the items of each kind.
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
        It was given an item.
    token : int
        Its right to the item whose end the manager does not know yet; 0 without one.
    """

    def __init__(
        self,
        link: ManagerLink,
        payloads: Mapping[str, Payload],
        config: RunConfig,
        deadline: Deadline,
        log: Any,
    ) -> None:
        self.pool_fault = ""
        self.gave_up = False
        self.has_begun = False
        self.token = 0
        self._link = link
        self._payloads = payloads
        self._config = config
        self._deadline = deadline
        self._log = log
        self._item = RunningItem(link, deadline, config.log_interval)
        self._end_reason: str | None = None
        self._signals = 0
        self._idle_since = 0.0

    # ------------------------------------------------------------- from other threads

    def end(self, why: str) -> None:
        """End soon; a second time: at once."""
        self._end_reason = self._end_reason or why
        self._signals += 1
        # after the first signal a third of the time until the SIGKILL
        is_first = self._signals == 1
        patience = self._config.timing.kill_wait / 3 if is_first else SECOND_SIGNAL_GRACE
        self._item.stop("signal", patience)

    def check(self) -> None:
        """Called each second: end if the manager is away for too long; check the running item."""
        if self._end_reason is None and (why := self._why_unreachable()):
            self.gave_up = True
            self._log.warning("manager_given_up", reason=why, away=round(self._link.away(), 1))
            self.end(why)
        self._item.check(self._log)

    def _why_unreachable(self) -> str:
        if self._link.is_broken:
            return "nothing more can be sent to the manager"
        timing = self._config.timing
        return away_for_too_long(timing) if self._link.away() > timing.client_patience else ""

    # ------------------------------------------------------------- the loop

    def run(self, on_first_item: Callable[[], object]) -> str:
        """Run items; returns why it ended.

        Parameters
        ----------
        on_first_item : callable
            Called when the first item is given.

        Raises
        ------
        RequestRefusedError
            The manager refuses to serve this client.
        """
        self._idle_since = time.monotonic()
        given: Reply | None = None
        while (why := self._reason_to_end()) is None:
            reply = given or self._claim()
            given = None
            if isinstance(reply, Assigned):
                if not self.has_begun:
                    on_first_item()
                self.has_begun, self.token = True, reply.token
                given = self._run_and_clean_up(reply)
            elif isinstance(reply, Refused):
                raise RequestRefusedError(reply.code, reply.reason)
            elif isinstance(reply, Idle):
                self._wait(reply)
            elif self._end_reason is None and not self._deadline.is_near:
                self.gave_up = True
                self._end_reason = "the manager does not answer"
        if isinstance(given, Assigned):  # the end came while it was being given
            self._report_end(self._release(given, why), self._log_of(given))
        return why

    def _reason_to_end(self) -> str | None:
        if self._end_reason is not None:
            return self._end_reason
        if self._deadline.is_near:
            return DEADLINE
        return self.pool_fault or None

    def _claim(self) -> Any:
        patience = idle_patience(self._config.timing)
        return self._link.ask(
            Claim(), patience, lambda: self._end_reason is not None or self._deadline.is_near
        )

    def _wait(self, reply: Idle) -> None:
        """Nothing is free: stay a while, or end."""
        if reply.over:
            self._end_reason = self._end_reason or reply.reason or "nothing is left to do"
        elif time.monotonic() - self._idle_since > self._link.timing.idle:
            self._end_reason = self._end_reason or "nothing to do for a while"
        end = time.monotonic() + reply.wait
        while self._end_reason is None and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))

    # ------------------------------------------------------------- one item

    def _run_and_clean_up(self, assigned: Assigned) -> Reply | None:
        begin = time.monotonic()
        given = self._run_item(assigned)
        self._idle_since = time.monotonic()
        if (payload := self._payloads.get(assigned.kind)) is not None:
            payload.clean_up(self._idle_since - begin)
        return given

    def _run_item(self, assigned: Assigned) -> Reply | None:
        """Run it; returns the answer to the claim of the next, if its Finish made one."""
        log = self._log_of(assigned)
        log.info("item_claimed")
        if not self._link.await_lease(FINAL_TIMEOUT, lambda: self._reason_to_end() is not None):
            return self._report_end(self._release(assigned, self._reason_to_end() or ""), log)
        begin = time.monotonic()
        try:
            context = self._item.context(log)
            ended = self._prepare(assigned, context).run()
        except BaseException as error:
            log.exception("item_not_run")
            fail = self._failure(assigned, error, time.monotonic() - begin)
            return self._report_end(fail, log)
        finally:
            self._item.end()
        self.pool_fault = ended.pool_fault or self.pool_fault
        if ended.is_by_deadline and context.deadline is not None:
            self._deadline.note_saving(time.monotonic() - context.deadline)
        return self._conclude(ended, log)

    @staticmethod
    def _release(assigned: Assigned, why: str) -> Release:
        """What gives an item back that was not begun."""
        return Release(assigned.token, why, how=how_left(why))

    def _log_of(self, assigned: Assigned) -> Any:
        return self._log.bind(item=assigned.item, fname=assigned.fname, token=assigned.token)

    def _prepare(self, assigned: Assigned, context: ItemContext) -> ItemRun:
        payload = self._payloads.get(assigned.kind)
        if payload is None:
            raise EnvironmentMismatchError(
                f"this client cannot run items of the kind {assigned.kind!r}: the manager has a "
                "newer version of adaptive_scheduler. Use one environment for both."
            )
        item = payload.prepare(assigned, context)
        self._item.begin(item)
        if self._end_reason is not None:  # a signal that came before there was an item to stop
            self._item.stop("signal", SECOND_SIGNAL_GRACE)
        return item

    # ------------------------------------------------------------- how it ended

    @staticmethod
    def _failure(assigned: Assigned, error: BaseException, seconds: float) -> Fail:
        """The failure of an item that could not be run."""
        from adaptive_scheduler.evaluation.messages import as_ours

        ours = as_ours(f"{assigned.kind}, or code that it needs,", error)
        return failure(assigned.token, ours, Report(seconds=seconds))

    def _conclude(self, ended: ItemEnd, log: Any) -> Reply | None:
        request = ended.request
        if request is None:
            self.token = 0
            return None
        if isinstance(request, Finish) and self._reason_to_end() is None:
            request = msgspec.structs.replace(request, claims=True)
        elif isinstance(request, Fail) and ended.has_crashed:
            request = self._with_output(request)
        return self._report_end(request, log)

    def _with_output(self, fail: Fail) -> Fail:
        """A crash, with what its job printed: Python's stack, if there was time to print it."""
        text = job_output_tail(self._config.log_folder, self._link.owner.job, CRASH_LINES) or ""
        output = of_this_try(text)
        end = end_of_output(output)
        reason = f"{fail.reason}; {end}" if end else fail.reason
        return msgspec.structs.replace(fail, reason=reason, traceback=fail.traceback or output)

    def _report_end(self, request: Finish | Fail | Release, log: Any) -> Reply | None:
        """Report how the item ended; for as long as it takes, unless the job itself ends.

        Returns the answer to the claim in it, if there was one.
        """
        ticket = self._link.send(request)
        reply = self._link.wait(ticket, self._config.timing.client_patience, self._must_go())
        self.token = 0
        event = _EVENTS[type(request)]
        if isinstance(reply, Refused):
            log.warning("item_lost", code=reply.code, reason=reply.reason)
        elif reply is None:
            log.warning("manager_unreachable", unreported=event)
        else:
            log.info(event, reason=getattr(request, "reason", "goal met"))
            return None if isinstance(reply, Ok) else reply
        return None

    def _must_go(self) -> Callable[[], bool]:
        """A function that returns True when the client has had to end for `FINAL_TIMEOUT` seconds."""
        since: list[float] = []

        def asked() -> bool:
            if self._end_reason is not None or self._deadline.is_near:
                since.append(time.monotonic())
            return bool(since) and time.monotonic() - since[0] > FINAL_TIMEOUT

        return asked


_EVENTS = {Finish: "item_finished", Fail: "item_failed", Release: "item_released"}
