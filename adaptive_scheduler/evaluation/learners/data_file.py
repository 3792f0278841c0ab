"""One data file of one learner: read, kept aside, replaced safely."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adaptive_scheduler.errors import DataFileError, EnvironmentMismatchError, UserCodeError
from adaptive_scheduler.executors.worker import describe
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.learner_data import adaptive_private, data_files

#: inode, size, mtime_ns of a file; None if there is none
Identity = tuple[int, int, int] | None


class LeaseLostError(DataFileError):
    """Not saved: the lease has run out, so another job may own the learner; the journal has the points."""


class ChangedError(DataFileError):
    """Not saved yet: another process has replaced the file. Call `LearnerStore.merge`, then save again."""


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
        Values of points that the learner does not take before it asks for them.
    kept_aside : list of Path
        Files that could not be read, under their new names.
    notes : list of str
        What the user should know.
    """

    n_loaded: int = 0
    n_merged: int = 0
    memo: dict[Any, Any] = field(default_factory=dict)
    kept_aside: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class DataFile:
    """One data file, and the learner whose data it holds.

    Attributes
    ----------
    learner : adaptive.BaseLearner
        Its learner.
    path : Path
        The file.
    identity : tuple or None
        Which file it was when this process last read or wrote it.
    checksum : int or None
        Of the data in it, if we wrote them.
    """

    learner: Any
    path: Path
    identity: Identity = None
    checksum: int | None = None

    def load(self, report: LoadReport) -> None:
        """Load it into the learner. Raises as `LearnerStore.load` does."""
        if adaptive_private.saves_itself(self.learner):
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
            adaptive_private.set_data(self.learner, data[0])
        except BaseException as error:  # data of another learner may raise anything
            raise DataFileError(
                self.path,
                f"does not hold the data of this {type(self.learner).__name__} "
                f"({type(error).__name__}: {error}). Move it away, or give another fname.",
            ) from error

    def read(self, report: LoadReport) -> tuple[Any] | None:
        """The data in a file; None if it cannot be read and was kept aside."""
        content = data_files.read(self.path)
        try:
            return (adaptive_private.read_data(content),)
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
        except (
            BaseException
        ) as error:  # not damaged: the user's class raised SystemExit or the like
            raise user_code_error("load", error) from error

    def keep_aside(self, report: LoadReport, reason: str) -> None:
        """Rename a file that cannot be used; it is never deleted."""
        kept = files.name_beside(self.path, f"damaged-{time.time_ns() // 10**6}")
        with files.naming(self.path, DataFileError):
            files.operations.rename(self.path, kept)
        self.identity = self.checksum = None
        report.kept_aside.append(kept)
        report.notes.append(f"{self.path} cannot be read ({reason}): kept as {kept.name}")

    def copy_aside(self, report: LoadReport, reason: str) -> None:
        """Copy a good file that another process saved; it stays, for we may not be the owner now."""
        kept = files.name_beside(self.path, f"other-{time.time_ns() // 10**6}")
        with files.naming(self.path, DataFileError):
            files.write_atomically(kept, files.read(self.path), kind=DataFileError)
        report.kept_aside.append(kept)
        report.notes.append(f"{self.path} ({reason}): copied to {kept.name}")

    def sweep(self, token: int) -> None:
        """Delete temporary files of former owners that were killed during a save."""
        folder, start = self.path.parent, f".{files.short_hash(self.path)}."
        with files.naming(folder, DataFileError):
            names = files.operations.names(folder)
        for name in names:
            tag = name.removeprefix(start).removesuffix(".tmp")
            if name == f"{start}{tag}.tmp" and tag.isdecimal() and int(tag) < token:
                with files.naming(folder / name, DataFileError), suppress(FileNotFoundError):
                    files.operations.unlink(folder / name)

    def replace_safely(
        self, blob: bytes | None, temporary: Path, lease_ok: Callable[[], bool]
    ) -> None:
        """Replace the data file, so that a crash at any moment leaves the old one or the new one.

        Write a temporary file beside it, sync it, read it back; check that the lease is good and
        that nobody else has replaced the data file; rename; sync the folder.

        Parameters
        ----------
        blob : bytes or None
            The pickled data; None if the learner's own ``save`` has written `temporary`.
        temporary : Path
            A name beside the data file that no other owner uses.
        lease_ok : callable
            Whether this process may still be the owner.

        Raises
        ------
        LeaseLostError, ChangedError, DataFileError
            See `LearnerStore.save`.
        OSError
            The disk did not take it.
        """
        if blob is None:
            written = files.status(temporary)
            if written is None or not written.st_size:
                raise DataFileError(
                    self.path, "your learner's save wrote nothing. Is the disk full?"
                )
            files.sync_file(temporary)
        else:
            content = adaptive_private.compress(blob)
            files.write_durably(temporary, content)
            if files.read(temporary) != content:
                raise DataFileError(self.path, "what was written does not read back the same")
        if not lease_ok():
            raise LeaseLostError(self.path, "not saved: the lease on this learner ran out")
        if file_identity(self.path) != self.identity:
            raise ChangedError(self.path, "not saved: another process saved it meanwhile")
        ours = file_identity(temporary)
        files.operations.rename(temporary, self.path)
        self.identity = ours  # also if the next line fails: nobody else has saved it
        files.sync_folder(self.path.parent)


def file_identity(path: Path) -> Identity:
    """What tells a file from a later one with the same name. Raises DataFileError."""
    with files.naming(path, DataFileError):
        return files.identity(path)


def user_code_error(where: str, error: BaseException) -> UserCodeError:
    """The error of the user's own save or load."""
    name, message, text, _ = describe(error)
    if isinstance(error, pickle.PicklingError):
        message = f"{message} (its data cannot be pickled)"
    return UserCodeError(where, f"{name}: {message}", text)
