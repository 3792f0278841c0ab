"""How a sweep looks: while it runs, and at its end."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from adaptive_scheduler.core.texts import counted, sanitize
from adaptive_scheduler.core.times import rate_text
from adaptive_scheduler.runs.sweep.progress import FailedCommand, Progress
from adaptive_scheduler.runs.views.tables import duration

#: Failures that a live view names.
LAST = 5


def overview(progress: Progress) -> Group:
    """A bar, counts, and the last failures."""
    bar = Table.grid()  # a line of its own: a bar alone does not end its line
    bar.add_row(ProgressBar(total=max(1, progress.total), completed=progress.ended, width=60))
    parts: list[RenderableType] = [
        bar,
        Text(line(progress)),
        *(Text(note, "yellow") for note in progress.notes),
        *(Text(failure_line(one), "red") for one in progress.failures[-LAST:]),
    ]
    return Group(*parts)


def line(progress: Progress) -> str:
    """``running 2, done 10, failed 1 of 20; 3.1/s, 3 s left; 2 slots``."""
    parts = [f"running {min(progress.running, progress.total - progress.ended)}"]
    parts += [f"done {progress.done}", f"failed {progress.failed}"]
    parts += [f"left out {progress.left_out}"] * bool(progress.left_out)
    text = f"{', '.join(parts)} of {progress.total}"
    if progress.rate:
        text += f"; {rate_text(progress.rate)}/s"
    if progress.seconds_left is not None and progress.ended < progress.total:
        text += f", {duration(progress.seconds_left)} left"
    return f"{text}; {counted(progress.slots * max(1, progress.jobs), 'slot')}"


def failure_line(one: FailedCommand) -> str:
    """A failure in one line."""
    return f"FAILED {one.command} of {one.task}: {' '.join(sanitize(one.reason).split()):.200}"


def end_line(progress: Progress) -> str:
    """How it has ended."""
    parts = [f"{counted(progress.done, 'command')} succeeded"]
    parts += [f"{progress.failed} failed"] * bool(progress.failed)
    parts += [f"{progress.left_out} not run after a failure"] * bool(progress.left_out)
    parts += [f"{progress.skipped} had succeeded before"] * bool(progress.skipped)
    return f"{', '.join(parts)}, in {duration(progress.seconds)}."


def failures(found: Sequence[tuple[FailedCommand, str]], most: int) -> list[Text]:
    """A table of failures, each with the last lines of its log.

    Parameters
    ----------
    found : sequence of (FailedCommand, str)
    most : int
        Of them.
    """
    lines: list[Text] = []
    for one, tail in found[:most]:
        lines.append(Text(failure_line(one), "bold red"))
        lines.append(Text(f"  {one.log}", "dim"))
        lines += [Text(f"    {row}") for row in sanitize(tail).splitlines()]
    if len(found) > most:
        lines.append(Text(f"and {len(found) - most} more"))
    return lines
