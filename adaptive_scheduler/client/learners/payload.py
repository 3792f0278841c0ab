"""Items that are learners: how a client runs one, and what it reports to the manager."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from adaptive_scheduler.client.learners.process_setup import collect_garbage
from adaptive_scheduler.client.learners.recipe import Recipe
from adaptive_scheduler.client.payload import ItemContext, ItemEnd, StopReason, Workers
from adaptive_scheduler.client.reports import failure
from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.goals import predicate
from adaptive_scheduler.core.wire.ends import How
from adaptive_scheduler.core.wire.messages import Assigned, Fail, Finish, Release, Report

if TYPE_CHECKING:
    from adaptive_scheduler.evaluation.learners.run import LearnerRun, LearnerWork, Outcome


class LearnerPayload:
    """Runs items that are learners.

    Parameters
    ----------
    recipe : callable
        Gives the `Recipe` of now: a retry may have changed functions and goal.
    config : RunConfig
        Its intervals.
    """

    def __init__(self, recipe: Callable[[], Recipe], config: RunConfig) -> None:
        self._recipe = recipe
        self._config = config
        self._workers: Workers | None = None

    def open(self, workers: Workers) -> None:
        """Read the recipe for the first time."""
        self._workers = workers
        self._recipe()

    def prepare(self, assigned: Assigned, context: ItemContext) -> LearnerItem:
        """Make the learner of an item, without its data."""
        from adaptive_scheduler.evaluation.learners.run import LearnerRun

        assert self._workers is not None
        run = LearnerRun(self._work(assigned, context, self._workers))
        return LearnerItem(run, assigned.token, self._workers.count, context.log)

    def clean_up(self, seconds: float) -> None:
        """Free the memory of a learner that ran for so many seconds."""
        collect_garbage(seconds)

    def _work(self, assigned: Assigned, context: ItemContext, workers: Workers) -> LearnerWork:
        from adaptive_scheduler.evaluation.learners.work import LearnerWork

        recipe, begin = self._recipe(), time.monotonic()
        return LearnerWork(
            learner=recipe.learner(assigned),
            fname=assigned.fname,
            goal=predicate(
                recipe.goal,
                recipe.goal_function,
                worked=lambda: assigned.worked + time.monotonic() - begin,
                now=time.time,
            ),
            pool=workers.pool,
            workers=workers.count,
            programs=workers.programs,
            token=assigned.token,
            save_interval=self._config.save_interval,
            points_interval=self._config.points_interval,
            deadline=context.deadline,
            point_timeout=recipe.point_timeout,
            point_retries=recipe.point_retries,
            lease_ok=context.lease_ok,
            on_progress=lambda figures: context.report(report_of(figures), figures),
            runner_kwargs=dict(recipe.runner_kwargs),
            initializers=recipe.initializers(assigned),
            after_save=recipe.after_save,
        )


class LearnerItem:
    """The run of one item that is a learner."""

    def __init__(self, run: LearnerRun, token: int, workers: int, log: Any) -> None:
        self._run = run
        self._token = token
        self._workers = workers
        self._log = log

    def stop(self, reason: StopReason, patience: float) -> None:
        """Stop soon; see `LearnerRun.stop`."""
        self._run.stop(reason, patience)

    def run(self) -> ItemEnd:
        """Run it until its goal or a stop."""
        outcome = self._run.run()
        for note in outcome.report.notes:
            self._log.warning("data_repaired", note=note)
        self._log.info(
            "learner_stopped", reason=outcome.reason, npoints=outcome.npoints, loss=outcome.loss,
            new_points=outcome.new_points, seconds=outcome.seconds, saved=outcome.saved,
            problem=outcome.problem,
        )  # fmt: skip
        request = None
        if outcome.reason != "lost":
            request = end_request(self._token, outcome, self._workers)
        return ItemEnd(
            request,
            is_by_deadline=outcome.reason == "deadline",
            pool_fault=_pool_fault(outcome),
            has_crashed=outcome.is_pool_broken,
        )


def _pool_fault(outcome: Outcome) -> str:
    if outcome.is_pool_broken:
        return "a worker died"
    return "a worker hangs" if outcome.is_pool_stuck else ""


#: Figures of a running learner that are part of a report; ``elapsed`` is its ``seconds``.
_REPORTED = (
    "npoints", "loss", "new_points", "points_per_second", "overhead", "idle_since", "p95",
    "kept_aside", "problem", "busy",
)  # fmt: skip


def report_of(figures: dict[str, Any]) -> Report:
    """The report of a running learner."""
    return Report(seconds=figures["elapsed"], **{name: figures[name] for name in _REPORTED})


def end_request(token: int, outcome: Outcome, workers: int) -> Finish | Fail | Release:
    """The request that reports to the manager how a learner ended."""
    report = Report(
        npoints=outcome.npoints,
        loss=outcome.loss,
        seconds=outcome.seconds,
        data_seconds=round(outcome.data_seconds, 3),
        new_points=outcome.new_points,
        kept_aside=", ".join(map(str, outcome.report.kept_aside)),
    )
    if outcome.error is not None:
        fail = failure(token, outcome.error, report, crash=outcome.is_pool_broken)
        return msgspec.structs.replace(fail, workers=workers)
    if outcome.reason == "goal" and outcome.saved:
        return Finish(token, report)
    why = outcome.reason if outcome.reason != "goal" else f"not saved: {outcome.problem}"
    how = How.WALLTIME if outcome.reason == "deadline" else How.GIVEN_BACK
    return Release(token, why, report, how)
