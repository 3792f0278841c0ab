"""The data of learners, loaded from where the jobs saved them."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import track

from adaptive_scheduler.errors import (
    USER_RAISES,
    DataFileError,
    EnvironmentMismatchError,
    FileError,
    InputError,
)
from adaptive_scheduler.io import data_files

if TYPE_CHECKING:
    import pandas as pd

#: Files that are read at a time: most of the time of a small one is the file system's.
THREADS = 8


def load_learners(
    learners: Sequence[Any], fnames: Sequence[str | list[str]], progress: bool = True
) -> int:
    """Load each learner's data as last saved; returns how many have data.

    Parameters
    ----------
    learners, fnames : sequence
        Of equal length; a learner without data yet is left as it is.
    progress : bool
        Show a bar.

    Raises
    ------
    DataFileError
        Some data cannot be loaded; the other learners are loaded nevertheless.
    """
    with ThreadPoolExecutor(THREADS, "load") as threads:
        answers: Iterable[DataFileError | bool] = threads.map(_load, learners, fnames)
        if progress:
            answers = track(answers, "loading learners", total=len(learners), transient=True)
        found = list(answers)
    faults = [answer for answer in found if isinstance(answer, DataFileError)]
    if faults:
        more = f" ({len(faults) - 1} more could not be loaded)" if len(faults) > 1 else ""
        raise DataFileError(faults[0].path, faults[0].reason + more) from faults[0].__cause__
    return sum(answer is True for answer in found)


def _load(learner: Any, fname: str | list[str]) -> DataFileError | bool:
    names = [fname] if isinstance(fname, str) else fname
    if not any(Path(name).exists() for name in names):
        return False
    try:
        load_data(learner, fname)
        if not getattr(learner, "npoints", 1):
            _check_whole(names)
    except FileError as error:
        return DataFileError(error.path, error.reason)
    except USER_RAISES as error:
        fault = DataFileError(
            names[0], f"cannot be loaded ({type(error).__name__}: {error}). Move it away."
        )
        fault.__cause__ = error
        return fault
    return True


def load_data(learner: Any, fname: str | list[str]) -> None:
    """``learner.load`` of files that are this user's own.

    Raises
    ------
    PermissionsError
        One is somebody else's, or anybody may change it: it is not unpickled.
    """
    if not type(learner).load.__module__.startswith("adaptive."):
        learner.load(fname)  # the user's own way to read the user's own format
    elif isinstance(fname, str):
        with data_files.held(fname) as checked:
            learner.load(checked)
    else:  # a BalancingLearner, whose load does the same with each
        for child, name in zip(learner.learners, fname, strict=True):
            load_data(child, name)


def _check_whole(names: Sequence[str]) -> None:
    """Adaptive takes a file that was cut off for one without points."""
    for name in names:
        if Path(name).exists():
            with gzip.open(name) as file:
                while file.read(2**20):
                    pass


def to_dataframe(learners: Sequence[Any], fnames: Sequence[str | list[str]]) -> pd.DataFrame:
    """Join the data of all learners.

    Returns
    -------
    pandas.DataFrame
        What each learner's own ``to_dataframe`` gives, with the columns ``learner`` (its
        place in the list) and ``fname``. Learners without points give no rows.

    Raises
    ------
    EnvironmentMismatchError
        pandas is not installed.
    InputError
        A learner cannot be made a DataFrame.
    """
    pandas = import_pandas()
    frames = []
    for place, (learner, fname) in enumerate(zip(learners, fnames, strict=True)):
        if not getattr(learner, "npoints", 1):
            continue
        try:
            frame = learner.to_dataframe()
        except (NotImplementedError, AttributeError) as error:
            raise InputError(
                f"learners[{place}], a {type(learner).__name__}, has no DataFrame ({error}). "
                "Use load_learners() and the learner itself."
            ) from error
        frame["learner"] = place
        frame["fname"] = fname if isinstance(fname, str) else "; ".join(fname)
        frames.append(frame)
    return pandas.concat(frames, ignore_index=True) if frames else pandas.DataFrame()


def import_pandas() -> Any:
    """Import pandas, or say how to get it."""
    try:
        import pandas as pd
    except ImportError as error:
        raise EnvironmentMismatchError(
            "pandas is not installed: pip install 'adaptive-scheduler-mpi[dataframe]'"
        ) from error
    return pd
