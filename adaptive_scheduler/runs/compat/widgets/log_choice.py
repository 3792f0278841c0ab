"""Which log files of a run are shown, and in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: What files can be sorted by -> the column of the logs' table, and how it is shown.
ORDERS: Mapping[str, tuple[str, str]] = {
    "Alphabetical": ("", ""),
    "CPU %": ("cpu_usage", "{:.1f} %"),
    "Mem %": ("mem_usage", "{:.1f} %"),
    "Last edited": ("timestamp", "{:%Y-%m-%d %H:%M:%S}"),
    "Loss": ("latest_loss", "{:.2e}"),
    "npoints": ("npoints", "{:.0f} points"),
}


@dataclass(frozen=True)
class LogFile:
    """A file that a job has written.

    Attributes
    ----------
    path : str
    job : str
    runs : bool
        Whether the job has a learner now.
    failed : bool
        Whether a learner has failed in it.
    text : str
        Its last lines.
    figures : mapping
        What the log says last, by column.
    """

    path: str
    job: str
    runs: bool = False
    failed: bool = False
    text: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


def chosen(
    logs: Sequence[LogFile],
    *,
    only_running: bool = False,
    only_failed: bool = False,
    contains: str = "",
    order: str = "Alphabetical",
) -> list[tuple[str, str]]:
    """Return labels and paths of the files to be shown, the largest figure first."""
    found = [
        one for one in logs
        if (one.runs or not only_running) and (one.failed or not only_failed) and contains in one.text
    ]  # fmt: skip
    column, form = ORDERS[order]
    if not column:
        return sorted((one.path.rpartition("/")[2], one.path) for one in found)
    known = [one for one in found if _is_known(one.figures.get(column))]
    known.sort(key=lambda one: one.figures[column], reverse=True)
    unknown = [one for one in found if one not in known]
    return [
        (f"{_label(one, column, form)}: {one.path.rpartition('/')[2]}", one.path)
        for one in [*known, *unknown]
    ]


def _is_known(value: Any) -> bool:
    return value is not None and value == value  # NaN is not


def _label(one: LogFile, column: str, form: str) -> str:
    value = one.figures.get(column)
    return form.format(value) if _is_known(value) else "?"
