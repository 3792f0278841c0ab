"""Tables and cells, as all views have them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.table import Table
from rich.text import Text

from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.core.times import duration_text
from adaptive_scheduler.core.wire.snapshot import JobRow
from adaptive_scheduler.runs.views.fitting import (
    GAP,
    column_width,
    cut_end,
    fit,
    fitted,
    is_unknown,
    one_line,
)

_LEFT = frozenset(
    {"fname", "name", "reason", "why", "host", "each job", "phase", "state", "job", "id", "pool",
     "tag", "folder", "progress", "manager", "task"}
)  # fmt: skip

#: ``7 s``, ``12 min``, ``3 h 05 min``.
duration = duration_text


class FittedTable:
    """A table with one line for each row, in any width: see `fitting`.

    Parameters
    ----------
    title : str
        Left out if it is "".
    names : sequence of str
        Headings of the columns. One that is empty in all rows is left out.
    lines : sequence of sequences of Text
        The cells of each row.
    caption : str
        A line below.
    """

    def __init__(
        self,
        title: str,
        names: Sequence[str],
        lines: Sequence[Sequence[Text]],
        caption: str = "",
    ) -> None:
        self.title, self.names, self.lines, self.caption = title, names, lines, caption

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text | Table]:
        if self.title:
            yield Text(cut_end(self.title, options.max_width), "bold", no_wrap=True)
        shown = self._widths(options.max_width)
        yield self._table(shown)
        for text in filter(None, [self.caption, self._left_out(shown)]):
            yield Text(cut_end(text, options.max_width), "dim italic", no_wrap=True)

    def _left_out(self, shown: Mapping[int, int]) -> str:
        """How many columns of a table of unknown columns, such as a sweep's, are not shown."""
        left = sum(is_unknown(name) for n, name in enumerate(self.names) if n not in shown)
        return f"and {counted(left, 'more column')} (a wider terminal shows them)" if left else ""

    def _widths(self, width: int) -> dict[int, int]:
        """The columns that are shown, and their widths."""
        used = [n for n, _ in enumerate(self.names) if any(cells[n].plain for cells in self.lines)]
        needed = [
            column_width(self.names[n], max([cell_len(self.names[n]), *map(_length, self._column(n))]))
            for n in used
        ]  # fmt: skip
        return {used[place]: wide for place, wide in sorted(fit(needed, width).items())}

    def _table(self, shown: Mapping[int, int]) -> Table:
        made = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
        for n, wide in shown.items():
            name = self.names[n]
            made.add_column(
                name, justify="left" if name in _LEFT else "right", no_wrap=True, width=wide,
                overflow="crop",
            )  # fmt: skip
        for cells in self.lines:
            made.add_row(*(fitted(cells[n], self.names[n], wide) for n, wide in shown.items()))
        return made

    def _column(self, n: int) -> Iterator[Text]:
        return (cells[n] for cells in self.lines)


def _length(cell: Text) -> int:
    return cell_len(one_line(cell.plain))


def table(title: str, names: Sequence[str], lines: Sequence[Sequence[Text]]) -> FittedTable:
    """Make a table without the columns that are empty."""
    return FittedTable(title, names, lines)


def cut(table: FittedTable, n: int, rows: int | None, how: str = "--all shows them") -> FittedTable:
    """Say below a table how many lines of `n` are left out."""
    if rows is not None and n > rows:
        table.caption = f"and {n - rows:,} more ({how})"
    return table


def heartbeat(job: JobRow) -> Text:
    """When a job was last heard of."""
    ago = duration(job.silent)
    text = f"silent for {ago}" if job.suspect else f"{ago} ago" if job.silent else ""
    return Text(text, "bold red" if job.suspect else "")
