"""One learner from load to last save: what a client does between its claim and its finish."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress

from adaptive_scheduler.errors import AdaptiveSchedulerError, FileError, WorkerDiedError
from adaptive_scheduler.evaluation.in_pool import in_pool
from adaptive_scheduler.evaluation.learners.no_store import NoStore
from adaptive_scheduler.evaluation.learners.progress import ProgressMeter, loss_of, npoints_of
from adaptive_scheduler.evaluation.learners.store import LearnerStore
from adaptive_scheduler.evaluation.learners.work import LearnerWork, Outcome, Reason
from adaptive_scheduler.evaluation.messages import MakeEvaluator, WorkerSetup, user_error
from adaptive_scheduler.evaluation.options import SLOW_FAILURE, RunnerOptions
from adaptive_scheduler.evaluation.runner import PointRunner
from adaptive_scheduler.executors.worker import describe
from adaptive_scheduler.io.disk import files

__all__ = ["LearnerRun", "LearnerWork", "Outcome", "Reason", "run_learner"]

#: The share of the time that saving may take.
SAVE_SHARE = 1 / 20
#: Seconds after the last save in which workers may come back from points that nobody waits for.
STUCK = 1.0


def run_learner(work: LearnerWork) -> Outcome:
    """Load, run until the goal, save. Raises as `LearnerRun.run` does."""
    return LearnerRun(work).run()


class Stops:
    """The stops that a run was asked for, and the time that they leave for its last save.

    A `SaveBudget`. `add` may be called in any thread, or in a signal handler.
    """

    def __init__(self, deadline: float | None) -> None:
        self.asked: list[tuple[Reason, float]] = []
        self._deadline = deadline
        self._patience = float("inf")

    def add(self, reason: Reason, patience: float) -> None:
        """Note a stop: points in flight have `patience` seconds, and the save as many again."""
        self._patience = min(self._patience, patience)
        self.asked.append((reason, time.monotonic() + patience))

    def have(self, *reasons: Reason) -> bool:
        """Whether one of the stops had one of these reasons."""
        return any(reason in reasons for reason, _ in self.asked)

    def allows(self, seconds: float) -> bool:
        """Whether a save that takes so long may be begun; never where the item was lost."""
        ends = [end + self._patience for _, end in self.asked]
        left = max(0.0, min([self._patience, *(end - time.monotonic() for end in ends)]))
        return seconds <= left and not self.have("lost")

    def may_wait(self) -> bool:
        """Whether the job has time to wait for room on a disk."""
        is_late = self._deadline is not None and time.monotonic() >= self._deadline
        return not (is_late or self.asked)


class LearnerRun:
    """One run of a learner: `run` blocks, `stop` ends it from any thread.

    Parameters
    ----------
    work : LearnerWork

    Attributes
    ----------
    store : LearnerStore or NoStore
        The learner's data on disk.
    runner : PointRunner or None
        None before the event loop runs.
    """

    def __init__(self, work: LearnerWork) -> None:
        self.work = work
        self.stops = Stops(work.deadline)
        self.runner: PointRunner | None = None
        self._begin = time.monotonic()
        with _user_code("learner, when it was loaded,"):
            self.store = _store_of(work)
        self._progress = ProgressMeter(work.learner, self.store, self._begin, work.workers)
        self._error: BaseException | None = None
        self._data_seconds = 0.0

    def stop(self, reason: Reason, patience: float) -> None:
        """Stop soon: ask for nothing more, take what returns within `patience` seconds, save.

        The save may take as long again; one that is known to take longer is left out, and so is
        any with the reason ``"lost"``: then only the point journal is written.

        From any thread, or a signal handler; also before `run`.
        """
        self.stops.add(reason, patience)
        if self.runner is not None:
            self.runner.stop(reason, patience)

    def run(self) -> Outcome:
        """Load, run until the goal or a stop, save. Blocks; in the main thread or another.

        Raises
        ------
        DataFileError, PermissionsError, EnvironmentMismatchError, UserCodeError
            The data could not be loaded: nothing was evaluated, no file was changed.
        """
        with _user_code("learner, when it was loaded,"):
            self.store.load()
        self._data_seconds = time.monotonic() - self._begin
        return self._finish(self._run_loop())

    # -------------------------------------------------------------- while it runs

    def _run_loop(self) -> str:
        """Run the event loop; what leaves through it ends this learner, and its points are saved.

        A SystemExit of a task or callback that the user's function left behind leaves so.
        """
        try:
            with asyncio.Runner() as loop:
                return loop.run(self._run_points())
        except BaseException as error:
            if self.runner is None:
                raise user_error("learner, when it was started,", describe(error)) from error
            self._error = self._error or user_error("code on the event loop", describe(error))
            return "error"

    async def _run_points(self) -> str:
        """Run until the runner ends; returns its reason."""
        self.runner = runner = self._make_runner()
        for reason, end in list(self.stops.asked):  # those that came before
            runner.stop(reason, end - time.monotonic())
        with ThreadPoolExecutor(2, "saving") as threads:
            jobs = [
                asyncio.create_task(self._flush_points(threads)),
                asyncio.create_task(self._save(threads)),
                asyncio.create_task(self._report_progress()),
            ]
            await asyncio.wait([runner.task, *jobs], return_when=asyncio.FIRST_COMPLETED)
            await self._await_end(runner, jobs)
        return runner.reason

    def _make_runner(self) -> PointRunner:
        work = self.work
        options = RunnerOptions(
            **{"retries": work.point_retries, "retry_within": SLOW_FAILURE} | work.runner_kwargs,
            deadline=work.deadline,
            point_timeout=work.point_timeout,
            memo=self.store.report.memo,
            record=self.store.record,
        )
        make = work.make_evaluator or self._in_pool()
        return PointRunner(work.learner, work.goal, make_evaluator=make, options=options)

    def _in_pool(self) -> MakeEvaluator:
        work = self.work
        assert work.pool is not None, "there is a pool, or another way to evaluate"
        setup = WorkerSetup(initializers=tuple(work.initializers), programs=work.programs)
        is_timed = work.point_timeout is not None
        return in_pool(work.learner, work.pool, work.workers, setup, is_timed=is_timed)

    async def _await_end(self, runner: PointRunner, jobs: list[asyncio.Task[None]]) -> None:
        """Wait for the runner; a job only ends before it by a fault, which ends the run."""
        for job in jobs:
            if job.done() and not job.cancelled() and job.exception() is not None:
                self._error = job.exception()
                runner.stop("error", 10.0)
        await asyncio.wait([runner.task])
        for job in jobs:
            job.cancel()
        await asyncio.wait(jobs)
        if runner.task.exception() is not None:
            self._error = runner.task.exception()

    async def _flush_points(self, threads: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.work.points_interval)
            with suppress(FileError):  # the store keeps the points, and has noted the problem
                await loop.run_in_executor(threads, self.store.flush)

    async def _save(self, threads: ThreadPoolExecutor) -> None:
        while True:
            await asyncio.sleep(max(self.work.save_interval, self.store.save_seconds / SAVE_SHARE))
            try:
                await self.store.save_beside(threads)
                self._after_save()
            except AdaptiveSchedulerError as error:
                if not files.is_disk_error(error):  # else the next save tries again
                    raise

    def _after_save(self) -> None:
        if self.work.after_save is not None:
            self.work.after_save(self.work.learner, self.work.fname)

    async def _report_progress(self) -> None:
        while True:
            await asyncio.sleep(self.work.progress_interval)
            self._report()

    def _report(self) -> None:
        if self.work.on_progress is not None and self.runner is not None:
            self.work.on_progress(self._progress.figures(self.runner))

    # -------------------------------------------------------------- at the end

    def _finish(self, ended: str) -> Outcome:
        """Save for the last time."""
        assert self.runner is not None
        reason: Reason = "goal" if ended in ("goal", "exhausted") else ended  # type: ignore[assignment]
        begin = time.monotonic()
        saved = self.store.finish(self.stops, self._report)
        if saved.is_saved and not self.stops.have("deadline", "signal", "lost"):
            self._after_save()
        self._data_seconds += time.monotonic() - begin
        npoints, failure = npoints_of(self.work.learner)
        error = self._error or self.runner.error or saved.error or failure
        if self.stops.have("lost"):
            reason = "lost"
        elif error is not None:
            reason = "error"
        return Outcome(
            reason,
            npoints=npoints,
            new_points=self.runner.n_new,
            loss=loss_of(self.work.learner),
            seconds=time.monotonic() - self._begin,
            saved=saved.is_saved,
            error=_as_ours(error),
            is_exhausted=ended == "exhausted",
            is_pool_broken=isinstance(error, BrokenExecutor),
            is_pool_stuck=self._is_pool_stuck(self.runner),
            failed_points=len(self.runner.failed),
            problem=self.store.problem,
            data_seconds=self._data_seconds,
            report=self.store.report,
        )

    def _is_pool_stuck(self, runner: PointRunner) -> bool:
        """Whether workers evaluate what nobody waits for any more, for who knows how long."""
        if self.stops.have("deadline", "signal"):
            return False  # the job ends anyway
        late = wait(runner.evaluator.abandoned(), STUCK).not_done
        is_timed = self.work.point_timeout is not None
        return len(late) >= (1 if is_timed else max(1, self.work.workers))


def _store_of(work: LearnerWork) -> LearnerStore | NoStore:
    if work.fname is None:
        return NoStore()
    return LearnerStore(work.learner, work.fname, work.token, work.lease_ok)


@contextmanager
def _user_code(where: str) -> Iterator[None]:
    """Make an error of the learner's own class one that its item fails with."""
    try:
        yield
    except AdaptiveSchedulerError:
        raise
    except BaseException as error:  # the border to the user's code: a learner's own methods
        raise user_error(where, describe(error)) from error


def _as_ours(error: BaseException | None) -> AdaptiveSchedulerError | None:
    if error is None or isinstance(error, AdaptiveSchedulerError):
        return error
    if isinstance(error, BrokenExecutor):
        return WorkerDiedError(
            "a worker process died while it evaluated your function (killed, out of memory, or "
            "crashed); the job's output may say why"
        )
    return user_error("code", describe(error))
