"""A learner to run, with all that the run needs, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor as Pool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.evaluation.learners.data_file import LoadReport
from adaptive_scheduler.evaluation.messages import MakeEvaluator
from adaptive_scheduler.evaluation.point_goals import Goal

Reason = Literal["goal", "deadline", "signal", "lost", "error"]


@dataclass(frozen=True)
class LearnerWork:
    """A learner to run, and how.

    Attributes
    ----------
    learner : adaptive.BaseLearner
        The learner, without its data.
    fname : str or list of str, or None
        Where its data are; None: its points are kept elsewhere.
    goal : callable or None
        Given the learner, whether it is done. None: until it asks for nothing more.
    pool : concurrent.futures.Executor or None
        Where points are evaluated; stays open. None: there is `make_evaluator`.
    workers : int
        How many points it evaluates at a time.
    programs : Path, optional
        A folder of the user's own that workers can read: large functions go through it.
    token : int
        The right to the item; it names the journal.
    save_interval, points_interval : float
        Seconds between two saves, and between two writes of the point journal.
    deadline : float or None
        `time.monotonic` after which no value is waited for; the last save comes after it.
    lease_ok : callable
        Whether the lease is good; called from threads.
    point_timeout : float or None
        Seconds that one evaluation may take.
    point_retries : int
        Times that a point is tried again; ``retries`` of the runner_kwargs goes before it.
    on_progress : callable or None
        Called in the event loop, each `progress_interval` seconds, with a dict of
        npoints, new_points, loss, points_per_second, overhead (percent),
        elapsed, idle_since (seconds), in_flight, p95 (seconds), unwritten, problem,
        kept_aside (texts or "").
    runner_kwargs : dict
        ``retries``, ``raise_if_retries_exceeded``, ``grace``, ``log``: see `RunnerOptions`.
    initializers : tuple of callables
        Run once in each worker before its first point.
    make_evaluator : callable, optional
        See `PointRunner`; points are evaluated elsewhere than in the pool of a job.
    after_save : callable, optional
        Called with learner and fname when the data are on disk; must not raise.
    """

    learner: Any
    fname: Any
    goal: Goal | None
    pool: Pool | None
    workers: int
    token: int = 0
    save_interval: float = 300.0
    points_interval: float = 1.0
    progress_interval: float = 1.0
    deadline: float | None = None
    point_timeout: float | None = None
    point_retries: int = 0
    lease_ok: Callable[[], bool] = lambda: True
    on_progress: Callable[[dict[str, Any]], None] | None = None
    runner_kwargs: dict[str, Any] = field(default_factory=dict)
    initializers: tuple[Callable[[], object], ...] = ()
    programs: Path | None = None
    make_evaluator: MakeEvaluator | None = None
    after_save: Callable[[Any, Any], None] | None = None


@dataclass(frozen=True)
class Outcome:
    """How the run of a learner ended.

    Attributes
    ----------
    reason : str
        ``"goal"``, ``"deadline"``, ``"signal"``, ``"lost"`` or ``"error"``.
    npoints, new_points : int
        Points of the learner, and those of them that were evaluated now.
    loss : float or None
        None where the learner cannot tell.
    seconds : float
        From load to the last save.
    data_seconds : float
        How many of these went into loading, and into the last save.
    saved : bool
        Whether the data file has all points; else the point journal has them.
    error : Exception or None
        Why, if the reason is ``"error"``.
    is_exhausted : bool
        The learner asked for nothing more (its goal may not be met).
    is_pool_broken : bool
        A worker process died: the pool is of no more use.
    is_pool_stuck : bool
        Workers still evaluate points that nobody waits for, and cannot be interrupted: the
        pool is of no more use.
    failed_points : int
        Points that were left out because their function raised.
    problem : str
        What could not be written in the end, and why; "" if nothing.
    report : LoadReport
        What loading found.
    """

    reason: Reason
    npoints: int
    new_points: int
    loss: float | None
    seconds: float
    saved: bool
    error: AdaptiveSchedulerError | None = None
    is_exhausted: bool = False
    is_pool_broken: bool = False
    is_pool_stuck: bool = False
    failed_points: int = 0
    problem: str = ""
    data_seconds: float = 0.0
    report: LoadReport = field(default_factory=LoadReport)
