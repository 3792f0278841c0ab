"""Tables and cells, as all views have them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from adaptive_scheduler.core.times import duration_text
from adaptive_scheduler.core.wire.snapshot import JobRow

#: Columns that may be wrapped.
_LONG = frozenset({"fname", "name", "reason", "host", "each job"})
_LEFT = _LONG | {"phase", "state", "job", "id", "pool", "tag"}

#: ``7 s``, ``12 min``, ``3 h 05 min``.
duration = duration_text


def table(title: str, names: Sequence[str], lines: Sequence[Sequence[Text]]) -> Table:
    """Make a table without the columns that are empty."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, title_style="bold")
    used = [place for place, _ in enumerate(names) if any(cells[place].plain for cells in lines)]
    for name in (names[place] for place in used):
        made.add_column(
            name, justify="left" if name in _LEFT else "right", overflow="fold",
            no_wrap=name not in _LONG,
        )  # fmt: skip
    for cells in lines:
        made.add_row(*(cells[place] for place in used))
    return made


def cut(table: Table, n: int, rows: int | None, how: str = "--all shows them") -> Table:
    """Say below a table how many lines of `n` are left out."""
    if rows is not None and n > rows:
        table.caption = f"and {n - rows} more ({how})"
        table.caption_justify = "left"
    return table


def heartbeat(job: JobRow) -> Text:
    """When a job was last heard of."""
    ago = duration(job.silent)
    text = f"silent for {ago}" if job.suspect else f"{ago} ago" if job.silent else ""
    return Text(text, "bold red" if job.suspect else "")
