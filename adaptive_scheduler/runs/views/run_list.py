"""Shows many runs: a line for each."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rich.text import Text

from adaptive_scheduler.runs.reading.summaries import RunSummary
from adaptive_scheduler.runs.views.status import (
    CANCELLED,
    DEAD,
    FAILED,
    FINISHED,
    HELD,
    RUNNING,
)
from adaptive_scheduler.runs.views.tables import FittedTable, duration, table

_STYLES = {
    RUNNING: "cyan", FINISHED: "green", FAILED: "bold red", CANCELLED: "magenta",
    HELD: "bold yellow", DEAD: "bold red",
}  # fmt: skip


def runs_table(runs: Sequence[RunSummary], below: str, now: float) -> FittedTable:
    """One line for each run; what changed last comes first."""
    names = ("folder", "state", "progress", "age", "changed", "host")
    ordered = sorted(runs, key=lambda run: -run.changed)
    return table("", names, [_cells(run, below, now) for run in ordered])


def _cells(run: RunSummary, below: str, now: float) -> list[Text]:
    return [
        Text(_shown(run.folder, below)),
        Text(run.state, _STYLES.get(run.state, "bold red")),
        Text(progress(run)),
        Text(duration(now - run.started) if run.started else ""),
        Text(f"{duration(now - run.changed)} ago" if run.changed else ""),
        Text(run.host),
    ]


def _shown(folder: str, below: str) -> str:
    """Its path, from the folder that was looked through."""
    return os.path.relpath(folder, below) if below else folder


def progress(run: RunSummary) -> str:
    """``66/100 learners done, 3 failed``; or why it cannot be read."""
    if run.problem:
        return run.problem
    others = [
        f", {n:,} {phase}"
        for phase in ("running", "failed", "cancelled")
        if (n := run.phases.get(phase))
    ]
    return f"{run.done:,}/{run.total:,} {run.kind}s done{''.join(others)}"
