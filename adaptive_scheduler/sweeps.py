"""Results of sweeps: what `adaptive-scheduler sweep` has left, as a table."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["results"]


def __dir__() -> list[str]:
    return sorted(__all__)


def results(
    output: str | os.PathLike[str] = "output",
    metrics: Mapping[str, str] | None = None,
    *,
    all_columns: bool = False,
) -> pd.DataFrame:
    r"""Return the results of a sweep: a row for each task, by its name.

    Parameters
    ----------
    output : path-like
        The output folder of the sweep.
    metrics : mapping of str to str, optional
        Name of a column to a regular expression: its last match in the newest log of the task, or
        what its first group has matched, as a number if it is one. If the newest log has none, the
        newest logs of the commands before are read.
    all_columns : bool
        Whether there are columns also for parameters that are the same for all tasks.

    Raises
    ------
    InputError
        There are no tasks, or an expression is none, or is found in no log.

    Examples
    --------
    >>> results("output", {"loss": r"loss=(\S+)"})  # doctest: +SKIP
    """
    import pandas as pd

    from adaptive_scheduler.runs.sweep.results import result_table

    table = result_table(output, metrics or {}, all_columns=all_columns)
    rows = [[row.get(name) for name in table.columns] for row in table.rows.values()]
    return pd.DataFrame(rows, index=list(table.rows), columns=table.columns)
