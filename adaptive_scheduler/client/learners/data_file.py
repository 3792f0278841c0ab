"""One data file of one learner: read, kept aside, replaced."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adaptive_scheduler.client.learners import adaptive_private as adaptive_parts
from adaptive_scheduler.errors import DataFileError, EnvironmentMismatchError, UserCodeError
from adaptive_scheduler.executors.worker import describe
from adaptive_scheduler.io.learner_data import data_files
from adaptive_scheduler.io.storage import files

#: inode, size, mtime_ns of a file; None if there is none
Seen = files.FileIdentity | None


class LeaseLostError(DataFileError):
    """Not saved, because the learner may have another owner by now; the journal has the points."""


class ChangedError(DataFileError):
    """Not saved yet, because somebody else saved: call `DataFile.merge`, then save again."""


@dataclass
class LoadReport:
    """What loading or merging found.

    Attributes
    ----------
    n_loaded : int
        Points of the data file.
    n_merged : int
        Points that only journals (or another owner's save) had.
    memo : dict
        Values of points that the learner takes only when it asks for them.
    kept_aside : list of Path
        Files that could not be read, under their new names.
    notes : list of str
        What a person should know.
    """

    n_loaded: int = 0
    n_merged: int = 0
    memo: dict[Any, Any] = field(default_factory=dict)
    kept_aside: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class OneFile:
    """A data file, and whose it is.

    Attributes
    ----------
    learner : adaptive.BaseLearner
        Its learner.
    path : Path
        The file.
    seen : tuple or None
        What it was when we last read or wrote it.
    checksum : int or None
        Of the data in it, if we wrote them.
    """

    learner: Any
    path: Path
    seen: Seen = None
    checksum: int | None = None

    def load(self, report: LoadReport) -> None:
        """Load it into the learner. Raises as `DataFile.load` does."""
        if adaptive_parts.saves_itself(self.learner):
            try:
                self.learner.load(os.fspath(self.path))
            except BaseException as error:  # the border to the user's code
                raise user_code_error("load", error) from error
            self.learner.remove_unfinished()
            return
        data = self.read(report)
        if data is None:
            return
        try:
            adaptive_parts.set_data(self.learner, data[0])
        except BaseException as error:  # whatever data of another learner lead to
            raise DataFileError(
                self.path,
                f"does not hold the data of this {type(self.learner).__name__} "
                f"({type(error).__name__}: {error}). Move it away, or give another fname.",
            ) from error

    def read(self, report: LoadReport) -> tuple[Any] | None:
        """The data in a file; None if it cannot be read and was kept aside."""
        content = data_files.read(self.path)
        try:
            return (adaptive_parts.read_data(content),)
        except MemoryError:
            raise
        except (ImportError, AttributeError) as error:
            raise EnvironmentMismatchError(
                f"{self.path}: its values cannot be unpickled here: {error}. "
                "Use the environment in which it was written."
            ) from error
        except Exception as error:  # noqa: BLE001  a damaged pickle may raise anything
            self.keep_aside(report, f"{type(error).__name__}: {error}")
            return None
        except BaseException as error:  # no damage: the user's class wants to end the process
            raise user_code_error("load", error) from error

    def keep_aside(self, report: LoadReport, reason: str) -> None:
        """Rename a file that cannot be used; it is never deleted."""
        kept = files.name_beside(self.path, f"damaged-{time.time_ns() // 10**6}")
        with files.naming(self.path, DataFileError):
            files.operations.rename(self.path, kept)
        self.seen = self.checksum = None
        report.kept_aside.append(kept)
        report.notes.append(f"{self.path} cannot be read ({reason}): kept as {kept.name}")

    def copy_aside(self, report: LoadReport, reason: str) -> None:
        """Copy a file that is good but not ours: it stays, we may not be its owner any more."""
        kept = files.name_beside(self.path, f"other-{time.time_ns() // 10**6}")
        with files.naming(self.path, DataFileError):
            files.write_atomically(kept, files.read(self.path), kind=DataFileError)
        report.kept_aside.append(kept)
        report.notes.append(f"{self.path} ({reason}): copied to {kept.name}")

    def sweep(self, token: int) -> None:
        """Delete what former owners who were killed in mid-save left."""
        folder, start = self.path.parent, f".{files.short_hash(self.path)}."
        with files.naming(folder, DataFileError):
            names = files.operations.names(folder)
        for name in names:
            tag = name.removeprefix(start).removesuffix(".tmp")
            if name == f"{start}{tag}.tmp" and tag.isdecimal() and int(tag) < token:
                with files.naming(folder / name, DataFileError), suppress(FileNotFoundError):
                    files.operations.unlink(folder / name)

    def replace(self, blob: bytes | None, temporary: Path, lease_ok: Callable[[], bool]) -> None:
        """Put a snapshot in its place. Raises OSError, or as `DataFile.write` does."""
        if blob is None:
            written = files.status(temporary)
            if written is None or not written.st_size:
                raise DataFileError(
                    self.path, "your learner's save wrote nothing. Is the disk full?"
                )
            files.sync_file(temporary)
        else:
            content = adaptive_parts.compress(blob)
            files.write_durably(temporary, content)
            if files.read(temporary) != content:
                raise DataFileError(self.path, "what was written does not read back the same")
        if not lease_ok():
            raise LeaseLostError(self.path, "not saved: the lease on this learner ran out")
        if look(self.path) != self.seen:
            raise ChangedError(self.path, "not saved: another process saved it meanwhile")
        mine = look(temporary)
        files.operations.rename(temporary, self.path)
        self.seen = mine  # also if the next line fails: nobody else has saved it
        files.sync_folder(self.path.parent)


def look(path: Path) -> Seen:
    """What tells a file from another one of its name. Raises DataFileError."""
    with files.naming(path, DataFileError):
        return files.identity(path)


def user_code_error(where: str, error: BaseException) -> UserCodeError:
    """The error of the user's own save or load."""
    name, message, text, _ = describe(error)
    if isinstance(error, pickle.PicklingError):
        message = f"{message} (its data cannot be pickled)"
    return UserCodeError(where, f"{name}: {message}", text)
