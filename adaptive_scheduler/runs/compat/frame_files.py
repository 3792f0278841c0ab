"""Saves and loads the table of each learner beside its data file."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from adaptive_scheduler.errors import USER_RAISES, InputError, PermissionsError
from adaptive_scheduler.io.learner_data import data_files
from adaptive_scheduler.runs import data_frames
from adaptive_scheduler.runs.compat.atomic_writes import atomic_write
from adaptive_scheduler.runs.load_data import import_pandas

if TYPE_CHECKING:
    import pandas as pd

Format = Literal["parquet", "csv", "hdf", "pickle", "feather", "excel", "json"]
Fname = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

#: What pandas is told besides, so that a table that is read is the one that was written.
_WRITE: Mapping[str, dict[str, Any]] = {
    "hdf": {"key": "data"}, "csv": {"index": False}, "excel": {"index": False},
}  # fmt: skip
_READ: Mapping[str, dict[str, Any]] = {"hdf": {"key": "data"}}
#: What pandas calls the column of row numbers in a csv of adaptive-scheduler 2.
_ROW_NUMBERS = "Unnamed: 0"


def fname_to_dataframe(fname: Fname, format: str = "pickle") -> Path:  # noqa: A002
    """Return the name of the file of a learner's table, which is beside its data file.

    Parameters
    ----------
    fname : path-like, or list of path-like
        Of a list the first one counts.
    format : str
        Its extension.
    """
    first = fname if isinstance(fname, (str, os.PathLike)) else fname[0]
    path = Path(first)
    return path.with_name(f"dataframe.{path.stem}.{'xlsx' if format == 'excel' else format}")


def save_dataframe(
    fname: Fname,
    *,
    format: Format = "pickle",  # noqa: A002
    save_kwargs: Mapping[str, Any] | None = None,
    expand_dicts: bool = True,
    atomically: bool = True,
    **to_dataframe_kwargs: Any,
) -> Callable[[Any], None]:
    """Return a function that saves the table of a learner.

    Parameters
    ----------
    fname : path-like, or list of path-like
        Of the learner's data; the table is saved at `fname_to_dataframe`.
    format : {"parquet", "csv", "hdf", "pickle", "feather", "excel", "json"}
    save_kwargs : mapping, optional
        For the method of pandas that writes this format.
    expand_dicts : bool
        Whether each key of values that are dicts gets a column.
    atomically : bool
        Whether readers see the old table or the new, never a part.
    **to_dataframe_kwargs
        Names of columns, and ``with_default_function_args``; what a learner's own ``to_dataframe`` has
        besides is given to that.

    Returns
    -------
    callable
        ``learner -> None``.

    Raises
    ------
    InputError
        The format is not known.
    """
    check_format(format)
    path = fname_to_dataframe(fname, format)
    options = {**_WRITE.get(format, {}), **(save_kwargs or {})}

    def save(learner: Any) -> None:
        frame = _frame(learner, to_dataframe_kwargs)
        write = getattr(expand_dict_columns(frame) if expand_dicts else frame, f"to_{format}")
        if atomically:
            with atomic_write(path, return_path=True) as temporary:
                write(temporary, **options)
        else:
            write(path, **options)

    return save


def load_dataframes(
    fnames: Sequence[Fname],
    *,
    concat: bool = True,
    read_kwargs: Mapping[str, Any] | None = None,
    format: Format = "pickle",  # noqa: A002
) -> pd.DataFrame | list[pd.DataFrame]:
    """Load the tables that `save_dataframe` has saved.

    Parameters
    ----------
    fnames : sequence of path-like, or of lists of them
        Of the learners' data. Those without a table are left out; one whose table cannot be read is
        left out with a warning.
    concat : bool
        Whether to join them to one table.
    read_kwargs : mapping, optional
        For the function of pandas that reads this format.
    format : str
        As in `save_dataframe`.

    Returns
    -------
    pandas.DataFrame or list of pandas.DataFrame
        With the column ``fname``.

    Raises
    ------
    InputError
        The format is not known.
    PermissionsError
        A pickle belongs to another user, or others may change it: it is not loaded.
    """
    check_format(format)
    pandas = import_pandas()
    options = {**_READ.get(format, {}), **(read_kwargs or {})}
    frames = []
    for fname in fnames:
        path = fname_to_dataframe(fname, format)
        frame = _read(path, format, options, pandas) if path.exists() else None
        if frame is not None:
            frame["fname"] = [fname] * len(frame)
            frames.append(frame)
    if concat:
        return pandas.concat(frames, axis=0) if frames else pandas.DataFrame()
    return frames


def expand_dict_columns(df: pd.DataFrame) -> pd.DataFrame:
    """Return a table with a column ``NAME.KEY`` for each key of a column whose values are dicts.

    Parameters
    ----------
    df : pandas.DataFrame
        Left as it is. Rows without a dict have no value in the new columns.

    Raises
    ------
    InputError
        There is a column of such a name already.
    """
    pandas = import_pandas()
    for name in [name for name in df.columns if _has_dicts(df[name])]:
        rows = [value if isinstance(value, dict) else {} for value in df[name]]
        parts = pandas.json_normalize(rows).add_prefix(f"{name}.").set_axis(df.index, axis=0)
        df = df.drop(columns=name)
        twice = sorted(set(parts.columns) & set(df.columns))
        if twice:
            raise InputError(
                f"column {name!r} cannot be expanded: there is a column {twice[0]!r} already. "
                "Rename it, or give expand_dicts=False."
            )
        df = pandas.concat([df, parts], axis=1)  # by place: a joined table has row numbers twice
    return df


def _has_dicts(column: pd.Series) -> bool:
    """Whether all its values are dicts, but for those that are missing."""
    if column.dtype != object:
        return False
    kinds = {type(value) for value in column if value is not None and value == value}
    return kinds == {dict}


def _frame(learner: Any, options: Mapping[str, Any]) -> pd.DataFrame:
    """Make the table of a learner; an option that only its own ``to_dataframe`` has goes there."""
    names = {name: given for name, given in options.items() if name in data_frames.DEFAULTS}
    rest = options.keys() - names.keys()
    if not rest <= {"with_default_function_args"}:
        return learner.to_dataframe(**options)
    frame = data_frames.frame_of(learner, names, import_pandas())
    if options.get("with_default_function_args", True):
        return frame
    prefix = {**data_frames.DEFAULTS, **names}["function_prefix"]
    return frame.drop(columns=[one for one in frame.columns if str(one).startswith(prefix)])


def check_format(given: str) -> None:
    """Raise InputError if a format is not known."""
    if given not in get_args(Format):
        known = ", ".join(map(repr, get_args(Format)))
        raise InputError(f"format={given!r} is not known. Use one of {known}.")


def _read(path: Path, format: str, options: Mapping[str, Any], pandas: Any) -> Any:  # noqa: A002
    """Read one table; None, with a warning, if it cannot be read."""
    try:
        source: Any = io.BytesIO(data_files.read(path)) if format == "pickle" else path
        frame = getattr(pandas, f"read_{format}")(source, **options)
    except (PermissionsError, ImportError):  # no fault of this one file
        raise
    except USER_RAISES as error:  # a damaged file may raise anything
        warnings.warn(
            f"load_dataframes: {path} is left out, because it cannot be read "
            f"({type(error).__name__}: {error}). Save it again.",
            stacklevel=3,
        )
        return None
    return frame.drop(columns=_ROW_NUMBERS, errors="ignore")
