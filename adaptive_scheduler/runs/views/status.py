"""What `snapshot()` and `status()` return: values that show themselves in a notebook."""

from __future__ import annotations

from adaptive_scheduler.core.rows.row import Phase
from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.core.wire.snapshot import ItemView, Snapshot
from adaptive_scheduler.runs.views import render
from adaptive_scheduler.runs.views.tables import duration

RUNNING = "running"
HELD = "held"
FINISHED = "finished"
FAILED = "failed"
CANCELLED = "cancelled"
DEAD = "manager dead"
NOT_STARTED = "not started"


class RunSnapshot(Snapshot):
    """A `Snapshot` that prints as one line, and that a notebook shows as tables."""

    def __repr__(self) -> str:
        return f"<{word_of(self)}: {render.line(self)}>"

    def _repr_html_(self) -> str:
        return render.as_html(render.overview(self))


class RunStatus(str):
    """A word that can be compared; printed with its text.

    Attributes
    ----------
    text : str
        The details.
    """

    __slots__ = ("text",)

    text: str

    def __new__(cls, word: str, text: str) -> RunStatus:
        """Join the two."""
        status = super().__new__(cls, word)
        status.text = text
        return status

    def __repr__(self) -> str:
        return f"{self}: {self.text}" if self.text else str(self)

    def _repr_html_(self) -> str:
        import html

        text = f'<pre style="white-space:pre-wrap">{html.escape(self.text)}</pre>'
        return f"<b>{html.escape(self)}</b>{text if self.text else ''}"


def status_of(snapshot: Snapshot) -> RunStatus:
    """Return the status of a run, from a snapshot that holds at least the failed learners."""
    word = word_of(snapshot)
    lines = [render.line(snapshot), *snapshot.notes, *render.waiting(snapshot)]
    lines += [text.plain for text in render.failures(snapshot)[:10]]
    if word == DEAD:
        lines.append("No manager runs. Running jobs go on; resume() starts another manager.")
    return RunStatus(word, "\n".join(lines))


def word_of(snapshot: Snapshot) -> str:
    """`RUNNING`, `HELD`, `DEAD`, or how it ended."""
    if not snapshot.over:
        if not snapshot.alive:
            return DEAD
        return HELD if snapshot.is_held else RUNNING
    if snapshot.phases.get(Phase.CANCELLED):
        return CANCELLED
    return FAILED if snapshot.phases.get(Phase.FAILED) else FINISHED


def item_status(item: ItemView, now: float) -> RunStatus:
    """Return the status of one learner: its phase, and the details as text."""
    parts = [counted(item.npoints, "point"), f"{duration(item.worked)} of work"]
    if item.job:
        parts.append(f"job {item.job}")
    if item.loss is not None:
        parts.append(f"loss {item.loss:.3g}")
    return RunStatus(item.phase.value, ", ".join([*parts, *filter(None, [render.why(item, now)])]))
