"""One run of a learner: its runner, point journal, saves and progress."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any

from adaptive_scheduler.client.evaluation.messages import Setup, user_error
from adaptive_scheduler.client.evaluation.options import SLOW_FAILURE, RunnerOptions
from adaptive_scheduler.client.evaluation.runner import Runner
from adaptive_scheduler.client.learners import adaptive_private as adaptive_parts
from adaptive_scheduler.client.learners.final_save import FinalSave
from adaptive_scheduler.client.learners.point_journal import PointJournal
from adaptive_scheduler.client.learners.store import ChangedError, DataFile
from adaptive_scheduler.client.learners.work import LearnerWork, Outcome, Reason
from adaptive_scheduler.errors import AdaptiveSchedulerError, FileError, WorkerDiedError
from adaptive_scheduler.executors import worker
from adaptive_scheduler.io.storage import files

#: The share of the time that saving, or computing a loss, may take.
SHARE = 1 / 20
#: Seconds after the last save in which workers may come back from points that nobody waits for.
STUCK = 1.0


class LearnerRun:
    """One run, from the loaded data to the last save."""

    def __init__(self, work: LearnerWork, data: DataFile, begin: float) -> None:
        self.work = work
        self.data = data
        self.journal = PointJournal(data.main, work.token)
        self.begin = begin
        self._unwritten = self._unsaved = ""
        self.error: BaseException | None = None
        self.runner: Runner | None = None
        self.loss: float | None = None
        self.last_save = 0.0
        self._loss_due = 0.0
        self._counted, self._moved = 0, begin

    @property
    def problem(self) -> str:
        """What the disk does not take just now, and why; "" if it takes all."""
        return "; ".join(filter(None, (self._unsaved, self._unwritten)))

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
        options = RunnerOptions(
            **{"retries": work.point_retries, "retry_within": SLOW_FAILURE} | work.runner_kwargs,
            deadline=work.deadline,
            point_timeout=work.point_timeout,
            memo=self.data.report.memo,
            record=self.journal.add,
        )
        return Runner(
            work.learner,
            work.goal,
            executor=work.pool,
            workers=work.workers,
            setup=Setup(initializers=tuple(work.initializers), programs=work.programs),
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
                self._unwritten = ""
            except FileError as error:  # a full disk: the points wait in memory
                self._unwritten = str(error)

    async def _save(self, threads: ThreadPoolExecutor) -> None:
        while True:
            await asyncio.sleep(max(self.work.save_interval, self.last_save / SHARE))
            begin = time.monotonic()
            try:
                await self._save_once(threads)
                self._unsaved = ""
            except AdaptiveSchedulerError as error:
                if not files.is_disk_error(error):
                    raise
                self._unsaved = str(error)  # the journal has the points; it is tried again
            self.last_save = time.monotonic() - begin

    async def _save_once(self, threads: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        writing = loop.run_in_executor(threads, self.data.write, self.data.snapshot())
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait([writing])
            raise
        except ChangedError:
            self.data.merge()
        else:
            self.data.retire_journals(self.journal.keep)

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
            "kept_aside": self._kept_aside(),
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

    def _kept_aside(self) -> str:
        return ", ".join(map(str, self.data.report.kept_aside))

    # -------------------------------------------------------------- at the end

    def finish(self, ended: str) -> Outcome:
        """Save for the last time."""
        assert self.runner is not None
        reason: Reason = "goal" if ended in ("goal", "exhausted") else ended  # type: ignore[assignment]
        self.error = self.error or self.runner.error
        if any(why == "lost" for why, _ in self.work.stops):
            reason = "lost"
        saved = self._last_save(reason)
        npoints = self._npoints()
        if self.error is not None and reason != "lost":
            reason = "error"
        return Outcome(
            reason,
            npoints=npoints,
            new_points=self.runner.n_new,
            loss=_loss(self.work.learner),
            seconds=time.monotonic() - self.begin,
            saved=saved,
            error=_as_ours(self.error),
            is_exhausted=ended == "exhausted",
            is_pool_broken=isinstance(self.error, BrokenExecutor),
            is_pool_stuck=self._is_pool_stuck(),
            failed_points=len(self.runner.failed),
            problem=self.problem,
            report=self.data.report,
        )

    def _is_pool_stuck(self) -> bool:
        """Whether workers evaluate what nobody waits for any more, for who knows how long."""
        assert self.runner is not None
        if any(why in ("deadline", "signal") for why, _ in self.work.stops):
            return False  # the job ends anyway
        left = self.runner.evaluations.left()
        late = wait(left, STUCK).not_done
        is_timed = self.work.point_timeout is not None
        return len(late) >= (1 if is_timed else self.work.workers)

    def _last_save(self, reason: Reason) -> bool:
        ending = FinalSave(self.work, self.data, self.journal, self._tell_problem)
        ending.problem = self.problem
        saved = ending.save(reason, self.last_save)
        self._unsaved, self._unwritten = ending.problem, ""
        self.error = self.error or ending.error
        return saved

    def _tell_problem(self, problem: str) -> None:
        self._unsaved, self._unwritten = problem, ""
        if self.work.on_progress is not None:
            self.work.on_progress(self.progress())

    def _npoints(self) -> int:
        try:
            return adaptive_parts.npoints(self.work.learner)
        except BaseException as error:  # noqa: BLE001  the border to the user's own learner
            self.error = self.error or error
            return 0


def _loss(learner: Any) -> float | None:
    with suppress(BaseException):  # a loss that is not defined yet, or the user's own that raises
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
