"""Finds the jobs whose logs have a text in them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adaptive_scheduler.errors import InputError

#: A text, or a function of the lines of a file.
Condition = str | Callable[[list[str]], bool]


def logs_with_string_or_condition(
    error: Condition, database_manager: Any
) -> list[tuple[str, list[str]]]:
    """Return the jobs whose output or log has a text, with the names of these files.

    Parameters
    ----------
    error : str or callable
        The text, or a function that is given the lines of a file and returns whether it is meant.
    database_manager : DatabaseView
        ``run_manager.database_manager``.

    Returns
    -------
    list of (str, list of str)
        The job's name, and its files.

    Raises
    ------
    InputError
        `error` is neither.
    """
    return [(str(row.get("job_name")), files_of(row)) for row in rows_with(error, database_manager)]


def rows_with(error: Condition, database_manager: Any) -> list[dict[str, Any]]:
    """Return the rows of a database whose job has the text in its output or log."""
    if not isinstance(error, str) and not callable(error):
        raise InputError(f"error={error!r} must be a text, or a function of the lines of a file.")
    return [
        row
        for row in database_manager.as_dicts()
        if row.get("job_id") and any(_has(error, Path(name)) for name in files_of(row))
    ]


def files_of(row: dict[str, Any]) -> list[str]:
    """Return the output files and the log of a row's job."""
    log = row.get("log_fname")
    return [*row.get("output_logs", ()), *([log] if log else [])]


def _has(error: Condition, path: Path) -> bool:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    except OSError:  # it has not begun, or was removed
        return False
    return error in "".join(lines) if isinstance(error, str) else bool(error(lines))


async def search(error: Condition, database_manager: Any) -> list[dict[str, Any]]:
    """`rows_with`, beside the event loop."""
    return await asyncio.to_thread(rows_with, error, database_manager)
