"""The logs of jobs as a table."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.io.system.read_logs import log_files, read_events
from adaptive_scheduler.runs.compat.learners.rows import DatabaseView
from adaptive_scheduler.runs.load_data import import_pandas

if TYPE_CHECKING:
    import pandas as pd


def parse_log_files(
    database_manager: DatabaseView | str | os.PathLike[str] | Iterable[str] | None = None,
    scheduler: Any = None,  # noqa: ARG001  of adaptive-scheduler 2
    *,
    only_last: bool = True,
    logs: str | os.PathLike[str] | Iterable[str] | None = None,
) -> pd.DataFrame:
    """Read the logs of jobs.

    Parameters
    ----------
    database_manager : DatabaseView, str, path or iterable of them
        ``run_manager.database_manager``: one row for each learner, as `RunManager.parse_log_files` has it. Folders
        (``run_manager.folder.logs``) or ``.log`` files: one row for each event, ordered by time (column ``timestamp``);
        ``job`` is the name of the file, and a line that cannot be read becomes the event ``unreadable``.
    scheduler : optional
        Ignored.
    only_last : bool
        With a database: only the last line of each learner.
    logs : str, path or iterable of them, optional
        Another name of the first for folders and files.

    Raises
    ------
    InputError
        There is no such file or folder.
    EnvironmentMismatchError
        pandas is not installed.
    """
    if isinstance(database_manager, DatabaseView):
        return database_manager.progress(only_last)
    pandas = import_pandas()
    where = logs if database_manager is None else database_manager
    frame = pandas.DataFrame(
        [{"job": path.stem, **event} for path in log_files(where) for event in read_events(path)]  # type: ignore[arg-type]
    )
    if "timestamp" not in frame:
        return frame
    frame["timestamp"] = pandas.to_datetime(frame["timestamp"], utc=True, errors="coerce")
    return frame.sort_values("timestamp", kind="stable", ignore_index=True)
