"""Loads the data of learners from data files and point journals; nothing is written."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import track

from adaptive_scheduler.errors import (
    USER_RAISES,
    DataFileError,
    EnvironmentMismatchError,
    FileError,
)
from adaptive_scheduler.io.learner_data import data_files
from adaptive_scheduler.io.learner_data.point_journal import (
    Listed,
    ReadJournal,
    list_journals,
    read_journals,
)
from adaptive_scheduler.runs import data_frames

if TYPE_CHECKING:
    import pandas as pd

#: Files that are read at a time: small ones mostly wait for the file system.
THREADS = 8


def load_learners(
    learners: Sequence[Any],
    fnames: Sequence[str | list[str]],
    progress: bool = True,
    threads: int = THREADS,
) -> int:
    """Load into each learner its saved data, and the points in its point journals since then.

    Jobs that write the journals are not disturbed.

    Parameters
    ----------
    learners, fnames : sequence
        Of equal length. A learner without data is left unchanged.
    progress : bool
        Show a progress bar.
    threads : int
        Files that are read at a time.

    Returns
    -------
    int
        How many learners have data.

    Raises
    ------
    DataFileError
        Some data cannot be loaded; those of the other learners are.
    """
    folders = dict.fromkeys(_folder_of(fname) for fname in fnames)
    with ThreadPoolExecutor(threads, "load") as pool:
        listed = dict(zip(folders, pool.map(_list, folders), strict=True))
        beside = [listed[_folder_of(fname)] for fname in fnames]
        results: Iterable[DataFileError | bool] = pool.map(_load, learners, fnames, beside)
        if progress:
            results = track(results, "loading learners", total=len(learners), transient=True)
        found = list(results)
    faults = [one for one in found if isinstance(one, DataFileError)]
    if faults:
        more = f" ({len(faults) - 1} more could not be loaded)" if len(faults) > 1 else ""
        raise DataFileError(faults[0].path, faults[0].reason + more) from faults[0].__cause__
    return sum(one is True for one in found)


def _folder_of(fname: str | list[str]) -> str:
    """Return the folder of a learner's journals: that of the first of its files."""
    return os.path.dirname(_first(fname))  # noqa: PTH120  keeps its type str


def _first(fname: str | list[str]) -> str:
    return fname if isinstance(fname, str) else fname[0]


def _list(folder: str) -> Listed | DataFileError:
    try:
        return list_journals(Path(folder))
    except DataFileError as error:
        return error


def _load(
    learner: Any, fname: str | list[str], listed: Listed | DataFileError
) -> DataFileError | bool:
    """Load one learner; return whether there were data, or an error if a part cannot be loaded."""
    if isinstance(listed, DataFileError):
        return listed
    fault: DataFileError | None = None
    journals: list[ReadJournal] = []
    try:
        # before the data file: points that leave a journal meanwhile are in that file
        journals.extend(read_journals(_first(fname), listed))
    except FileError as error:
        fault = DataFileError(error.path, error.reason)
    has_file = any(Path(name).exists() for name in ([fname] if isinstance(fname, str) else fname))
    if has_file:
        fault = _attempt(load_data, learner, fname) or fault
    if journals:
        fault = _attempt(_add_points, learner, fname, journals) or fault
    return fault or has_file or bool(journals)


def _attempt(
    load: Callable[..., None], learner: Any, fname: str | list[str], *more: Any
) -> DataFileError | None:
    """Call `load`, and return its error, if any, as a DataFileError."""
    try:
        load(learner, fname, *more)
    except FileError as error:
        return DataFileError(error.path, error.reason)
    except USER_RAISES as error:  # damaged data, or the learner's own load
        fault = DataFileError(_first(fname), f"cannot be loaded ({type(error).__name__}: {error}).")
        fault.__cause__ = error
        return fault
    return None


def load_data(learner: Any, fname: str | list[str]) -> None:
    """Load a learner as ``learner.load`` does, but refuse files that other users may have changed.

    Files that do not exist are ignored, as `learner.load` does.

    Raises
    ------
    PermissionsError
        A file belongs to another user, or others may write to it: it is not unpickled.
    DataFileError
        A file cannot be read, or holds the data of another learner.
    """
    from adaptive_scheduler.io.learner_data import adaptive_load

    for one, name in adaptive_load.files_of(learner, fname):
        if adaptive_load.saves_itself(one):
            one.load(name)  # a class of the user's that reads its own format
        elif Path(name).exists():
            _load_file(one, name)


def _load_file(learner: Any, name: str) -> None:
    from adaptive_scheduler.io.learner_data import adaptive_load

    content = data_files.read(name)
    try:
        data = adaptive_load.read_data(content)
    except (ImportError, AttributeError) as error:
        raise DataFileError(
            name,
            f"its values cannot be unpickled here ({error}). Use the environment in which it was "
            "written.",
        ) from error
    except USER_RAISES as error:  # a damaged pickle may raise anything
        raise DataFileError(
            name, f"cannot be read ({type(error).__name__}: {error}). Move it away."
        ) from error
    try:
        adaptive_load.set_data(learner, data)
    except USER_RAISES as error:  # data of another learner may raise anything
        raise DataFileError(
            name,
            f"does not hold the data of this {type(learner).__name__} "
            f"({type(error).__name__}: {error}). Give the learner that it was saved from.",
        ) from error


def _add_points(learner: Any, fname: str | list[str], journals: Sequence[ReadJournal]) -> None:
    """Add the points that only journals have. Raises DataFileError."""
    from adaptive_scheduler.io.learner_data import adaptive_load

    pairs = [pair for journal in journals for pair in journal.points]
    merged = adaptive_load.tell_journalled(learner, pairs)
    if merged.memo:
        adaptive_load.tell_as_asked(learner, merged.memo)
    if merged.refused:
        raise DataFileError(
            journals[-1].path,
            f"the {type(learner).__name__} of {_first(fname)} does not take {merged.refused} of the "
            f"{len(pairs)} points there. Give the learner that they were computed for.",
        )


def to_dataframe(
    learners: Sequence[Any],
    fnames: Sequence[str | list[str]],
    names: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Join the data of all learners.

    Parameters
    ----------
    learners, fnames : sequence
    names : mapping, optional
        Names of columns, as in `data_frames.DEFAULTS`.

    Returns
    -------
    pandas.DataFrame
        One row per point, with the columns ``learner`` (its place in the list) and ``fname``.
        A learner whose points cannot be made a table is left out, with a warning.

    Raises
    ------
    EnvironmentMismatchError
        pandas is not installed.
    InputError
        There is no column of such a name.
    """
    pandas = import_pandas()
    wanted = names or {}
    data_frames.check_names(wanted)
    tables = []
    for place, (learner, fname) in enumerate(zip(learners, fnames, strict=True)):
        if not getattr(learner, "npoints", 1):
            continue
        try:
            table = data_frames.frame_of(learner, wanted, pandas)
            table["learner"] = place
            table["fname"] = fname if isinstance(fname, str) else "; ".join(fname)
        except USER_RAISES as error:  # the border to the user's values and classes
            warnings.warn(
                f"to_dataframe: learners[{place}], a {type(learner).__name__} ({_first(fname)}), "
                f"is left out, because its points make no table ({type(error).__name__}: {error}). "
                f"load_learners()[{place}] has them.",
                stacklevel=3,
            )
            continue
        tables.append(table)
    return pandas.concat(tables, ignore_index=True) if tables else pandas.DataFrame()


def import_pandas() -> Any:
    """Import pandas, or raise an error that says how to install it."""
    try:
        import pandas as pd
    except ImportError as error:
        raise EnvironmentMismatchError(
            "pandas is not installed: pip install 'adaptive-scheduler[dataframe]'"
        ) from error
    return pd
