"""One word for how a run stands, with the text behind it."""

from __future__ import annotations

from adaptive_scheduler.core.rows.items import Phase
from adaptive_scheduler.core.wire.snapshot import Snapshot
from adaptive_scheduler.runs.views import render as views

RUNNING = "running"
HELD = "held"
FINISHED = "finished"
FAILED = "failed"
CANCELLED = "cancelled"
DEAD = "manager dead"
NOT_STARTED = "not started"


class RunStatus(str):
    """A word that can be compared; printed with its text.

    Attributes
    ----------
    text : str
        What a person wants to know.
    """

    __slots__ = ("text",)

    text: str

    def __new__(cls, word: str, text: str) -> RunStatus:
        """Join the two."""
        status = super().__new__(cls, word)
        status.text = text
        return status

    def __repr__(self) -> str:
        return f"{self}: {self.text}"


def status_of(snapshot: Snapshot) -> RunStatus:
    """Judge a snapshot that holds at least the failed learners."""
    word = word_of(snapshot)
    lines = [views.line(snapshot), *snapshot.notes, *views.waiting(snapshot)]
    lines += [text.plain for text in views.failures(snapshot)[:10]]
    if word == DEAD:
        lines.append("No manager lives. Jobs that run go on; resume() starts another manager.")
    return RunStatus(word, "\n".join(lines))


def word_of(snapshot: Snapshot) -> str:
    """`RUNNING`, `HELD`, `DEAD`, or how it ended."""
    if not snapshot.over:
        if not snapshot.alive:
            return DEAD
        return HELD if views.is_held(snapshot) else RUNNING
    if snapshot.phases.get(Phase.CANCELLED):
        return CANCELLED
    return FAILED if snapshot.phases.get(Phase.FAILED) else FINISHED
