"""What the runs of earlier sweeps in one output folder know of commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import OVER, Phase
from adaptive_scheduler.core.tasks.resources import TaskResources, is_kept_as
from adaptive_scheduler.errors import FileError
from adaptive_scheduler.runs.driver.tasks.task_table import read_rows, read_rows_with_resources
from adaptive_scheduler.runs.sweep.decisions import Past, split_key
from adaptive_scheduler.runs.sweep.folders import SweepFolder


class RowSettings(NamedTuple):
    """What a row was submitted with, besides its command."""

    resources: TaskResources
    timeout: float | None

    def is_kept_as(self, kept: RowSettings) -> bool:
        """Whether a row with these is kept as one with those."""
        return self.timeout == kept.timeout and is_kept_as(self.resources, kept.resources)


class _Latest(NamedTuple):
    """The last row of a command."""

    generation: int
    phase: Phase
    settings: RowSettings


class FormerRows:
    """Rows of the runs of all titles, read once.

    Parameters
    ----------
    folder : SweepFolder

    Attributes
    ----------
    unfinished : set of str
        Keys of the rows of this title that have not ended.
    unreadable : list of str
        Why runs of other titles cannot be read: one may just be made.
    """

    def __init__(self, folder: SweepFolder) -> None:
        self._own: dict[str, _Latest] = {}
        self._done_elsewhere: set[str] = set()
        self.unfinished: set[str] = set()
        self.unreadable: list[str] = []
        for run in folder.all_runs():
            if run.database == folder.run.database:
                self._read_own(run)
            else:
                self._read_other(run)

    def _read_own(self, run: RunFolder) -> None:
        for row, resources in read_rows_with_resources(run):
            key, generation = split_key(row.key)
            if key not in self._own or self._own[key].generation < generation:
                settings = RowSettings(resources, row.timeout)
                self._own[key] = _Latest(generation, row.phase, settings)
            if row.phase not in OVER:
                self.unfinished.add(row.key)

    def _read_other(self, run: RunFolder) -> None:
        try:
            rows = read_rows(run)
        except FileError as error:
            self.unreadable.append(f"{error}. What it has done is not known here.")
            return
        self._done_elsewhere |= {split_key(row.key)[0] for row in rows if row.phase is Phase.DONE}

    def past(self, key: str, entry: Mapping[str, Any] | None, wanted: RowSettings) -> Past:
        """Return what is known of a command, with its entry in ``stat.json``."""
        elsewhere = key in self._done_elsewhere
        if key not in self._own:
            return Past(entry, is_done_elsewhere=elsewhere)
        generation, phase, settings = self._own[key]
        return Past(entry, generation, phase, elsewhere, wanted.is_kept_as(settings))
