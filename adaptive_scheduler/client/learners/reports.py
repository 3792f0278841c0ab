"""How far a learner is, and how it ended, in the words of the wire."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from adaptive_scheduler.core.jobs.outputs import end_of_output
from adaptive_scheduler.core.wire.messages import Fail, Finish, Release, Report
from adaptive_scheduler.errors import AdaptiveSchedulerError, UserCodeError

if TYPE_CHECKING:
    from adaptive_scheduler.client.learners.run import Outcome
    from adaptive_scheduler.client.usage import Usage

#: A report that its learner's loop has not renewed for so many seconds is made older by others.
OLD = 5.0


def report_of(progress: dict[str, Any], usage: Usage) -> Report:
    """Put figures of a running learner and of its job's processes together."""
    return Report(
        npoints=progress["npoints"],
        loss=progress["loss"],
        seconds=progress["elapsed"],
        new_points=progress["new_points"],
        points_per_second=progress["points_per_second"],
        overhead=progress["overhead"],
        cpu=usage.cpu,
        memory=usage.memory,
        idle_since=progress["idle_since"],
        p95=progress["p95"],
        kept_aside=progress["kept_aside"],
        problem=progress["problem"],
    )


def last_word(
    token: int, outcome: Outcome, workers: int, *, claims: bool
) -> Finish | Fail | Release:
    """What is left to say of a learner that runs no more; after a finish perhaps a claim."""
    report = Report(
        npoints=outcome.npoints,
        loss=outcome.loss,
        seconds=outcome.seconds,
        new_points=outcome.new_points,
        kept_aside=", ".join(map(str, outcome.report.kept_aside)),
    )
    if outcome.error is not None:
        word = failure(token, outcome.error, report, crash=outcome.is_pool_broken)
        return msgspec.structs.replace(word, workers=workers)
    if outcome.reason == "goal" and outcome.saved:
        return Finish(token, report, claims)
    why = outcome.reason if outcome.reason != "goal" else f"not saved: {outcome.problem}"
    return Release(token, why, report)


def failure(
    token: int, error: AdaptiveSchedulerError, report: Report, *, crash: bool = False
) -> Fail:
    """Say what ended it; with the traceback of the user's code."""
    text = error.traceback_text if isinstance(error, UserCodeError) else ""
    return Fail(token, str(error), text, report, crash)


def crash_told(word: Fail, output: str) -> Fail:
    """A crash, with what its job printed: Python's stack, if there was time to print it."""
    said = end_of_output(output)
    reason = f"{word.reason}; {said}" if said else word.reason
    return msgspec.structs.replace(word, reason=reason, traceback=word.traceback or output)


class StaleReport:
    """The last report of a learner, which grows older while its loop hangs.

    A coroutine that blocks stops the loop that reports; another thread asks here.
    """

    def __init__(self) -> None:
        self._last: tuple[Report, float] | None = None

    def note(self, report: Report) -> None:
        """Take in what the loop reports."""
        self._last = report, time.monotonic()

    def forget(self) -> None:
        """No learner runs."""
        self._last = None

    def aged(self) -> Report | None:
        """The report with the time since then; None while the loop reports by itself."""
        if self._last is None:
            return None
        report, told = self._last
        age = time.monotonic() - told
        if age < OLD:
            return None
        return msgspec.structs.replace(
            report, idle_since=report.idle_since + age, seconds=report.seconds + age
        )
