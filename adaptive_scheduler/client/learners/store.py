"""A learner's data on disk: loaded with its journals, saved so that nothing is lost."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adaptive_scheduler.client.learners import adaptive_private as adaptive_parts
from adaptive_scheduler.client.learners import point_journal as points
from adaptive_scheduler.client.learners.data_file import (
    ChangedError,
    LeaseLostError,
    LoadReport,
    OneFile,
    look,
    user_code_error,
)
from adaptive_scheduler.client.learners.journal_recovery import ReadJournal, read_journals, retire
from adaptive_scheduler.errors import DataFileError
from adaptive_scheduler.io.learner_data.adaptive_load import tell_journalled
from adaptive_scheduler.io.storage import files


@dataclass
class DataSnapshot:
    """The data of all files at one moment: pickles, or temporary files that are written already."""

    blobs: list[tuple[OneFile, bytes | None, Path]]


__all__ = ["ChangedError", "DataFile", "DataSnapshot", "LeaseLostError", "LoadReport"]


class DataFile:
    """The data file of one learner, or the files of a BalancingLearner's children.

    Parameters
    ----------
    learner : adaptive.BaseLearner
        The learner.
    fname : str, path or list of str
        Where its data are; a list for a BalancingLearner.
    token : int
        The owner's lease: its journal and temporary files carry it.
    lease_ok : callable
        Whether the lease is good by this process's own clock.
    """

    def __init__(
        self,
        learner: Any,
        fname: Any,
        token: int = 0,
        lease_ok: Callable[[], bool] = lambda: True,
    ) -> None:
        self.learner = learner
        self.token = token
        self._lease_ok = lease_ok
        self._files = [
            OneFile(child, Path(name).expanduser())
            for child, name in adaptive_parts.files_of(learner, fname)
        ]
        self.main = str(self._files[0].path)
        self.report = LoadReport()
        self._former: list[ReadJournal] = []

    # -------------------------------------------------------------- load

    def load(self) -> LoadReport:
        """Load the file and merge all journals beside it.

        Raises
        ------
        DataFileError
            A file is there but cannot be opened, or is not this learner's.
        EnvironmentMismatchError
            Its values need a module that is not here.
        UserCodeError
            The user's own ``load`` raised.
        """
        for file in self._files:
            with files.naming(file.path, DataFileError):
                files.make_folder(file.path.parent)
            file.sweep(self.token)
            file.seen = look(file.path)
            if file.seen is not None:
                file.load(self.report)
        self.report.n_loaded = adaptive_parts.npoints(self.learner)
        self._former = list(read_journals(self.main))
        for journal in self._former:
            self._tell(journal.points)
            self._note_damage(journal)
        return self.report

    def _note_damage(self, journal: ReadJournal) -> None:
        if journal.torn:
            self.report.notes.append(f"{journal.path}: {journal.torn} bytes at its end are torn")
        if journal.damaged:
            self.report.notes.append(f"{journal.path}: {journal.damaged} bytes are damaged")

    def _tell(self, pairs: points.Points) -> None:
        """Tell points that are not known; keep those that the learner does not take yet."""
        merged = tell_journalled(self.learner, pairs)
        self.report.n_merged += merged.n
        self.report.memo |= merged.memo
        if merged.refused:
            self.report.notes.append(
                f"{self.main}: its learner refused {merged.refused} journalled points"
            )

    # -------------------------------------------------------------- save

    def snapshot(self) -> DataSnapshot:
        """The data of now, in memory; a learner with a ``save`` of its own writes it here.

        Raises
        ------
        UserCodeError
            The data cannot be pickled, or the user's ``save`` raised.
        """
        blobs: list[tuple[OneFile, bytes | None, Path]] = []
        for file in self._files:
            temporary = files.temporary_name(file.path, str(self.token))
            try:
                if adaptive_parts.saves_itself(file.learner):
                    file.learner.save(os.fspath(temporary))
                    blobs.append((file, None, temporary))
                else:
                    blobs.append((file, adaptive_parts.dump_data(file.learner), temporary))
            except BaseException as error:  # the border to the user's code
                raise user_code_error("save", error) from error
        return DataSnapshot(blobs)

    def write(self, snapshot: DataSnapshot) -> None:
        """Bring a snapshot to disk; may run in a thread, one at a time.

        Raises
        ------
        LeaseLostError, ChangedError
            The learner may have, or has, another owner.
        DataFileError
            The disk did not take it; with the file's name. The old file is untouched.
        """
        for file, blob, temporary in snapshot.blobs:
            checksum = None if blob is None else zlib.crc32(blob)
            if checksum is not None and (checksum, look(file.path)) == (file.checksum, file.seen):
                continue
            with files.naming(file.path, DataFileError):
                try:
                    file.replace(blob, temporary, self._lease_ok)
                except BaseException:
                    with suppress(OSError):
                        files.operations.unlink(temporary)
                    raise
            file.checksum = checksum

    def merge(self) -> None:
        """Take over the points of files that somebody else saved (in the runner's loop).

        A file whose points cannot be told apart (the learner has its own ``load``), or
        are not all taken now, is also copied aside: it is not ours to move, for this
        process may have been stopped past its lease.
        """
        for file in self._files:
            seen = look(file.path)
            if seen == file.seen:
                continue
            file.checksum = None  # what we wrote last is no longer there
            if seen is None:
                file.seen = None
                continue
            if adaptive_parts.saves_itself(file.learner):
                file.copy_aside(self.report, "another process saved it")
                file.seen = seen
                continue
            data = file.read(self.report)
            if data is not None:
                pairs = list(adaptive_parts.points_of(file.learner, data[0]))
                part = DataFile(file.learner, file.path)
                part._tell([(adaptive_parts.compact(file.learner, x), y) for x, y in pairs])
                self.report.n_merged += part.report.n_merged
                if part.report.memo:  # of an IntegratorLearner, which has not asked for them yet
                    self.report.memo |= part.report.memo
                    file.copy_aside(self.report, "another process saved it; not all is used yet")
                file.seen = seen

    def save(self) -> None:
        """Snapshot and write, merging first what another process saved.

        Raises
        ------
        DataFileError, UserCodeError
            As `snapshot` and `write` do.
        """
        for _ in range(5):
            try:
                return self.write(self.snapshot())
            except ChangedError:
                self.merge()
        raise ChangedError(self.main, "another process keeps saving it; it was not saved")

    def retire_journals(self, keep: Callable[[points.Points], None]) -> bool:
        """Delete former owners' journals, after a save that holds their points.

        Parameters
        ----------
        keep : callable
            Given points that a former owner added meanwhile (or none), which
            are told already; brings all to disk, or raises.

        Returns
        -------
        bool
            Whether there were any: then the save lacks them.

        Raises
        ------
        DataFileError
            One could not be deleted; the next call goes on with it.
        """
        if any(not adaptive_parts.is_known(self.learner, x) for x in self.report.memo):
            return False
        n_late = 0

        def tell_and_keep(late: points.Points) -> None:
            nonlocal n_late
            n_late += len(late)
            self._tell(late)
            keep(late)

        while self._former:
            journal = self._former[0]
            if journal.token < self.token:
                retire(journal, tell_and_keep)
            del self._former[0]
        return n_late > 0
