"""Which learners or tasks the screen shows, and the cells of each."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from adaptive_scheduler.core.rows.row import TASK
from adaptive_scheduler.core.times import rate_text
from adaptive_scheduler.core.wire.snapshot import ItemView, Snapshot
from adaptive_scheduler.runs.views import render
from adaptive_scheduler.runs.views.fitting import GAP, column_width, fit, fitted, one_line
from adaptive_scheduler.runs.views.tables import duration

#: Most lines; a search finds the others.
MOST = 500
LEARNERS = ("", "fname", "phase", "job", "points", "loss", "points/s", "worked", "why")
TASKS = ("", "name", "phase", "tries", "why")


def matching(snapshot: Snapshot, words: str) -> list[ItemView]:
    """Items that have all of these words in number, name, phase, job or reason; in trouble first."""
    wanted = words.lower().split()
    return [item for item in render.by_attention(snapshot) if _has(item, wanted)]


def _has(item: ItemView, wanted: Sequence[str]) -> bool:
    if not wanted:
        return True
    name = item.fname if isinstance(item.fname, str) else " ".join(item.fname)
    text = f"{item.id} {name} {item.phase.value} {item.job or ''} {item.reason}".lower()
    return all(word in text for word in wanted)


def cells(snapshot: Snapshot, items: Sequence[ItemView]) -> list[list[Text]]:
    """The cells of each item."""
    if snapshot.kind == TASK:
        return [_task(item, snapshot.time) for item in items]
    folder = render.common_folder(snapshot.items)
    return [_learner(item, folder, snapshot.time) for item in items]


def _learner(item: ItemView, folder: str, now: float) -> list[Text]:
    return [
        Text(str(item.id)),
        Text(render.fname_text(item.fname, folder)),
        Text(item.phase.value, render.STYLES[item.phase]),
        Text(item.job or ""),
        Text(f"{item.npoints:,}"),
        Text("" if item.loss is None else f"{item.loss:.3g}"),
        Text(rate_text(item.points_per_second) if item.points_per_second else ""),
        Text(duration(item.worked)),
        Text(render.why(item, now)),
    ]


def _task(item: ItemView, now: float) -> list[Text]:
    return [
        Text(str(item.id)),
        Text(render.fname_text(item.fname)),
        Text(item.phase.value, render.STYLES[item.phase]),
        Text(str(item.attempts)),
        Text(render.why(item, now)),
    ]


def columns(names: Sequence[str], lines: Sequence[Sequence[Text]], width: int) -> dict[int, int]:
    """The columns that fit, by place, and their widths."""
    used = [n for n, _ in enumerate(names) if not lines or any(line[n].plain for line in lines)]
    needed = [
        column_width(names[n], max([cell_len(names[n]), *(_length(line[n]) for line in lines)]))
        for n in used
    ]
    return {used[place]: wide for place, wide in sorted(fit(needed, width - GAP).items())}


def _length(cell: Text) -> int:
    return cell_len(one_line(cell.plain))


def shortened(names: Sequence[str], line: Sequence[Text], shown: dict[int, int]) -> list[Text]:
    """The cells of a line that are shown, as wide as their columns."""
    return [fitted(line[n], names[n], wide) for n, wide in shown.items()]
