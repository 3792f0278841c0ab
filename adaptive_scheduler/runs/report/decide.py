"""Makes the figures of a report of what is known of a run; reads nothing."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from adaptive_scheduler.core.history.core_use import PARTS, core_use, waits
from adaptive_scheduler.core.history.records import RunHistory, Tally
from adaptive_scheduler.core.history.series import series
from adaptive_scheduler.core.history.thin import add_tally
from adaptive_scheduler.core.rows.row import DONE, FAILED, OVER, TASK, Item, TaskItem
from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.core.wire.ends import How, JobEnd
from adaptive_scheduler.runs.report.chart import chart
from adaptive_scheduler.runs.report.figures import (
    SCHEMA_VERSION,
    FailureFacts,
    JobFacts,
    RetryFacts,
    RunFacts,
    RunReport,
    SlowItem,
    TryFacts,
    UseFacts,
    WaitFacts,
)

#: Of long lists.
MOST_SLOW, MOST_GROUPS, MOST_OF_A_GROUP, MOST_REASONS = 20, 30, 20, 10
_NUMBER = re.compile(r"\d+(\.\d+)?([eE][+-]?\d+)?")
#: Where a function was evaluated, in the reason: ``at x=0.5 (offset=3): ``.
_AT = re.compile(r" at x=.*?(\): |: )")
#: Ends of tries, in words.
ENDS = {
    How.DONE: "done", How.GIVEN_BACK: "given back", How.FAILED: "failed", How.CRASHED: "crashed",
    How.WALLTIME: "out of walltime", How.LOST: "lost with its job or node", How.CANCELLED: "cancelled",
}  # fmt: skip
#: Ends of jobs, in words; those of other versions are shown as they are.
CAUSES = {
    JobEnd.COMPLETED: "completed", JobEnd.FAILED: "failed", JobEnd.TIMEOUT: "timeout",
    JobEnd.CANCELLED: "cancelled", JobEnd.NODE_FAIL: "node fail", JobEnd.PREEMPTED: "preempted",
    JobEnd.OUT_OF_MEMORY: "out of memory", JobEnd.GOODBYE: "in good order",
    JobEnd.UNKNOWN: "unknown", "": "unknown",
}  # fmt: skip


class ReportInput(msgspec.Struct):
    """What a report is made of.

    Attributes
    ----------
    run : RunFacts
    rows : sequence of Item
    history : RunHistory
    now : float
    parameters : mapping
        Settings of the run.
    versions : mapping of str to str
    traceback_of : callable
        Given a row that has failed, its traceback.
    """

    run: RunFacts
    rows: Sequence[Any]
    history: RunHistory
    now: float
    parameters: Mapping[str, Any]
    versions: Mapping[str, str]
    traceback_of: Callable[[Any], str]


def report_of(known: ReportInput) -> RunReport:
    """Return all figures."""
    history, now = known.history, known.run.ended or known.now
    use = core_use(history, now)
    return RunReport(
        schema_version=SCHEMA_VERSION,
        made=known.now,
        run=known.run,
        jobs=job_facts(history),
        use=UseFacts(**{name: round(getattr(use, name), 3) for name in ("held", *PARTS)}),
        waits=wait_facts(history),
        retries=retry_facts(history),
        slowest=slowest(known.rows),
        failures=failures(known.rows, known.traceback_of),
        series=series(history, now, npoints={row.id: row.npoints for row in known.rows}),
        chart=chart(history, now),
        parameters=dict(known.parameters),
        versions=dict(known.versions),
        is_complete=history.is_complete,
        remarks=_remarks(history),
    )


def _remarks(history: RunHistory) -> list[str]:
    """What a reader should know of how much is known."""
    found = []
    if not history.is_complete:
        found.append(
            "A version that kept no history had this run for a while, or its history was lost: what its "
            "jobs ran then, and what became of their time, is not known."
        )
    if history.past.stretches:
        found.append(
            f"{counted(history.past.stretches, 'try', 'tries')} of long ago "
            f"{'is' if history.past.stretches == 1 else 'are'} in the sums, but not in the chart."
        )
    return found


def name_of_item(row: Item) -> str:
    """What people call it."""
    if isinstance(row, TaskItem):
        return row.name or row.tag or f"task {row.id}"
    return row.fname if isinstance(row.fname, str) else ", ".join(row.fname)


# ------------------------------------------------------------------------- jobs


def job_facts(history: RunHistory) -> JobFacts:
    """Count jobs by how they ended."""
    ended = Counter(
        CAUSES.get(job.cause, job.cause.replace("_", " ")) for job in history.jobs if job.ended
    )
    never = sum(not job.begin for job in history.jobs)
    return JobFacts(len(history.jobs) + history.past.jobs, never, dict(ended.most_common()))


def wait_facts(history: RunHistory) -> WaitFacts:
    """How long jobs waited; of those that were dropped only the mean is known."""
    found = waits(history.jobs)
    waiting = sum(not job.begin and not job.ended for job in history.jobs)
    n = len(found) + history.past.waits
    if not n:
        return WaitFacts(0, waiting_now=waiting)
    mean = (sum(found) + history.past.waited) / n
    if not found:
        return WaitFacts(n, mean, waiting_now=waiting)
    ninety = found[min(len(found) - 1, int(0.9 * len(found)))]
    return WaitFacts(
        n, round(mean, 3), round(statistics.median(found), 3), round(ninety, 3),
        round(found[-1], 3), waiting,
    )  # fmt: skip


# ------------------------------------------------------------------------ items


def slowest(rows: Sequence[Item]) -> list[SlowItem]:
    """Those that took longest, in all their tries."""
    worked = sorted((row for row in rows if row.worked > 0), key=lambda row: -row.worked)
    return [
        SlowItem(
            row.id, name_of_item(row), row.phase.value, round(row.worked, 3), row.attempts, row.npoints
        )
        for row in worked[:MOST_SLOW]
    ]  # fmt: skip


def failures(rows: Sequence[Item], traceback_of: Callable[[Any], str]) -> list[FailureFacts]:
    """Those that failed, by the first line of the reason, the most frequent first."""
    groups: dict[str, list[Item]] = {}
    for row in rows:
        if row.phase is FAILED:  # those that differ in their numbers alone have one cause
            groups.setdefault(_NUMBER.sub("#", _cause(row)), []).append(row)
    largest = sorted(groups.items(), key=lambda group: -len(group[1]))
    found = [
        FailureFacts(
            _cause(its[0]), len(its), [row.id for row in its[:MOST_OF_A_GROUP]],
            [name_of_item(row) for row in its[:MOST_OF_A_GROUP]], traceback_of(its[0]),
        )
        for _, its in largest[:MOST_GROUPS]
    ]  # fmt: skip
    rest = [row for _, its in largest[MOST_GROUPS:] for row in its]
    if rest:
        found.append(
            FailureFacts(
                "for other reasons",
                len(rest),
                [row.id for row in rest[:20]],
                [name_of_item(row) for row in rest[:20]],
            )
        )
    return found


def _cause(row: Item) -> str:
    """The reason without the point at which it happened."""
    line = row.reason.strip().partition("\n")[0]
    return _AT.sub(": ", line, count=1) or "it failed"


def retry_facts(history: RunHistory) -> RetryFacts:
    """Sum up tries by how they ended."""
    tallies: dict[int, Tally] = {}
    for source in (history.past.tallies, *(job.tallies for job in history.jobs)):
        for how, tally in source.items():
            add_tally(tallies.setdefault(how, Tally()), tally)
    ends = [
        TryFacts(ENDS[How(how)], tally.n, round(tally.held, 3))
        for how, tally in sorted(tallies.items())
    ]
    reasons = Counter(
        history.reasons[one.reason]
        for one in history.stretches
        if one.reason >= 0 and one.how != How.DONE
    )
    tries = sum(tally.n for tally in tallies.values())
    return RetryFacts(
        tries, sum(one.tries for one in ends if one.how != ENDS[How.DONE]), ends,
        reasons.most_common(MOST_REASONS),
    )  # fmt: skip


def table_rows(rows: Sequence[Item]) -> list[list[Any]]:
    """Every learner or task, for the table; its columns are `COLUMNS`."""
    return [
        [
            row.id, name_of_item(row), row.phase.value, row.attempts, row.crashes,
            max(row.fails, row.fails_in_all), round(row.worked, 3), row.npoints, _short(row.loss),
            "" if row.phase is DONE else row.reason[:200],
        ]
        for row in rows
    ]  # fmt: skip


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


#: Key, label and kind of each column of the table.
COLUMNS = (
    ("id", "no.", "number"), ("name", "name", "text"), ("phase", "phase", "phase"),
    ("tries", "tries", "number"), ("crashes", "crashes", "number"), ("fails", "failures", "number"),
    ("seconds", "seconds", "number"), ("points", "points", "number"), ("loss", "loss", "number"),
    ("reason", "reason", "text"),
)  # fmt: skip


def without_unused(row: Sequence[Any], kind: str) -> list[Any]:
    """Leave out the columns that tasks do not have; of a row, or of `COLUMNS`."""
    return list(row) if kind != TASK else [*row[:7], *row[9:]]


def begun_and_ended(
    rows: Sequence[Item], history: RunHistory, *, is_over: bool
) -> tuple[float | None, float | None]:
    """When the run began, and when it ended; None where that is not known, or is to come."""
    times = [job.submitted or job.begin for job in history.jobs if job.submitted or job.begin]
    times += [history.bins.begin] if history.bins.begin else []
    begun = min(times, default=None)
    if not is_over:
        return begun, None
    changed = max((row.changed for row in rows if row.phase in OVER), default=0.0)
    ends = [job.end(0.0) for job in history.jobs if job.ended and job.begin]
    return begun, max([changed, *ends]) or None
