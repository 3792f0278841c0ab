"""When jobs may be submitted, and how many at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from adaptive_scheduler.core.jobs.backoff import Backoff
from adaptive_scheduler.core.jobs.batch_jobs import Refusal
from adaptive_scheduler.core.jobs.commands import Hold, NotSubmitted

#: Seconds before a refused submit is tried again: the first time, and at most.
FIRST_WAIT, LONGEST_WAIT = 5.0, 300.0
#: So many groups of jobs, each after a longer wait, of which none made progress, hold the run.
MAX_BARREN_GROUPS = 8


class LogEntry(msgspec.Struct, frozen=True):
    """An event for the manager's log."""

    event: str
    facts: dict[str, Any]


class SubmitPolicy:
    """Reacts to refused submits, and to jobs that make no progress.

    Submits that are under way together form a *group*: they were decided together, and one cause
    of refusal is met by all of them. So a group counts as one refusal, whatever its size. While a
    group is under way, nothing else is submitted.

    Each kind of refusal needs its own answer:

    * BUSY, or no answer at all: wait, each time longer.
    * LIMIT: ask for fewer jobs at a time. A refusal shows that there is less room than was asked
      for, not how much there is, and limits come and go: so ask for a quarter, then for more and
      more again. If one job alone is too many, wait until a job ends.
    * TOO_LONG: submit shorter arrays.
    * IMPOSSIBLE: hold the run; only the user can change the request.

    Jobs that start but make no progress are handled like a busy batch system: each group of them
    is followed by one wait, and after `MAX_BARREN_GROUPS` the run is held.

    Parameters
    ----------
    max_array : int
        The most jobs that one submit may make.
    under_way : int
        Submits that were sent before; their results are still to come.

    Attributes
    ----------
    backoff : Backoff
        The wait after refusals.
    under_way : int
        Submits without a result so far.
    is_at_limit : bool
        The last submit met a limit of the number of jobs.
    """

    def __init__(self, max_array: int, under_way: int = 0) -> None:
        self.backoff = Backoff(FIRST_WAIT, LONGEST_WAIT)
        self._max_array = self._array_size = max_array
        self._limit: int | None = None  # jobs at a time; None: no limit is known
        self.under_way = under_way
        self.is_at_limit = False
        self._is_group_refused = False
        self._waits_for_room = False  # then the end of a job ends the wait
        self._barren_groups: set[float] = set()  # when they were submitted

    # ---------------------------------------------------------------------- deciding

    def blocked(self, now: float) -> str:
        """Return why nothing may be submitted now; "" if something may."""
        return "a submit is under way" if self.under_way else self.backoff.reason_at(now)

    def most(self, n: int) -> int:
        """Return how many of `n` jobs to ask for now."""
        return n if self._limit is None else min(n, self._limit)

    def split(self, names: Iterable[str]) -> list[tuple[str, int]]:
        """Divide jobs into submits: those of one name together, as many as an array may have."""
        submits: list[tuple[str, int]] = []
        for name, n in Counter(names).items():
            whole, rest = divmod(n, self._array_size)
            submits += [(name, self._array_size)] * whole + [(name, rest)] * (rest > 0)
        return submits

    # ------------------------------------------------------------------------ events

    def on_sent(self, submits: int, barren: str, now: float) -> None:
        """Count submits that are sent now; `barren`: why the last jobs made no progress, or ""."""
        if barren:
            self._barren_groups.add(now)
        else:
            self._barren_groups.clear()
        if not self.under_way:
            self._is_group_refused = False
        self.under_way += submits

    def on_accepted(self, barren: str) -> None:
        """End the wait, unless others of the group were refused or jobs make no progress."""
        if not (barren or self._is_group_refused):
            self.backoff.clear()
            self._waits_for_room = self.is_at_limit = False
        self._end_one()

    def on_refused(self, result: NotSubmitted, n: int, now: float) -> Hold | LogEntry | None:
        """React to the refusal of a submit of n jobs."""
        outcome = self._react(result, n, now)
        self._end_one()
        return outcome

    def on_unanswered(self, reason: str, now: float, *, is_limit: bool = False) -> LogEntry | None:
        """React to a submit without an answer; `is_limit`: its command was waiting at a limit."""
        self.is_at_limit = is_limit
        entry = self._wait_once(f"a submit did not answer: {reason}", now)
        self._end_one()
        return entry

    def on_job_ended(self) -> None:
        """There is room for one more job."""
        if self._waits_for_room:
            self._waits_for_room = False
            self.backoff.clear()
        elif self._limit is not None:
            self._limit += 1

    def on_barren(self, reason: str, now: float) -> Hold | LogEntry | None:
        """React to jobs that make no progress: one wait for each group, then a hold."""
        if self.backoff.reason_at(now):
            return None
        if len(self._barren_groups) >= MAX_BARREN_GROUPS:
            return Hold(f"{reason}; {len(self._barren_groups)} pauses have not helped")
        return self._wait(reason, now)

    def reset(self) -> None:
        """Forget all refusals: the user has resumed the run. What is under way still is."""
        self.backoff.clear()
        self._array_size, self._limit, self._waits_for_room = self._max_array, None, False
        self.is_at_limit = False
        self._barren_groups.clear()

    # ----------------------------------------------------------------------- details

    def _react(self, result: NotSubmitted, n: int, now: float) -> Hold | LogEntry | None:
        refusal, reason = result.refusal, result.reason
        self.is_at_limit = refusal is Refusal.LIMIT
        if refusal is Refusal.LIMIT or n == 1:
            self._limit = max(1, n // 4)  # of single jobs, one is tried next
        if refusal is Refusal.LIMIT and n > 1:
            self._is_group_refused = True
            return LogEntry("fewer_jobs_at_once", {"reason": reason, "jobs": self._limit})
        if refusal is Refusal.TOO_LONG and n > 1:
            self._array_size = max(1, n // 4)
            return LogEntry("smaller_arrays", {"reason": reason, "jobs": self._array_size})
        if refusal in (Refusal.IMPOSSIBLE, Refusal.TOO_LONG):
            return Hold(f"the batch system refuses these jobs: {reason}")
        entry = self._wait_once(f"{reason}; {refusal.remedy}", now)
        self._waits_for_room = self._waits_for_room or refusal is Refusal.LIMIT
        return entry

    def _wait_once(self, reason: str, now: float) -> LogEntry | None:
        """Wait, once for all refusals of a group."""
        is_first = not (self._is_group_refused and self.backoff.reason)
        self._is_group_refused = True
        return self._wait(reason, now) if is_first else None

    def _wait(self, reason: str, now: float) -> LogEntry | None:
        if self.backoff.reason_at(now):
            return None
        self._waits_for_room = False
        seconds = self.backoff.wait(reason, now)
        return LogEntry("submit_postponed", {"reason": reason, "seconds": seconds})

    def _end_one(self) -> None:
        self.under_way -= 1
        if not (self.under_way or self._is_group_refused) and self._limit is not None:
            # all that was asked for was given: ask for more, in the end without a limit
            twice = 2 * self._limit
            self._limit = twice if twice < self._array_size else None
