"""The data of one learner on disk, for the job that runs it.

Theory of operation
===================

A learner's points are expensive: hours of a cluster's time. A job that computes them may be killed
at any moment, its node may lose power, the disk may be full for an hour, and the batch system may
start a second job for the same learner while the first one is only cut off from the network. In all
of these cases no point that was written may be lost, and none may be counted twice.

Two kinds of files share the work.

The **data file** is adaptive's own format, the one that ``learner.load`` reads. Writing it takes as
long as the learner is large, so it is written every few minutes only. It is never changed in place:
the new content goes to a temporary file beside it, is synced, read back and compared, and is then
renamed over the old one (`data_file.DataFile.replace_safely`). Whoever reads the file sees the old
content or the new one, never a half.

The **point journal** (`io.learner_data.point_journal`) takes each point as it comes back, for a few
microseconds. It has what came since the last save.

So everything is in the file or in a journal, and loading reads both. A journal is deleted only when
a data file holds all of its points, and always in this order: save, then delete. A crash between the
two leaves points in both places, which does no harm: points that a learner knows are passed over.

**Two owners.** The manager gives a learner to another job when the first one's lease has run out.
The first may still run: it was stopped, or cannot reach the manager. The token that came with the
item orders the owners. Four rules keep their files apart:

- Each owner writes a journal of its own, which bears its token.
- A later owner reads the journals of the former ones when it loads, and deletes them after its next
  save. A former owner that adds points meanwhile is noticed: the journal is read once more before it
  is deleted, and once more through the open file afterwards. One that finds its journal deleted
  begins a new one.
- A save compares the data file with the one that this owner read or wrote last. If somebody else has
  replaced it, that file's points are merged first, and the save is made again (`ChangedError`).
- Immediately before the rename the lease is checked, by this process's own clock. Without it nothing
  is replaced (`LeaseLostError`); the points stay in the journal, where the next owner finds them.

**A full disk** stops nobody. What cannot be written stays in memory, is tried again, and `problem` says
so to whoever looks at the run. Only the store knows what is wrong with the disk: the run of the learner
does not handle such errors itself. When the learner is done and the disk is still full, `finish` waits
for room for as long as the job has time; otherwise hours of work would end with the process.

**Threads.** adaptive's learners are not safe to use in two threads. So `load`, `record`, `save` and
`finish` belong to the thread of the learner, and so does the first half of `save_beside`, which takes the
snapshot. Only what does not touch the learner is done in another thread: writing a snapshot, and `flush`.
"""

from __future__ import annotations

import asyncio
import os
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor as Pool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from adaptive_scheduler.errors import AdaptiveSchedulerError, DataFileError
from adaptive_scheduler.evaluation.learners.data_file import (
    ChangedError,
    DataFile,
    LeaseLostError,
    LoadReport,
    file_identity,
    user_code_error,
)
from adaptive_scheduler.evaluation.messages import as_ours
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.learner_data import adaptive_private
from adaptive_scheduler.io.learner_data.adaptive_load import tell_journalled
from adaptive_scheduler.io.learner_data.point_journal import (
    PointJournal,
    Points,
    ReadJournal,
    delete_former,
    read_journals,
)

#: Seconds between the first two tries of the last save on a full disk, and at most between two.
PAUSE, MAX_PAUSE = 1.0, 30.0
#: Seconds between two reports while the last save waits for room.
REPORT_INTERVAL = 1.0


@dataclass
class DataSnapshot:
    """The data of all files at one moment: pickles, or temporary files that are written already."""

    blobs: list[tuple[DataFile, bytes | None, Path]]


@dataclass(frozen=True)
class SaveResult:
    """How the last save ended.

    Attributes
    ----------
    is_saved : bool
        Whether the data file has all points; else the point journal has them.
    error : AdaptiveSchedulerError or None
        Why a second try would not save it either: an error of the user's values or classes.
    """

    is_saved: bool
    error: AdaptiveSchedulerError | None = None


class SaveBudget(Protocol):
    """The time that is left for the last save."""

    def allows(self, seconds: float) -> bool:
        """Whether a save that takes so long may be begun."""

    def may_wait(self) -> bool:
        """Whether there is time to wait until somebody makes room on the disk."""


class LearnerStore:
    """The data file of one learner (or the files of a BalancingLearner's children) and its journals.

    Parameters
    ----------
    learner : adaptive.BaseLearner
        The learner.
    fname : str, path or list of str
        Where its data are; a list for a BalancingLearner.
    token : int
        The owner's right to the item: its journal and temporary files are named by it.
    lease_ok : callable
        Whether the lease is good by this process's own clock.

    Attributes
    ----------
    main : str
        The first data file; the journals lie beside it.
    report : LoadReport
        What loading and merging found.
    save_seconds : float
        How long the last save while the learner ran took.
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
            DataFile(child, Path(name).expanduser())
            for child, name in adaptive_private.files_of(learner, fname)
        ]
        self.main = str(self._files[0].path)
        self.report = LoadReport()
        self.save_seconds = 0.0
        self._journal = PointJournal(self.main, token)
        self._former: list[ReadJournal] = []
        #: What the disk does not take at present, by what was to be written.
        self._problems: dict[str, str] = {}

    @property
    def problem(self) -> str:
        """What the disk does not take at present, and why; "" if it takes all."""
        return "; ".join(list(self._problems.values()))

    @property
    def n_unwritten(self) -> int:
        """Points that are only in memory."""
        return self._journal.n_waiting

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
            file.identity = file_identity(file.path)
            if file.identity is not None:
                file.load(self.report)
        self.report.n_loaded = adaptive_private.npoints(self.learner)
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

    def _tell(self, pairs: Points) -> None:
        """Tell points that are not known; keep those that the learner does not take yet."""
        merged = tell_journalled(self.learner, pairs)
        self.report.n_merged += merged.n
        self.report.memo |= merged.memo
        if merged.refused:
            self.report.notes.append(
                f"{self.main}: its learner refused {merged.refused} journalled points"
            )

    # -------------------------------------------------------------- points

    def record(self, x: Any, y: Any) -> None:
        """Keep a point for the next `flush`; costs no I/O."""
        self._journal.add(x, y)

    def flush(self, *, sync: bool = False) -> None:
        """Write recorded points to the journal; from any thread.

        Raises
        ------
        DataFileError
            The disk did not take them: they stay in memory, and go with the next flush.
        """
        with self._noted("points"):
            self._journal.flush(sync=sync)

    @contextmanager
    def _noted(self, what: str) -> Iterator[None]:
        """Remember what the disk does not take, until it does."""
        try:
            yield
        except AdaptiveSchedulerError as error:
            self._problems[what] = str(error)
            raise
        self._problems.pop(what, None)

    # -------------------------------------------------------------- save

    def save(self) -> None:
        """Save now, merging first what another process saved.

        Raises
        ------
        LeaseLostError, ChangedError
            The learner may have, or has, another owner.
        DataFileError
            The disk did not take it; the old file is untouched.
        UserCodeError
            The data cannot be pickled, or the user's ``save`` raised.
        """
        for _ in range(5):
            try:
                return self.write(self.snapshot())
            except ChangedError:
                self.merge()
        raise ChangedError(self.main, "another process keeps saving it; it was not saved")

    async def save_beside(self, threads: Pool) -> None:
        """Save while the learner runs: the snapshot is taken here, and written in a thread.

        Raises as `save` does, but where another process saved, its points are merged, and the next
        save is the one that writes them.
        """
        begin = time.monotonic()
        try:
            with self._noted("data"):
                if await self._is_written_beside(threads):
                    self.delete_former_journals()
                else:
                    self.merge()
        finally:
            self.save_seconds = time.monotonic() - begin

    async def _is_written_beside(self, threads: Pool) -> bool:
        """Whether it was written; not where another process has saved meanwhile."""
        loop = asyncio.get_running_loop()
        writing = loop.run_in_executor(threads, self.write, self.snapshot())
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait([writing])
            raise
        except ChangedError:
            return False
        return True

    def snapshot(self) -> DataSnapshot:
        """The data of now, in memory; a learner with a ``save`` of its own writes it here.

        Raises UserCodeError, as `save` does.
        """
        blobs: list[tuple[DataFile, bytes | None, Path]] = []
        for file in self._files:
            temporary = files.temporary_name(file.path, str(self.token))
            try:
                if adaptive_private.saves_itself(file.learner):
                    file.learner.save(os.fspath(temporary))
                    blobs.append((file, None, temporary))
                else:
                    blobs.append((file, adaptive_private.dump_data(file.learner), temporary))
            except BaseException as error:  # the border to the user's code
                raise user_code_error("save", error) from error
        return DataSnapshot(blobs)

    def write(self, snapshot: DataSnapshot) -> None:
        """Bring a snapshot to disk; may run in a thread, one at a time.

        Raises DataFileError and its kinds, as `save` does.
        """
        for file, blob, temporary in snapshot.blobs:
            checksum = None if blob is None else zlib.crc32(blob)
            unchanged = (file.checksum, file.identity)
            if checksum is not None and (checksum, file_identity(file.path)) == unchanged:
                continue
            with files.naming(file.path, DataFileError):
                try:
                    file.replace_safely(blob, temporary, self._lease_ok)
                except BaseException:
                    with suppress(OSError):
                        files.operations.unlink(temporary)
                    raise
            file.checksum = checksum

    def merge(self) -> None:
        """Take over the points of files that another process saved.

        A file whose points cannot be told apart (the learner has its own ``load``), or
        are not all taken now, is also copied aside: it is not ours to move, because this
        process may have been stopped past its lease.
        """
        for file in self._files:
            identity = file_identity(file.path)
            if identity == file.identity:
                continue
            file.checksum = None  # what we wrote last is no longer there
            if identity is None:
                file.identity = None
                continue
            if adaptive_private.saves_itself(file.learner):
                file.copy_aside(self.report, "another process saved it")
                file.identity = identity
                continue
            data = file.read(self.report)
            if data is not None:
                self._merge_points(file, data[0])
                file.identity = identity

    def _merge_points(self, file: DataFile, data: Any) -> None:
        pairs = [
            (adaptive_private.compact(file.learner, x), y)
            for x, y in adaptive_private.points_of(file.learner, data)
        ]
        part = LearnerStore(file.learner, file.path)
        part._tell(pairs)
        self.report.n_merged += part.report.n_merged
        if part.report.memo:  # of an IntegratorLearner, which has not asked for them yet
            self.report.memo |= part.report.memo
            file.copy_aside(self.report, "another process saved it; not all is used yet")

    def delete_former_journals(self) -> bool:
        """Delete former owners' journals, after a save that holds their points.

        Returns
        -------
        bool
            Whether a former owner has added points meanwhile: they are in this owner's journal
            now, but the save lacks them.

        Raises
        ------
        DataFileError
            One could not be deleted; the next call goes on with it.
        """
        if any(not adaptive_private.is_known(self.learner, x) for x in self.report.memo):
            return False
        n_added = 0
        while self._former:
            if self._former[0].token < self.token:
                n_added += delete_former(self._former[0], self._take_over)
            del self._former[0]
        return n_added > 0

    def _take_over(self, points: Points) -> None:
        """Tell points that a former owner has added, and bring them to disk."""
        self._tell(points)
        self._journal.keep(points)

    # -------------------------------------------------------------- finish

    def finish(
        self, budget: SaveBudget, waiting: Callable[[], object] = lambda: None
    ) -> SaveResult:
        """Write all that is left, and delete the journals; the last call of a run.

        Never raises: what could not be written is in `problem` and in the result.

        Parameters
        ----------
        budget : SaveBudget
            While it allows, a full disk is waited for.
        waiting : callable
            Called now and then while it waits.
        """
        pause = PAUSE
        while True:
            unwritten = self._tried("points", self._journal.close)
            if not budget.allows(self.save_seconds):
                return SaveResult(False)
            unsaved = self._tried("data", self._save_for_good)
            if unsaved is None:
                self._problems.pop("points", None)  # the file has the same points
                self._tried("journal", self._journal.discard)
                return SaveResult(True)
            # also where the save fails by the user's code: a full disk keeps points out of the journal
            is_full = _is_of_the_disk(unsaved) or _is_of_the_disk(unwritten)
            if not (is_full and budget.may_wait()):
                return SaveResult(False, None if files.is_disk_error(unsaved) else unsaved)
            self._wait_for_room(pause, budget, waiting)
            pause = min(2 * pause, MAX_PAUSE)

    def _tried(self, what: str, act: Callable[[], None]) -> AdaptiveSchedulerError | None:
        """Why it could not be written; None if it was."""
        try:
            act()
        except BaseException as error:  # noqa: BLE001  the border to the user's values and classes
            ours = as_ours(f"{what}, when they were written,", error)
            self._problems[what] = str(ours)
            return ours
        self._problems.pop(what, None)
        return None

    def _save_for_good(self) -> None:
        self.save()
        self._problems.pop("former journals", None)
        try:
            is_more = self.delete_former_journals()
        except DataFileError as error:  # the next owner will find that its points are known
            self._problems["former journals"], is_more = str(error), True
        if is_more:
            self.save()

    def _wait_for_room(
        self, pause: float, budget: SaveBudget, waiting: Callable[[], object]
    ) -> None:
        end = time.monotonic() + pause
        while (left := end - time.monotonic()) > 0 and budget.may_wait():
            waiting()
            time.sleep(min(REPORT_INTERVAL, left))


def _is_of_the_disk(error: AdaptiveSchedulerError | None) -> bool:
    """Whether the disk may take it later: it is full or away; not where the lease was lost."""
    return (
        error is not None and files.is_disk_error(error) and not isinstance(error, LeaseLostError)
    )
