"""The parts of one run of a learner, joined: runner, point journal, saves, progress."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from adaptive_scheduler.client import adaptive_parts
from adaptive_scheduler.client.options import Options
from adaptive_scheduler.client.orders import Outcome, Reason, Work
from adaptive_scheduler.client.points import PointJournal
from adaptive_scheduler.client.runner import Runner
from adaptive_scheduler.client.saving import ChangedError, DataFile, LeaseLostError, Snapshot
from adaptive_scheduler.client.tasks import Setup, user_error
from adaptive_scheduler.errors import (
    AdaptiveSchedulerError,
    FileError,
    UserCodeError,
    WorkerDiedError,
)
from adaptive_scheduler.executors import worker
from adaptive_scheduler.io import files

#: The share of the time that saving, or computing a loss, may take.
SHARE = 1 / 20
#: Seconds between two tries of the last save on a full disk.
ROOM = 5.0


class Running:
    """One run, from the loaded data to the last save."""

    def __init__(self, work: Work, data: DataFile, begin: float) -> None:
        self.work = work
        self.data = data
        self.journal = PointJournal(data.main, work.token)
        self.begin = begin
        self.problem = ""
        self.error: BaseException | None = None
        self.runner: Runner | None = None
        self.loss: float | None = None
        self.last_save = 0.0
        self._loss_due = 0.0
        self._counted, self._moved = 0, begin

    # -------------------------------------------------------------- while it runs

    async def run(self) -> str:
        """Run until the runner ends; returns its reason."""
        self.runner = runner = self._make_runner()
        self.work.runner = runner
        for reason, end in list(self.work.stops):  # those that came before
            runner.stop(reason, end - time.monotonic())
        with ThreadPoolExecutor(2, "saving") as threads:
            jobs = [
                asyncio.create_task(self._write_points(threads)),
                asyncio.create_task(self._save(threads)),
                asyncio.create_task(self._progress()),
            ]
            await asyncio.wait([runner.task, *jobs], return_when=asyncio.FIRST_COMPLETED)
            await self._end(jobs)
        return runner.reason

    def _make_runner(self) -> Runner:
        work = self.work
        options = Options(
            **work.runner_kwargs,
            deadline=work.deadline,
            memo=self.data.report.memo,
            record=self.journal.add,
        )
        return Runner(
            work.learner,
            work.goal,
            executor=work.pool,
            workers=work.workers,
            setup=Setup(initializers=tuple(work.initializers)),
            options=options,
        )

    async def _end(self, jobs: list[asyncio.Task[None]]) -> None:
        """Wait for the runner; a job only ends before it by a fault, which ends the run."""
        assert self.runner is not None
        for job in jobs:
            if job.done() and not job.cancelled() and job.exception() is not None:
                self.error = job.exception()
                self.runner.stop("error", 10.0)
        await asyncio.wait([self.runner.task])
        for job in jobs:
            job.cancel()
        await asyncio.wait(jobs)
        if self.runner.task.exception() is not None:
            self.error = self.runner.task.exception()

    async def _write_points(self, threads: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.work.points_interval)
            try:
                await loop.run_in_executor(threads, self.journal.flush)
                self.problem = ""
            except FileError as error:  # a full disk: the points wait in memory
                self.problem = str(error)

    async def _save(self, threads: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(max(self.work.save_interval, self.last_save / SHARE))
            begin = time.monotonic()
            writing = loop.run_in_executor(threads, self._write, self.data.snapshot())
            try:
                is_merge_needed, is_written = await asyncio.shield(writing)
            except asyncio.CancelledError:
                await asyncio.wait([writing])
                raise
            self.last_save = time.monotonic() - begin
            if is_merge_needed:
                self.data.merge()
            elif is_written:
                for x, y in self.data.retire_journals():
                    self.journal.add(x, y)

    def _write(self, snapshot: Snapshot) -> tuple[bool, bool]:
        """Whether the data must be merged first, and whether they are saved now."""
        try:
            self.data.write(snapshot)
        except ChangedError:
            return True, False
        except FileError as error:  # a full disk, a lost lease: told, and tried again later
            self.problem = str(error)
            return False, False
        return False, True

    async def _progress(self) -> None:
        while True:
            await asyncio.sleep(self.work.progress_interval)
            if self.work.on_progress is not None:
                self.work.on_progress(self.progress())

    def progress(self) -> dict[str, Any]:
        """Figures of now; the loss is as old as its cost demands."""
        assert self.runner is not None
        now = time.monotonic()
        elapsed = now - self.begin
        if self.runner.n_new != self._counted:
            self._counted, self._moved = self.runner.n_new, now
        evaluations = self.runner.evaluations
        return {
            "npoints": adaptive_parts.npoints(self.work.learner),
            "new_points": self.runner.n_new,
            "loss": self._loss_of_now(),
            "points_per_second": self.runner.n_new / max(elapsed, 1e-9),
            "overhead": float(self.runner.overhead()),
            "elapsed": elapsed,
            "idle_since": now - self._moved,
            "in_flight": evaluations.n_in_flight,
            "p95": evaluations.durations.p95,
            "unwritten": self.journal.n_waiting,
            "problem": self.problem,
        }

    def _loss_of_now(self) -> float | None:
        begin = time.monotonic()
        if begin >= self._loss_due:
            self.loss = _loss(self.work.learner)
            end = time.monotonic()
            self._loss_due = end + (end - begin) / SHARE
        return self.loss

    # -------------------------------------------------------------- at the end

    def finish(self, ended: str) -> Outcome:
        """Save for the last time."""
        assert self.runner is not None
        reason: Reason = "goal" if ended in ("goal", "exhausted") else ended  # type: ignore[assignment]
        self.error = self.error or self.runner.error
        if any(why == "lost" for why, _ in self.work.stops):
            reason = "lost"
        saved = self._last_save(reason)
        if self.error is not None and reason != "lost":
            reason = "error"
        return Outcome(
            reason,
            npoints=adaptive_parts.npoints(self.work.learner),
            new_points=self.runner.n_new,
            loss=_loss(self.work.learner),
            seconds=time.monotonic() - self.begin,
            saved=saved,
            error=_as_ours(self.error),
            is_exhausted=ended == "exhausted",
            is_pool_broken=isinstance(self.error, BrokenExecutor),
            failed_points=len(self.runner.failed),
            problem=self.problem,
            report=self.data.report,
        )

    def _last_save(self, reason: Reason) -> bool:
        self._flush()
        while not (reason == "lost" or self.last_save > self._patience()):
            is_saved = self._try_last_save()
            if is_saved is not None:
                return is_saved
            self._wait_for_room()
        return False

    def _try_last_save(self) -> bool | None:
        """Whether all is saved; None if a full disk may take it later."""
        try:
            self.data.save()
            self.problem = ""
            late = self.data.retire_journals()
            if late:  # of a former owner who still thought to be the owner
                for x, y in late:
                    self.journal.add(x, y)
                self._flush()
                self.data.save()
        except LeaseLostError as error:
            self.problem = str(error)
            return False
        except (FileError, UserCodeError) as error:
            self.problem = str(error)
            if files.is_full(error):
                return None if self._may_wait() else False
            self.error = self.error or error
            return False
        self._discard_journal()
        return True

    def _may_wait(self) -> bool:
        late = self.work.deadline is not None and time.monotonic() >= self.work.deadline
        return not (late or self.work.stops)

    def _wait_for_room(self) -> None:
        """Hold what was computed until somebody makes room, or the job must end."""
        end = time.monotonic() + ROOM
        while time.monotonic() < end and self._may_wait():
            if self.work.on_progress is not None:
                self.work.on_progress(self.progress())
            time.sleep(min(self.work.progress_interval, ROOM))

    def _flush(self) -> None:
        try:
            self.journal.close()
        except FileError as error:
            self.problem = str(error)

    def _discard_journal(self) -> None:
        try:
            self.journal.discard()
        except FileError as error:
            self.problem = str(error)

    def _patience(self) -> float:
        """Seconds that a stop leaves for the last save: as many as the points in flight had."""
        saving = self.work.saving
        ends = [end + saving for _, end in self.work.stops]
        return max(0.0, min([saving, *(end - time.monotonic() for end in ends)]))


def _loss(learner: Any) -> float | None:
    with suppress(Exception):  # a loss that is not defined yet, or the user's own that raises
        return float(learner.loss())
    return None


def _as_ours(error: BaseException | None) -> AdaptiveSchedulerError | None:
    if error is None or isinstance(error, AdaptiveSchedulerError):
        return error
    if isinstance(error, BrokenExecutor):
        return WorkerDiedError(
            "a worker process died while it evaluated your function (killed, out of memory, or "
            "crashed); the job's output may say why"
        )
    return user_error("code", worker.describe(error))
