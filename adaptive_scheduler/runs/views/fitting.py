"""Which columns of a table fit into a line, and how wide each is; names shortened in the middle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from adaptive_scheduler.core.texts import sanitize

#: Between two columns.
GAP = 2


@dataclass(frozen=True)
class ColumnWidth:
    """What a column needs.

    Attributes
    ----------
    natural : int
        Its longest cell, or its heading.
    wanted : int
        With less it is hard to read: columns that matter less are left out first.
    least : int
        With less it says nothing.
    rank : int
        How much it matters; that with the highest number goes first. 0: it never goes.
    """

    natural: int
    wanted: int
    least: int
    rank: int


def column_width(name: str, natural: int) -> ColumnWidth:
    """What a column of this heading needs, whose longest cell has `natural` characters."""
    rank = 0 if name in _KEPT else _RANKS.get(name, _OTHERS)
    wanted, least = _FLEXIBLE.get(name, (20, 8) if rank == _OTHERS else (natural, natural))
    return ColumnWidth(natural, min(natural, wanted), min(natural, least), rank)


#: Columns whose cells may be shortened: what they want, and the least they take.
_FLEXIBLE = {
    "fname": (24, 12), "name": (18, 10), "reason": (30, 12), "why": (40, 16), "host": (12, 8),
    "each job": (24, 12), "job": (16, 10), "id": (20, 10), "tag": (10, 6), "pool": (12, 8),
    "folder": (24, 14), "progress": (30, 16), "task": (24, 12), "job name": (14, 8),
}  # fmt: skip
#: Columns that never go.
_KEPT = frozenset({"", "id", "fname", "name", "task", "pool", "phase", "why", "folder", "progress"})
#: How much the others matter.
_RANKS = {
    name: rank
    for rank, name in enumerate(
        ("state", "points", "reason", "jobs", "host", "loss", "learner", "tasks", "heartbeat", "job",
         "no point for", "points/s", "worked", "each job", "tag", "tries", "in use", "cores", "waiting",
         "most", "age", "changed", "seconds", "CPU", "priority", "overhead", "MiB", "job name"),
        1,
    )
}  # fmt: skip
#: Of columns that are not known here, such as a sweep's parameters.
_OTHERS = len(_RANKS) + 1


def is_unknown(name: str) -> bool:
    """Whether a column is none of those that views of a run have."""
    return name not in _KEPT and name not in _RANKS


def fit(columns: Sequence[ColumnWidth], width: int) -> dict[int, int]:
    """Return the columns that are shown in `width` characters, by their place, and their widths."""
    shown = dict(enumerate(columns))
    while _total(column.wanted for column in shown.values()) > width:
        place, last = max(shown.items(), key=lambda one: (one[1].rank, one[0]))
        if not last.rank:
            break
        del shown[place]
    fits = _total(column.wanted for column in shown.values()) <= width
    low = {place: column.wanted if fits else column.least for place, column in shown.items()}
    high = {place: column.natural if fits else column.wanted for place, column in shown.items()}
    return _shared(low, high, width)


def _total(widths: Iterable[int]) -> int:
    found = list(widths)
    return sum(found) + GAP * max(0, len(found) - 1)


def _shared(low: dict[int, int], high: dict[int, int], width: int) -> dict[int, int]:
    """Widths between `low` and `high`: what is left goes to the narrowest first."""
    found = dict(low)
    left = width - _total(found.values())
    while left > 0 and (open_ := [place for place in found if found[place] < high[place]]):
        step = max(1, left // len(open_))
        for place in open_:
            more = min(step, high[place] - found[place], left)
            found[place] += more
            left -= more
    return found


def shorten(text: str, width: int) -> str:
    """Return a text of at most `width` columns of a terminal, with ``…`` in its middle.

    The end is kept longer than the beginning: names of one study differ there.
    """
    text = one_line(text)
    if cell_len(text) <= width:
        return text
    if width < 4:
        return set_cell_size(text, max(0, width)).rstrip()
    head = set_cell_size(text, (width - 1) // 3).rstrip()
    tail = ""
    for letter in reversed(text):
        if cell_len(head) + 1 + cell_len(tail) + cell_len(letter) > width:
            break
        tail = letter + tail
    return f"{head}…{tail}"


def cut_end(text: str, width: int) -> str:
    """Return the beginning of a sentence, in at most `width` columns of a terminal."""
    text = one_line(text)
    return (
        text if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)).rstrip() + "…"
    )


def one_line(text: str) -> str:
    """A text without line ends, tabs and what a terminal would obey."""
    if text.isprintable():
        return text
    return sanitize(text).replace("\n", "\\n").replace("\t", "\\t")


#: Columns that hold sentences: their beginning says most.
_SENTENCES = frozenset({"reason", "why", "each job", "progress"})


def fitted(cell: Text, name: str, width: int) -> Text:
    """A cell of the column `name` in at most `width` columns of a terminal."""
    short = cut_end(cell.plain, width) if name in _SENTENCES else shorten(cell.plain, width)
    return cell if short == cell.plain else Text(short, cell.style)
