"""Shows a `Snapshot`: pure functions that return rich renderables, text or HTML."""

from __future__ import annotations

import datetime as dt
import io
import os
from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.terminal_theme import TerminalTheme
from rich.text import Text
from rich.theme import Theme

from adaptive_scheduler.core.reasons.queue_words import jobs_text
from adaptive_scheduler.core.rows.row import TASK, Item, Phase
from adaptive_scheduler.core.texts import counted, natural
from adaptive_scheduler.core.times import rate_text
from adaptive_scheduler.core.wire.snapshot import ItemView, JobRow, Snapshot
from adaptive_scheduler.runs.views import pools
from adaptive_scheduler.runs.views.fitting import one_line, shorten
from adaptive_scheduler.runs.views.tables import (
    FittedTable,
    cut,
    duration,
    heartbeat,
    table,
)

#: Colours of the phases, in the order in which they are shown.
STYLES = {
    Phase.DONE: "green",
    Phase.RUNNING: "cyan",
    Phase.QUEUED: "yellow",
    Phase.WAITING: "dim",
    Phase.FAILED: "bold red",
    Phase.CANCELLED: "magenta",
}
#: A path that is shortened keeps so many letters.
_PATH = 16
#: Learners that may need attention come first.
_ORDER = (Phase.FAILED, Phase.RUNNING, Phase.QUEUED, Phase.WAITING, Phase.CANCELLED, Phase.DONE)


def overview(snapshot: Snapshot, rows: int | None = 20) -> Group:
    """Everything about a run, with at most `rows` lines per table (None: all).

    What people look for comes first: how far it is, then learners or tasks, then jobs.
    """
    parts: list[RenderableType] = [in_short(snapshot)]
    if snapshot.kind == TASK:
        return Group(*parts, *_about_tasks(snapshot, rows))
    if snapshot.items:
        parts.append(items_table(snapshot, rows))
    if snapshot.jobs:
        parts.append(jobs_table(snapshot, rows))
    return Group(*parts)


def in_short(snapshot: Snapshot) -> Group:
    """How far a run is, without tables."""
    return Group(headline(snapshot), progress(snapshot), *notes(snapshot))


def how_it_ended(last: Snapshot) -> str:
    """``all 3 learners have ended: 2 done, 1 failed``, or ``the learner has ended: 1 done``."""
    counts = phases(last).plain.strip().replace("  ", ", ")
    if not last.total:
        return f"it has no {last.kind}s yet"
    who = f"the {last.kind} has" if last.total == 1 else f"all {last.total:,} {last.kind}s have"
    return f"{who} ended: {counts}"


def _about_tasks(snapshot: Snapshot, rows: int | None) -> list[RenderableType]:
    parts: list[RenderableType] = [on_one_line(text) for text in pools.failed_tasks(snapshot)]
    parts += pools.pools_table(snapshot)
    if snapshot.jobs:
        parts.append(pools.jobs_table(snapshot, rows))
    return parts


def on_one_line(text: Text) -> Text:
    """The same text, cut where the line ends."""
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def headline(snapshot: Snapshot) -> Headline:
    """The run and its manager, on one line."""
    about = Text(f"  run {snapshot.run}")
    if snapshot.scheduler:
        about.append(f"  {snapshot.scheduler}")
    state = Text()
    if snapshot.alive:
        state.append(f"  manager {snapshot.manager}", "dim")
    elif not snapshot.over:
        state.append("  no manager runs: adaptive-scheduler resume", "bold red")
    return Headline(snapshot.database, about, state)


class Headline:
    """A path and what is to be said about it, on one line.

    The path is shortened in the middle; where that is not enough, what matters less is left out.

    Parameters
    ----------
    path : str
    about : Text
        What matters less.
    state : Text
        What must be there.
    """

    def __init__(self, path: str, about: Text, state: Text) -> None:
        self.path, self.about, self.state = path, about, state

    @property
    def plain(self) -> str:
        """All of it, as text."""
        return f"{one_line(self.path)}{self.about.plain}{self.state.plain}"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        room = options.max_width - self.state.cell_len
        about = self.about if room - self.about.cell_len >= _PATH else Text()
        room = max(4, room - about.cell_len)
        text = Text.assemble((shorten(self.path, room), "bold"), about, self.state)
        text.truncate(options.max_width, overflow="ellipsis")
        yield text


def progress(snapshot: Snapshot) -> RenderableType:
    """A bar, the phases, the rate and the remaining time."""
    done = snapshot.phases.get(Phase.DONE, 0)
    grid = Table.grid(padding=(0, 1))
    grid.add_row(
        ProgressBar(total=max(snapshot.total, 1), completed=done, width=30),
        Text(f"{done:,}/{snapshot.total:,} done"),
        Text(remaining(snapshot), "bold"),
    )
    lines = [figures(snapshot), *filter(None, [pools.ends(snapshot)])]
    return Group(grid, *_phase_lines(snapshot), *(Text(line, "dim") for line in lines))


def _phase_lines(snapshot: Snapshot) -> list[Text]:
    return [text] if (text := phases(snapshot)) else []


def remaining(snapshot: Snapshot) -> str:
    """``about 6 min left``; "" if that is not known."""
    if snapshot.remaining is None or snapshot.over:
        return ""
    return f"about {duration(snapshot.remaining)} left"


def phases(snapshot: Snapshot) -> Text:
    """How many items are in each phase."""
    parts = [
        (f"{snapshot.phases[phase]:,} {phase.value}  ", style)
        for phase, style in STYLES.items()
        if snapshot.phases.get(phase)
    ]
    return Text.assemble(*parts)


def figures(snapshot: Snapshot) -> str:
    """Jobs, points, rate and how long the manager is up, on one line."""
    of_jobs = [jobs(snapshot)]
    if snapshot.submitted or snapshot.kind != TASK:
        of_jobs.append(f"{snapshot.submitted:,} submitted")
    if snapshot.kind == TASK:
        of_items = [*rate(snapshot), *pools.figures(snapshot)]
    else:
        of_items = [f"{snapshot.points:,} {'point' if snapshot.points == 1 else 'points'}"]
        of_items += rate(snapshot)
    up = f"manager up {duration(snapshot.time - snapshot.started)}" if snapshot.started else ""
    return "; ".join(filter(None, [", ".join(of_jobs), ", ".join(of_items), up]))


def rate(snapshot: Snapshot) -> list[str]:
    """Points, or ends of tasks, a second; of a run that is over, or has no manager, there is none."""
    pace = snapshot.pace
    if pace is None:
        return []
    return [f"{rate_text(pace)} {'ended/s' if snapshot.kind == TASK else 'points/s'}"]


def jobs(snapshot: Snapshot) -> str:
    """How many jobs run and how many wait; only a manager knows which do."""
    n = len(snapshot.jobs)
    if not n:
        return "no jobs"
    if not snapshot.alive:
        return f"{counted(n, 'job')} not known to have ended"
    waiting = sum(job.waiting for job in snapshot.jobs)
    if not waiting:
        return f"{counted(n, 'job')} running"
    if waiting == n:
        return f"{counted(n, 'job')} waiting"
    return f"{n - waiting} of {n} jobs running, {waiting} waiting"


def line(snapshot: Snapshot) -> str:
    """The run on one line without colours, for logs and pipes."""
    done = snapshot.phases.get(Phase.DONE, 0)
    parts = [f"{done}/{snapshot.total} done", phases(snapshot).plain.strip(), figures(snapshot)]
    return "  ".join(filter(None, [*parts, remaining(snapshot)]))


def notes(snapshot: Snapshot) -> list[Text]:
    """The notes of the manager, one line each."""
    return [Text(f"! {note}", "bold yellow") for note in snapshot.notes]


# ------------------------------------------------------------------------- tables


def items_table(snapshot: Snapshot, rows: int | None = None) -> FittedTable:
    """One line per learner; those that may need attention come first."""
    chosen = by_attention(snapshot)
    folder = common_folder(snapshot.items)
    names = ("", "fname", "phase", "job", "points", "loss", "points/s", "overhead", "CPU", "MiB",
             "worked", "no point for", "why")  # fmt: skip
    lines = [[*_item_cells(item, folder), Text(why(item, snapshot.time))] for item in chosen[:rows]]
    title = f"learners in {folder}" if folder else "learners"
    return cut(table(title, names, lines), len(chosen), rows)


def by_attention(snapshot: Snapshot) -> list[ItemView]:
    """Its items, those that may need attention first."""
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
        Text(rate_text(item.points_per_second) if runs else ""),
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


def jobs_table(snapshot: Snapshot, rows: int | None = None) -> FittedTable:
    """One line per job in the queue; those without heartbeats come first."""
    chosen = sorted(
        snapshot.jobs, key=lambda job: (not job.suspect, job.item is None, natural(job.id))
    )
    names = ("id", "job name", "state", "host", "learner", "heartbeat", "reason")
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
    reasons = Counter(
        (job.cause, job.reason) for job in snapshot.jobs if job.reason and not job.remedy
    )
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


def common_folder(items: Sequence[ItemView] | Sequence[Item]) -> str:
    """The folder that holds all data, to be shown once; "" if there is none."""
    names = [name for item in items for name in _names(item.fname)]
    # each ends in a slash: what the first and the last of them have in common, all have
    folders = {os.path.join(os.path.dirname(name), "") for name in names}  # noqa: PTH118, PTH120
    ends = [min(folders), max(folders)] if folders else [""]
    if not all(map(os.path.isabs, ends)):
        return ""
    return os.path.join(os.path.commonpath(ends), "")  # noqa: PTH118


def fname_text(fname: str | list[str], folder: str = "") -> str:
    """An fname without its folder; the first of a list, and how many more there are."""
    names = _names(fname) or ["(none)"]
    more = f" +{len(names) - 1}" if len(names) > 1 else ""
    return names[0].removeprefix(folder) + more


def _names(fname: str | list[str]) -> list[str]:
    return [fname] if isinstance(fname, str) else fname


#: Colours that can be read on white and on nearly black: a contrast of 4 with both (a test holds it).
_COLOURS = [
    (118, 118, 118), (216, 59, 59), (36, 138, 61), (150, 115, 0),
    (60, 115, 220), (176, 80, 190), (0, 133, 145), (118, 118, 118),
]  # fmt: skip
#: "Dim" is half way from the text to the paper: both are this grey, since the paper is not known.
THEME = TerminalTheme((118, 118, 118), (118, 118, 118), _COLOURS, _COLOURS)
_BARS = Theme({"bar.back": "bright_black", "bar.complete": "green", "bar.finished": "green"})
#: Characters in a line of a notebook.
NOTEBOOK_WIDTH = 110


def as_html(view: RenderableType, width: int = NOTEBOOK_WIDTH) -> str:
    """A view as HTML for a notebook: one ``pre`` with inline styles and no scripts.

    Text without a colour has that of the notebook.
    """
    console = Console(
        record=True, file=io.StringIO(), width=width, force_terminal=True, force_jupyter=False,
        color_system="standard", theme=_BARS,
    )  # fmt: skip
    console.print(view)
    form = '<pre style="line-height:normal;font-family:monospace;overflow-x:auto">{code}</pre>'
    return console.export_html(theme=THEME, inline_styles=True, code_format=form)
