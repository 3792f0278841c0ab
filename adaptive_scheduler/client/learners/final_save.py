"""The last save of a run, for which its end leaves only so much time."""

from __future__ import annotations

import time
from collections.abc import Callable

from adaptive_scheduler.client.evaluation.messages import user_error
from adaptive_scheduler.client.learners.point_journal import PointJournal
from adaptive_scheduler.client.learners.store import DataFile, LeaseLostError
from adaptive_scheduler.client.learners.work import LearnerWork, Reason
from adaptive_scheduler.errors import AdaptiveSchedulerError, DataFileError
from adaptive_scheduler.executors import worker
from adaptive_scheduler.io.storage import files

#: Seconds between the first two tries of the last save on a full disk, and at most between two.
PAUSE, MAX_PAUSE = 1.0, 30.0


class FinalSave:
    """Everything that is left to write when a run is over.

    Parameters
    ----------
    work : LearnerWork
    data : DataFile
    journal : PointJournal
    tell : callable
        Given the problem; called now and then while the save waits for room on a disk.

    Attributes
    ----------
    problem : str
        Why not all is saved, and what was in the way.
    error : AdaptiveSchedulerError or None
        Why it will not be saved by a second try either.
    """

    def __init__(
        self, work: LearnerWork, data: DataFile, journal: PointJournal, tell: Callable[[str], None]
    ) -> None:
        self.work = work
        self.data = data
        self.journal = journal
        self.problem = ""
        self.error: AdaptiveSchedulerError | None = None
        self._pause = PAUSE
        #: Whether the disk keeps points out of the journal.
        self._is_unwritten = False
        self._tell = tell

    def save(self, reason: Reason, last_save: float) -> bool:
        """Whether the data file has all points; else the point journal has them.

        Parameters
        ----------
        reason : str
            Of the end; one who is not the owner any more writes only the journal.
        last_save : float
            Seconds that the last save took.
        """
        while True:
            self._write_journal(self.journal.close)
            if reason == "lost" or last_save > self._patience():
                return False
            is_saved = self._try()
            # also where the save fails by the user's code: a full disk keeps points out of the journal
            is_held_up = is_saved is False and self._is_unwritten and self._may_wait()
            if is_saved is not None and not is_held_up:
                return is_saved
            self._wait_for_room()

    def _try(self) -> bool | None:
        """Whether all is saved; None if the disk may take it later."""
        try:
            self.data.save()
            self.problem = ""
            self._retire_journals()
        except LeaseLostError as error:
            self.problem = str(error)
            return False
        except BaseException as error:  # noqa: BLE001  the border to the user's values and classes
            return self._fail(error)
        self._write_journal(self.journal.discard)
        return True

    def _retire_journals(self) -> None:
        """Delete former owners' journals; what they added meanwhile is saved, too."""
        try:
            is_more = self.data.retire_journals(self.journal.keep)
        except DataFileError as error:  # the next owner will find that its points are known
            self.problem, is_more = str(error), True
        if is_more:
            self.data.save()

    def _fail(self, error: BaseException) -> bool | None:
        ours = as_ours("data, when they were saved,", error)
        self.problem = str(ours)
        if files.is_disk_error(ours):
            return None if self._may_wait() else False
        self.error = self.error or ours
        return False

    def _write_journal(self, write: Callable[[], None]) -> None:
        """Write, or say why not: the save has the same points."""
        self._is_unwritten = False
        try:
            write()
        except BaseException as error:  # noqa: BLE001  the border to the user's values
            ours = as_ours("values, when they were written,", error)
            self.problem, self._is_unwritten = str(ours), files.is_disk_error(ours)

    def _may_wait(self) -> bool:
        late = self.work.deadline is not None and time.monotonic() >= self.work.deadline
        return not (late or self.work.stops)

    def _wait_for_room(self) -> None:
        """Hold what was computed until somebody makes room, or the job must end."""
        end = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, MAX_PAUSE)
        while (left := end - time.monotonic()) > 0 and self._may_wait():
            self._tell(self.problem)
            time.sleep(min(self.work.progress_interval, left))

    def _patience(self) -> float:
        """Seconds that a stop leaves for the last save: as many as the points in flight had."""
        saving = self.work.saving
        ends = [end + saving for _, end in self.work.stops]
        return max(0.0, min([saving, *(end - time.monotonic() for end in ends)]))


def as_ours(where: str, error: BaseException) -> AdaptiveSchedulerError:
    """The error itself, if it is of this package, else that of the user's code."""
    if isinstance(error, AdaptiveSchedulerError):
        return error
    return user_error(where, worker.describe(error))
