"""Shows a `Snapshot`: pure functions that return rich renderables, text or HTML."""

from __future__ import annotations

import datetime as dt
import io
import os
from collections import Counter
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from adaptive_scheduler.core.reasons.queue_words import jobs_text
from adaptive_scheduler.core.rows.row import TASK, Phase
from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.core.wire.snapshot import ItemView, JobRow, Snapshot
from adaptive_scheduler.runs.views import pools
from adaptive_scheduler.runs.views.tables import cut, duration, heartbeat, table

#: Colours of the phases, in the order in which they are shown.
STYLES = {
    Phase.DONE: "green",
    Phase.RUNNING: "cyan",
    Phase.QUEUED: "yellow",
    Phase.WAITING: "dim",
    Phase.FAILED: "bold red",
    Phase.CANCELLED: "magenta",
}
#: Learners that may need attention come first.
_ORDER = (Phase.FAILED, Phase.RUNNING, Phase.QUEUED, Phase.WAITING, Phase.CANCELLED, Phase.DONE)


def overview(snapshot: Snapshot, rows: int | None = 20) -> Group:
    """Everything about a run, with at most `rows` lines per table (None: all)."""
    parts: list[RenderableType] = [headline(snapshot), progress(snapshot), *notes(snapshot)]
    if snapshot.kind == TASK:
        return Group(*parts, *_about_tasks(snapshot, rows))
    if snapshot.jobs:
        parts.append(jobs_table(snapshot, rows))
    if snapshot.items:
        parts += [items_table(snapshot, rows), *reasons(snapshot, rows)]
    return Group(*parts)


def _about_tasks(snapshot: Snapshot, rows: int | None) -> list[RenderableType]:
    parts = pools.pools_table(snapshot)
    if snapshot.jobs:
        parts.append(pools.jobs_table(snapshot, rows))
    return [*parts, *pools.failed_tasks(snapshot)]


def headline(snapshot: Snapshot) -> Text:
    """The run and its manager."""
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
    lines = [figures(snapshot), *filter(None, [pools.ends(snapshot)])]
    return Group(grid, *(Text(line, "dim") for line in lines))


def phases(snapshot: Snapshot) -> Text:
    """How many items are in each phase."""
    parts = [
        (f"{snapshot.phases[phase]} {phase.value}  ", style)
        for phase, style in STYLES.items()
        if snapshot.phases.get(phase)
    ]
    return Text.assemble(*parts)


def figures(snapshot: Snapshot) -> str:
    """Points, rate, jobs and remaining time on one line."""
    if snapshot.kind == TASK:
        parts = pools.figures(snapshot)
    else:
        parts = [f"{snapshot.points:,} points", f"{snapshot.points_per_second:.1f} points/s"]
    parts.append(jobs(snapshot))
    if snapshot.submitted or snapshot.kind != TASK:
        parts.append(f"{snapshot.submitted} submitted")
    if snapshot.started:
        parts.append(f"{duration(snapshot.time - snapshot.started)} since the manager started")
    if snapshot.remaining is not None and not snapshot.over:
        parts.append(f"about {duration(snapshot.remaining)} left")
    return ", ".join(parts)


def jobs(snapshot: Snapshot) -> str:
    """How many jobs run and how many wait; only a manager knows which do."""
    n = len(snapshot.jobs)
    if not n:
        return "no jobs"
    if not snapshot.alive:
        return f"{counted(n, 'job')} not known to have ended"
    waiting = sum(job.waiting for job in snapshot.jobs)
    parts = [f"{k} {what}" for k, what in ((n - waiting, "running"), (waiting, "waiting")) if k]
    return f"jobs: {' and '.join(parts)}"


def line(snapshot: Snapshot) -> str:
    """The run on one line without colours, for logs and pipes."""
    done = snapshot.phases.get(Phase.DONE, 0)
    return f"{done}/{snapshot.total} done  {phases(snapshot).plain.strip()}  {figures(snapshot)}"


def notes(snapshot: Snapshot) -> list[Text]:
    """The notes of the manager, one line each."""
    return [Text(f"! {note}", "bold yellow") for note in snapshot.notes]


# ------------------------------------------------------------------------- tables


def items_table(snapshot: Snapshot, rows: int | None = None) -> Table:
    """One line per learner; those that may need attention come first."""
    chosen = _by_attention(snapshot)
    folder = common_folder(snapshot.items)
    names = ("", "fname", "phase", "job", "points", "loss", "points/s", "overhead", "CPU", "MiB",
             "worked", "no point for")  # fmt: skip
    lines = [_item_cells(item, folder) for item in chosen[:rows]]
    title = f"learners in {folder}" if folder else "learners"
    return cut(table(title, names, lines), len(chosen), rows)


def reasons(snapshot: Snapshot, rows: int | None = None) -> list[Text]:
    """Why learners failed or wait; not in the table, where a column would be too narrow."""
    folder = common_folder(snapshot.items)
    return [
        Text.assemble(
            (f"{item.id} ", STYLES[item.phase]), f"{fname_text(item.fname, folder)}: {reason}"
        )
        for item in _by_attention(snapshot)[:rows]
        if (reason := why(item, snapshot.time))
    ]


def _by_attention(snapshot: Snapshot) -> list[ItemView]:
    return sorted(snapshot.items, key=lambda item: (_ORDER.index(item.phase), item.id))


def _item_cells(item: ItemView, folder: str) -> list[Text]:
    runs = item.phase is Phase.RUNNING
    return [
        Text(str(item.id)),
        Text(fname_text(item.fname, folder)),
        Text(item.phase.value, STYLES[item.phase]),
        Text(item.job or ""),
        Text(f"{item.npoints:,}"),
        Text("" if item.loss is None else f"{item.loss:.3g}"),
        Text(f"{item.points_per_second:.1f}" if runs else ""),
        Text(f"{item.overhead:.0f} %" if runs else ""),
        Text(f"{item.cpu:.0f} %" if runs else ""),
        Text(f"{item.memory:.0f}" if runs else ""),
        Text(duration(item.worked)),
        Text(duration(item.idle_since) if item.stalled else "", "bold red"),
    ]


def why(item: ItemView, now: float) -> str:
    """Reason, failures and damaged data of a learner; "" if there is none."""
    fails = counted(item.fails, "failure") if item.fails else ""
    crashes = counted(item.crashes, "crash", "crashes") if item.crashes else ""
    kept = f"damaged data kept as {item.kept_aside}" if item.kept_aside else ""
    return ", ".join(filter(None, [_trouble(item, now), fails, crashes, kept]))


def _trouble(item: ItemView, now: float) -> str:
    """Why a learner is in its phase, and since when it makes no progress."""
    reason = "" if item.phase is Phase.DONE or item.reason == item.phase else item.reason
    return ", ".join(filter(None, [reason, stalled(item, now) if item.stalled else ""]))


def stalled(item: ItemView, now: float) -> str:
    """Since when a learner has made no progress, on this host's clock."""
    since = dt.datetime.fromtimestamp(now - item.idle_since).astimezone()
    form = "%H:%M:%S" if item.idle_since < 86400 else "%Y-%m-%d %H:%M"
    return f"without progress since {since:{form}} ({duration(item.idle_since)})"


def jobs_table(snapshot: Snapshot, rows: int | None = None) -> Table:
    """One line per job in the queue; those without heartbeats come first."""
    chosen = sorted(snapshot.jobs, key=lambda job: (not job.suspect, job.item is None, job.id))
    names = ("id", "name", "state", "host", "learner", "heartbeat", "reason")
    lines = [_job_cells(job) for job in chosen[:rows]]
    return cut(table("jobs", names, lines), len(chosen), rows)


def _job_cells(job: JobRow) -> list[Text]:
    return [
        Text(job.id),
        Text(job.name),
        Text(job.state),
        Text(job.host),
        Text("" if job.item is None else str(job.item)),
        heartbeat(job),
        Text(job.reason),
    ]


def waiting(snapshot: Snapshot) -> list[str]:
    """Why jobs wait, in the batch system's words, if none has started yet."""
    if snapshot.phases.get(Phase.RUNNING) or any(job.silent for job in snapshot.jobs):
        return []
    reasons = Counter((job.cause, job.reason) for job in snapshot.jobs if job.reason)
    return [jobs_text(n, cause, reason) for (cause, reason), n in reasons.items()]


def failures(snapshot: Snapshot) -> list[Text]:
    """What failed, cannot be saved or makes no progress, each with its reason."""
    if snapshot.kind == TASK:
        return pools.failed_tasks(snapshot)
    return [
        Text.assemble((f"learner {item.id} ", "bold red"), f"{fname_text(item.fname)}: {trouble}")
        for item in snapshot.items
        if item.phase in (Phase.FAILED, Phase.RUNNING)
        and (trouble := _trouble(item, snapshot.time))
    ]


# ------------------------------------------------------------------------- texts


def common_folder(items: Sequence[ItemView]) -> str:
    """The folder that holds all data, to be shown once; "" if there is none."""
    names = [name for item in items for name in _names(item.fname)]
    folders = {os.path.dirname(name) for name in names}  # noqa: PTH120  keeps its type str
    if not folders or not all(map(os.path.isabs, folders)):
        return ""
    return os.path.join(os.path.commonpath(folders), "")  # noqa: PTH118


def fname_text(fname: str | list[str], folder: str = "") -> str:
    """An fname without its folder; the first of a list, and how many more there are."""
    names = _names(fname) or ["(none)"]
    more = f" +{len(names) - 1}" if len(names) > 1 else ""
    return names[0].removeprefix(folder) + more


def _names(fname: str | list[str]) -> list[str]:
    return [fname] if isinstance(fname, str) else fname


def as_html(view: RenderableType, width: int = 120) -> str:
    """A view as HTML for a notebook: one ``pre`` with inline styles and no scripts."""
    console = Console(
        record=True, file=io.StringIO(), width=width, force_terminal=True, force_jupyter=False
    )
    console.print(view)
    form = '<pre style="line-height:normal;font-family:monospace;overflow-x:auto">{code}</pre>'
    return console.export_html(inline_styles=True, code_format=form)
