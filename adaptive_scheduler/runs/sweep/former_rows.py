"""What the runs of earlier sweeps in one output folder know of commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adaptive_scheduler.core.rows.row import Phase
from adaptive_scheduler.runs.driver.task_table import read_rows
from adaptive_scheduler.runs.sweep.decisions import Past, split_key
from adaptive_scheduler.runs.sweep.folders import SweepFolder


class FormerRows:
    """Rows of the runs of all titles, read once.

    Parameters
    ----------
    folder : SweepFolder
    """

    def __init__(self, folder: SweepFolder) -> None:
        self._own: dict[str, tuple[int, Phase]] = {}
        self._done_elsewhere: set[str] = set()
        self.unfinished: set[str] = set()
        for run in folder.all_runs():
            is_own = run.database == folder.run.database
            for row in read_rows(run):
                key, generation = split_key(row.key)
                if is_own:
                    self._own[key] = max(
                        self._own.get(key, (-1, row.phase)), (generation, row.phase)
                    )
                    if row.phase in (Phase.WAITING, Phase.QUEUED, Phase.RUNNING):
                        self.unfinished.add(row.key)
                elif row.phase is Phase.DONE:
                    self._done_elsewhere.add(key)

    def past(self, key: str, entry: Mapping[str, Any] | None) -> Past:
        """Return what is known of a command, with its entry in ``stat.json``."""
        generation, phase = self._own.get(key, (-1, None))
        return Past(entry, generation, phase, key in self._done_elsewhere)
