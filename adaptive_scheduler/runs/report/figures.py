"""What a report says: plain numbers and texts, the same for the page, for programs and for a letter.

`docs/report.schema.json` is made of these records (``python -m docs.report_schema``); a change that
a program could notice raises `SCHEMA_VERSION`. Times are seconds since 1970, durations seconds, and
None is unknown.
"""

from __future__ import annotations

from typing import Any

import msgspec

from adaptive_scheduler.core.history.series import HistorySeries

#: Of the JSON.
SCHEMA_VERSION = 1


class RunFacts(msgspec.Struct):
    """Which run it is, and how it stands."""

    name: str
    folder: str
    id: str
    kind: str
    state: str
    sentence: str
    begun: float | None
    ended: float | None
    is_over: bool
    total: int
    phases: dict[str, int]
    points: int
    notes: list[str] = []


class UseFacts(msgspec.Struct):
    """What became of the core-seconds that jobs held; `held` is the sum of the others."""

    held: float
    computing: float
    starting: float
    saving: float
    crashes: float
    walltime: float
    idle: float


class WaitFacts(msgspec.Struct):
    """How long jobs waited in the queue, those that have started; seconds."""

    jobs: int
    mean: float | None = None
    median: float | None = None
    ninety_percent: float | None = None
    longest: float | None = None
    waiting_now: int = 0


class JobFacts(msgspec.Struct):
    """How many jobs there were, and how those that are over have ended."""

    total: int
    never_started: int
    ended_by: dict[str, int] = {}


class SlowItem(msgspec.Struct):
    """One of the learners or tasks that took longest."""

    item: int
    name: str
    phase: str
    seconds: float
    tries: int
    points: int


class FailureFacts(msgspec.Struct):
    """Learners or tasks that failed for one reason; of many `items` and `names` the first."""

    reason: str
    count: int
    items: list[int]
    names: list[str]
    traceback: str = ""


class TryFacts(msgspec.Struct):
    """Tries that ended in one way: how many, and what they held."""

    how: str
    tries: int
    core_seconds: float


class RetryFacts(msgspec.Struct):
    """What trying again has cost: tries that did not end well, and the reasons most often given."""

    tries: int
    retried: int
    by_end: list[TryFacts]
    reasons: list[tuple[str, int]] = []


class Bar(msgspec.Struct, array_like=True):
    """A part of a job's line.

    `how`: as `How`, -1 goes on. `share` of its cores that were at work; `what` was run, of many the
    first.
    """

    begin: float
    end: float
    how: int
    share: float
    what: str


class Line(msgspec.Struct):
    """One job of the chart."""

    id: str
    host: str
    cores: int
    submitted: float
    started: float
    ended: float
    end_text: str
    bars: list[Bar]


class Chart(msgspec.Struct):
    """Jobs over time; of many those that held most."""

    begin: float
    end: float
    jobs: int
    lines: list[Line]


class RunReport(msgspec.Struct):
    """All of it."""

    schema_version: int
    made: float
    run: RunFacts
    jobs: JobFacts
    use: UseFacts
    waits: WaitFacts
    retries: RetryFacts
    slowest: list[SlowItem]
    failures: list[FailureFacts]
    series: HistorySeries
    chart: Chart
    parameters: dict[str, Any]
    versions: dict[str, str]
    is_complete: bool
    remarks: list[str] = []
