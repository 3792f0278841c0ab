"""Saves the table of a learner when a job has saved its data: ``RunManager(save_dataframe=True)``."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from typing import Any

from adaptive_scheduler.errors import USER_RAISES, EnvironmentMismatchError
from adaptive_scheduler.runs.compat.frame_files import Format, check_format, save_dataframe
from adaptive_scheduler.runs.load_data import import_pandas

#: What pandas needs to write a format; one of them.
NEEDED = {
    "parquet": ("pyarrow", "fastparquet"),
    "feather": ("pyarrow",),
    "hdf": ("tables",),
    "excel": ("openpyxl", "xlsxwriter"),
}


@dataclass(frozen=True)
class SaveFrame:
    """Called by jobs with a learner and its fname; a table that cannot be made is told in the job's output.

    Attributes
    ----------
    format : str
        See `save_dataframe`.
    """

    format: Format

    def __call__(self, learner: Any, fname: Any) -> None:
        """Save the table beside the data."""
        try:
            save_dataframe(fname, format=self.format)(learner)
        except (
            USER_RAISES
        ) as error:  # the border to the user's values; the data themselves are saved
            print(
                f"save_dataframe: no table of {fname} ({type(error).__name__}: {error}). Its data are saved.",
                file=sys.stderr,
                flush=True,
            )


def frame_saver(format: Format) -> SaveFrame:  # noqa: A002  the name that users know
    """Return what saves tables of a format; raises an error here if that cannot work.

    Raises
    ------
    InputError
        The format is not known.
    EnvironmentMismatchError
        pandas is not installed, or what it needs for this format.
    """
    check_format(format)
    import_pandas()
    packages = NEEDED.get(format, ())
    if packages and not any(importlib.util.find_spec(one) for one in packages):
        raise EnvironmentMismatchError(
            f"dataframe_format={format!r} needs the package {' or '.join(packages)}, here and in jobs: "
            f"pip install {packages[0]}; or give dataframe_format='pickle'."
        )
    return SaveFrame(format)
