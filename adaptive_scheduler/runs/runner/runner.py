"""`Runner`: drives one learner whose points are tasks of an `Executor`."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any
from weakref import WeakKeyDictionary

from adaptive_scheduler.core.goals import parse_goal, predicate, refuse_passed
from adaptive_scheduler.core.options.checks import count, duration, flag, optional, text
from adaptive_scheduler.core.options.keywords import accept_aliases
from adaptive_scheduler.core.times import TimeLike
from adaptive_scheduler.core.times import seconds as as_seconds
from adaptive_scheduler.core.wire.slots import SlotCount
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.evaluation.learners.run import LearnerRun
from adaptive_scheduler.evaluation.learners.work import LearnerWork, Outcome
from adaptive_scheduler.evaluation.messages import Evaluator
from adaptive_scheduler.evaluation.options import SLOW_FAILURE
from adaptive_scheduler.evaluation.refits import is_ranking
from adaptive_scheduler.io.learner_data import adaptive_private
from adaptive_scheduler.io.learner_data.adaptive_load import innermost
from adaptive_scheduler.runs.driver.executor import Executor
from adaptive_scheduler.runs.runner.point_keys import PointKeys
from adaptive_scheduler.runs.runner.points_wanted import PointsWanted, SlotWatch
from adaptive_scheduler.runs.runner.refit_tasks import RefitTasks
from adaptive_scheduler.runs.runner.run_tasks import RunTasks
from adaptive_scheduler.runs.runner.take_over import take_over
from adaptive_scheduler.runs.runner.task_evaluator import TaskEvaluator

#: Seconds that points have to come back after a Ctrl-C: they stay in the run anyway.
LEAVE_PATIENCE = 0.5

#: The learners of each run, by name: two of one name would be given each other's points.
_learners: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()


class Runner:
    """Runs a learner on an `Executor`, over as many jobs as there are.

    Its points are tasks of the run. Jobs may come and go: as many points are in flight as there are
    slots, and some more wait. A program that was killed is run again: the learner is told what has
    ended meanwhile, and no point is computed twice.

    Parameters
    ----------
    learner : adaptive.BaseLearner
        Or any object with its ``ask``, ``tell`` and ``function``. Look at it when the runner has
        ended: until then it changes in another thread.
    executor : Executor
        Or a view of one: ``executor.options(tag=..., resources=..., timeout=...)``. It stays open.
    goal : callable, int, float, timedelta, str, datetime or None
        When the learner is done: a function of it, a number of points, a loss, the time that this
        runner worked on it, a moment; None: when it asks for nothing more.
    ntasks : int, optional
        Points to evaluate at a time. Default: as many as the jobs of now have slots.
    ahead : int, optional
        Points that wait besides, so that no slot waits for the learner. Default: one for four slots,
        and of short points more; none if `ntasks` is given. Jobs come only for tasks that wait: for
        many of them at once give more, or ``min_jobs`` to the executor.
    refit_every : int
        Values that the learner is told together, and between which it is asked as if they were not
        there. Then it chooses anew the points that wait.
    refit_on : str or Executor, optional
        Where the model of a `RankingLearner` is fitted: the tag of a task, which a pool accepts, or
        ``executor.options(tag=..., resources=...)``. Default: in a thread of this program.
    name : str
        Tells the points of this learner from those of others in the same run.
    fname : str or list of str, optional
        The learner's data file, which is loaded, and saved now and then; as in `RunManager`.
    retries : int
        Times that a point whose function raised is tried again; one that raised after more than ten
        seconds only once others have succeeded.
    raise_if_retries_exceeded : bool
        Whether a point that still fails ends the runner; else it is left out.
    save_interval : float, str or timedelta
        Time between two saves.

    Notes
    -----
    A point's priority is the loss that the learner expects it to take away. The points that wait are
    chosen anew only of a Learner1D, Learner2D, LearnerND, or a learner of your own that has
    ``tell_pending`` and ``remove_unfinished``, also in a DataSaver.

    Of a `RankingLearner` all candidates are submitted at once, unless `ntasks` or `ahead` is given. While its model is fitted
    they go on in the order that they have. Those that the goal did not need are withdrawn.

    Examples
    --------
    >>> with Executor(scheduler.SLURM(cores=32), folder="ring", max_jobs=4) as executor:
    ...     Runner(learner, executor, goal=0.01).run()
    """

    @accept_aliases()
    def __init__(
        self,
        learner: Any,
        executor: Executor,
        goal: Any = None,
        *,
        ntasks: int | None = None,
        ahead: int | None = None,
        refit_every: int = 1,
        refit_on: str | Executor | None = None,
        name: str = "learner",
        fname: Any = None,
        retries: int = 2,
        raise_if_retries_exceeded: bool = True,
        save_interval: TimeLike = 300.0,
    ) -> None:
        _check_learner(learner, executor)
        queues_all = ntasks is None and ahead is None and is_ranking(learner)
        self._wanted = PointsWanted(
            optional(count(1))(ntasks, "ntasks"),
            len(innermost(learner).candidates.rows) if queues_all else optional(count())(ahead, "ahead"),
            is_blind=adaptive_private.is_blind(learner),
        )  # fmt: skip
        self._fits = _fits_as_tasks(learner, executor, refit_on)
        options = {
            "retries": count()(retries, "retries"),
            "retry_within": SLOW_FAILURE,
            "raise_if_retries_exceeded": flag(
                raise_if_retries_exceeded, "raise_if_retries_exceeded"
            ),
            "refit_every": count(1)(refit_every, "refit_every"),
            "fit": self._fits,
            "queues_all": queues_all,
        }
        self._work = LearnerWork(
            learner, fname, _predicate(goal), None, 0, token=time.time_ns(),
            save_interval=duration(save_interval, "save_interval"), on_progress=self._note,
            runner_kwargs=options, make_evaluator=self._make_evaluator,
        )  # fmt: skip
        self._keys = PointKeys(_own_name(name, executor, learner))
        self._tasks = RunTasks(executor)
        self._run = LearnerRun(self._work)
        self._evaluator: TaskEvaluator | None = None
        self._watch: SlotWatch | None = None
        self._figures: dict[str, Any] = {}
        self._ended: Future[Outcome] | None = None

    # ------------------------------------------------------------------- from the user

    def run(self) -> Outcome:
        """Run to the goal, and return how it ended; see `wait`."""
        return self.start().wait()

    def start(self) -> Runner:
        """Begin, in a thread, and return at once; InputError if no pool takes what `refit_on` says."""
        if self._ended is not None:
            raise InputError("this Runner was started before: make another one, also to go on.")
        if self._fits is not None:
            self._fits.refuse_unplaceable()
        self._ended = Future()
        threading.Thread(target=self._run_to_end, args=(self._ended,), name="runner").start()
        return self

    def wait(self, timeout: float | None = None) -> Outcome:
        """Wait for the end, and return how it ended.

        After a Ctrl-C the points in flight stay in the run: run the program again to go on.

        Parameters
        ----------
        timeout : float, optional
            Seconds.

        Returns
        -------
        Outcome
            With `reason` (``"goal"``, or ``"signal"`` after `cancel`), `npoints`, `loss`, ...

        Raises
        ------
        TimeoutError
            It has not ended.
        UserCodeError
            The function, the learner or the goal raised.
        AdaptiveSchedulerError
            The run takes no tasks any more, or the data cannot be loaded or saved.
        """
        try:
            return _checked(self._future().result(timeout))
        except KeyboardInterrupt:
            self._leave()
            raise

    def __await__(self) -> Generator[Any, None, Outcome]:
        """``await runner``: as `wait`, in a notebook."""
        return _checked((yield from asyncio.wrap_future(self._future()).__await__()))

    def cancel(self, patience: TimeLike = 10.0) -> None:
        """Ask for no more points, cancel those that wait, and save; returns at once.

        Parameters
        ----------
        patience : float, str or timedelta
            Time that points have which are being evaluated; then they are cancelled too.
        """
        self._run.stop("signal", as_seconds(patience, "patience", zero=True))

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._ended is not None and self._ended.done()

    def status(self) -> dict[str, Any]:
        """Return how it stands, at most a second ago.

        Keys are state, slots, wanted (points that should be in flight), and once it runs npoints,
        new_points, loss, points_per_second, in_flight, elapsed, idle_since (seconds), p95 (seconds
        that 95 % of the points took at most), unwritten, problem, ...
        """
        seen = SlotCount(0) if self._watch is None else self._watch.seen
        wanted = 0 if self._evaluator is None else self._evaluator.workers
        return {
            "state": self._state(), "slots": seen.slots, "wanted": wanted, **self._figures,
        }  # fmt: skip

    def __repr__(self) -> str:
        found = self.status()
        points = f", {found['npoints']} points" if "npoints" in found else ""
        return f"<Runner of {self._work.learner!r}: {found['state']}{points}>"

    def _state(self) -> str:
        if self._ended is None:
            return "not started"
        if not self._ended.done():
            return "running"
        failed = self._ended.exception() is not None or self._ended.result().error is not None
        return "failed" if failed else self._ended.result().reason

    def _future(self) -> Future[Outcome]:
        if self._ended is None:
            raise InputError("this Runner was not started: call start() or run().")
        return self._ended

    def _leave(self) -> None:
        """End, and leave the points in flight in the run."""
        if self._evaluator is not None:
            self._evaluator.is_leaving = True
        self._run.stop("signal", LEAVE_PATIENCE)
        self._future().exception()

    # ------------------------------------------------------------------- in its thread

    def _run_to_end(self, ended: Future[Outcome]) -> None:
        try:
            outcome = self._run.run()
        except BaseException as error:  # noqa: BLE001  told to who waits
            ended.set_exception(error)
        else:
            last = {"npoints": outcome.npoints, "loss": outcome.loss, "in_flight": 0}
            self._figures = {**self._figures, **last}
            ended.set_result(outcome)
        finally:
            if self._watch is not None:
                self._watch.close()
            if self._fits is not None:
                self._fits.close()

    def _note(self, figures: dict[str, Any]) -> None:
        self._figures = figures

    def _make_evaluator(
        self, _loop: asyncio.AbstractEventLoop, wake: Callable[[], None]
    ) -> Evaluator:
        learner = self._work.learner
        self._evaluator = evaluator = TaskEvaluator(
            self._tasks,
            self._keys,
            lambda x: adaptive_private.compact(learner, x),
            lambda durations: self._wanted.points(watch.seen, durations),
            wake,
        )
        self._watch = watch = SlotWatch(self._tasks.slots, wake, evaluator.end_if_closed)
        self._run.store.report.memo |= take_over(learner, self._tasks, self._keys, evaluator)
        watch.start()
        return evaluator


def _checked(outcome: Outcome) -> Outcome:
    if outcome.error is not None:
        raise outcome.error
    return outcome


def _predicate(goal: Any) -> Callable[[Any], bool] | None:
    """Return a goal as a function of the learner; its time begins now."""
    parsed = parse_goal(goal)
    refuse_passed(parsed, time.time())
    begin = time.monotonic()
    return predicate(
        parsed, goal if callable(goal) else None, lambda: time.monotonic() - begin, time.time
    )


def _check_learner(learner: Any, executor: Any) -> None:
    missing = [name for name in ("ask", "tell", "function") if not hasattr(learner, name)]
    if missing:
        raise InputError(
            f"learner={learner!r:.200} has no {missing[0]}: give a learner of adaptive."
        )
    if adaptive_private.is_async(learner):
        raise InputError(
            "the learner's function is an async def, which cannot run as a task. Give a plain function."
        )
    if not isinstance(executor, Executor):
        raise InputError(
            f"executor={executor!r}: give an adaptive_scheduler.Executor. (Others work with "
            "adaptive.Runner.)"
        )


def _fits_as_tasks(learner: Any, executor: Executor, refit_on: Any) -> RefitTasks | None:
    if refit_on is None:
        return None
    if not is_ranking(learner):
        raise InputError(
            f"refit_on={refit_on!r}: only the model of a RankingLearner is fitted there."
        )
    return RefitTasks(executor, refit_on)


def _own_name(name: str, executor: Executor, learner: Any) -> str:
    """Return the learner's name, which no other learner of this program has in the same run."""
    name = text(name, "name")
    if ":" in name:
        raise InputError(f"name={name!r} must be a text without a colon.")
    named = _learners.setdefault(executor._book, {})  # noqa: SLF001  a part of the driver
    if named.setdefault(name, learner) is not learner:
        raise InputError(
            f"name={name!r}: another learner of this run has this name, and they would be given each "
            "other's points. Give name= to each."
        )
    return name
