"""How a `Snapshot` looks to people: pure functions from it to rich renderables."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from adaptive_scheduler.core.items import Phase
from adaptive_scheduler.core.snapshot import ItemView, JobRow, Snapshot

#: Colours of the phases, in the order in which they are shown.
STYLES = {
    Phase.DONE: "green",
    Phase.RUNNING: "cyan",
    Phase.QUEUED: "yellow",
    Phase.WAITING: "dim",
    Phase.FAILED: "bold red",
    Phase.CANCELLED: "magenta",
}
#: Who needs a look comes first.
_ORDER = (Phase.FAILED, Phase.RUNNING, Phase.QUEUED, Phase.WAITING, Phase.CANCELLED, Phase.DONE)


def overview(snapshot: Snapshot, rows: int | None = 20) -> Group:
    """Everything about a run, at most `rows` lines a table (None: all)."""
    parts: list[RenderableType] = [headline(snapshot), progress(snapshot), *notes(snapshot)]
    if snapshot.jobs:
        parts.append(jobs_table(snapshot, rows))
    if snapshot.items:
        parts.append(items_table(snapshot, rows))
    return Group(*parts)


def headline(snapshot: Snapshot) -> Text:
    """The run, and who manages it."""
    text = Text.assemble((snapshot.database, "bold"), f"  run {snapshot.run}")
    if snapshot.scheduler:
        text.append(f"  {snapshot.scheduler}")
    if snapshot.alive:
        text.append(f"  manager {snapshot.manager}", "dim")
    elif not snapshot.over:
        text.append("  no manager runs: adaptive-scheduler resume", "bold red")
    return text


def progress(snapshot: Snapshot) -> RenderableType:
    """A bar with the phases, the rate and the remaining time."""
    done = snapshot.phases.get(Phase.DONE, 0)
    grid = Table.grid(padding=(0, 1))
    grid.add_row(
        ProgressBar(total=max(snapshot.total, 1), completed=done, width=30),
        Text(f"{done}/{snapshot.total}"),
        phases(snapshot),
    )
    return Group(grid, Text(figures(snapshot), "dim"))


def phases(snapshot: Snapshot) -> Text:
    """How many learners are in each phase."""
    words = [
        (f"{snapshot.phases[phase]} {phase.value}  ", style)
        for phase, style in STYLES.items()
        if snapshot.phases.get(phase)
    ]
    return Text.assemble(*words)


def figures(snapshot: Snapshot) -> str:
    """Points, rate, jobs and remaining time on one line."""
    words = [f"{snapshot.points:,} points", f"{snapshot.points_per_second:.1f} points/s"]
    words.append(f"{len(snapshot.jobs)} jobs now, {snapshot.submitted} submitted")
    if snapshot.started:
        words.append(f"{duration(snapshot.time - snapshot.started)} since the manager started")
    if snapshot.remaining is not None and not snapshot.over:
        words.append(f"about {duration(snapshot.remaining)} left")
    return ", ".join(words)


def line(snapshot: Snapshot) -> str:
    """The same on one line without colours, for logs and pipes."""
    done = snapshot.phases.get(Phase.DONE, 0)
    return f"{done}/{snapshot.total} done  {phases(snapshot).plain.strip()}  {figures(snapshot)}"


def notes(snapshot: Snapshot) -> list[Text]:
    """What a person should know, one line each."""
    return [Text(f"! {note}", "bold yellow") for note in snapshot.notes]


def is_held(snapshot: Snapshot) -> bool:
    """Whether nothing is submitted until a person says `resume`."""
    return any(note.startswith("held:") for note in snapshot.notes)


# ------------------------------------------------------------------------- tables


def items_table(snapshot: Snapshot, rows: int | None = None) -> Table:
    """One line a learner; those that need a look come first."""
    table = _table(
        "learners",
        [("", True), ("fname", False), ("phase", False), ("job", False), ("points", True),
         ("loss", True), ("points/s", True), ("overhead", True), ("CPU", True),
         ("MiB", True), ("worked", True), ("why", False)],
    )  # fmt: skip
    chosen = sorted(snapshot.items, key=lambda item: (_ORDER.index(item.phase), item.id))
    for item in chosen[:rows]:
        table.add_row(*_item_cells(item))
    _cut(table, len(chosen), rows)
    return table


def _item_cells(item: ItemView) -> list[RenderableType]:
    runs = item.phase is Phase.RUNNING
    return [
        str(item.id),
        Text(fname_text(item.fname)),
        Text(item.phase.value, STYLES[item.phase]),
        Text(item.job or ""),
        f"{item.npoints:,}",
        "" if item.loss is None else f"{item.loss:.3g}",
        f"{item.points_per_second:.1f}" if runs else "",
        f"{item.overhead:.0f} %" if runs else "",
        f"{item.cpu:.0f} %" if runs else "",
        f"{item.memory:.0f}" if runs else "",
        duration(item.worked),
        Text(_why(item)),
    ]


def _why(item: ItemView) -> str:
    tries = [
        f"{item.fails} failures" * bool(item.fails),
        f"{item.crashes} crashes" * bool(item.crashes),
    ]
    reason = "" if item.phase is Phase.DONE else item.reason
    return ", ".join(word for word in (reason, *tries) if word)


def jobs_table(snapshot: Snapshot, rows: int | None = None) -> Table:
    """One line a job of the queue; silent ones come first."""
    table = _table(
        "jobs",
        [("id", False), ("name", False), ("state", False), ("host", False),
         ("learner", True), ("heard", True), ("why", False)],
    )  # fmt: skip
    chosen = sorted(snapshot.jobs, key=lambda job: (not job.suspect, job.item is None, job.id))
    for job in chosen[:rows]:
        table.add_row(*_job_cells(job))
    _cut(table, len(chosen), rows)
    return table


def _job_cells(job: JobRow) -> list[RenderableType]:
    heard = f"{duration(job.silent)} ago" if job.silent else ""
    return [
        Text(job.id),
        Text(job.name),
        Text(job.state),
        Text(job.host),
        "" if job.item is None else str(job.item),
        Text(f"silent: {heard}" if job.suspect else heard, "bold red" if job.suspect else ""),
        Text(job.reason),
    ]


def failures(snapshot: Snapshot) -> list[Text]:
    """The learners that failed, each with its reason, for the end of a run."""
    return [
        Text.assemble(
            (f"learner {item.id} ", "bold red"), f"{fname_text(item.fname)}: {item.reason}"
        )
        for item in snapshot.items
        if item.phase is Phase.FAILED
    ]


def _table(title: str, columns: Sequence[tuple[str, bool]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, title_style="bold")
    for name, right in columns:
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    return table


def _cut(table: Table, n: int, rows: int | None) -> None:
    if rows is not None and n > rows:
        table.caption = f"and {n - rows} more (--all shows them)"
        table.caption_justify = "left"


# ------------------------------------------------------------------------- texts


def fname_text(fname: str | list[str]) -> str:
    """A name to show: relative to the working directory if it lies below, and the first of a list."""
    if isinstance(fname, list):
        first = fname_text(fname[0]) if fname else "(none)"
        return first if len(fname) < 2 else f"{first} +{len(fname) - 1}"
    below = os.path.join(os.getcwd(), "")  # noqa: PTH118 a text that stays a text
    return fname.removeprefix(below)


def duration(seconds: float) -> str:
    """``7 s``, ``12 min``, ``3 h 05 min``, ``2 d 04 h``."""
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    minutes, hours = whole // 60, whole // 3600
    if minutes < 120:
        return f"{minutes} min"
    if hours < 48:
        return f"{hours} h {minutes % 60:02d} min"
    return f"{hours // 24} d {hours % 24:02d} h"


def as_text(view: RenderableType, width: int = 120) -> str:
    """A view as plain text, `width` letters wide."""
    console = Console(file=io.StringIO(), width=width, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(view)
    return capture.get()


def as_html(view: RenderableType, width: int = 120) -> str:
    """A view as HTML for a notebook: one ``pre`` with its styles inside, no scripts."""
    console = Console(record=True, file=io.StringIO(), width=width, force_terminal=True)
    console.print(view)
    form = '<pre style="line-height:normal;font-family:monospace;overflow-x:auto">{code}</pre>'
    return console.export_html(inline_styles=True, code_format=form)
