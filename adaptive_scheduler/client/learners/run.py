"""One learner from load to last save: what a client does between its claim and its finish."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from adaptive_scheduler.client.evaluation.messages import user_error
from adaptive_scheduler.client.learners.running import LearnerRun
from adaptive_scheduler.client.learners.store import DataFile
from adaptive_scheduler.client.learners.work import LearnerWork, Outcome, Reason
from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.executors.worker import describe

__all__ = ["LearnerWork", "Outcome", "Reason", "run_learner"]


def run_learner(work: LearnerWork) -> Outcome:
    """Load, run until the goal or a stop, save. Blocks; in the main thread or another.

    Raises
    ------
    DataFileError, PermissionsError, EnvironmentMismatchError, UserCodeError
        The data could not be loaded: nothing was evaluated, no file was changed.
    """
    begin = time.monotonic()
    with _user_code("learner, when it was loaded,"):
        data = DataFile(work.learner, work.fname, work.token, work.lease_ok)
        data.load()
        running = LearnerRun(work, data, begin)
    return running.finish(_run(running))


def _run(running: LearnerRun) -> str:
    """Run the event loop; what leaves through it ends this learner, and its points are saved.

    A SystemExit of a task or callback that the user's function left behind leaves so.
    """
    try:
        with asyncio.Runner() as loop:
            return loop.run(running.run())
    except BaseException as error:
        if running.runner is None:
            raise user_error("learner, when it was started,", describe(error)) from error
        running.error = running.error or user_error("code on the event loop", describe(error))
        return "error"


@contextmanager
def _user_code(where: str) -> Iterator[None]:
    """Make an error of the learner's own class one that its item fails with."""
    try:
        yield
    except AdaptiveSchedulerError:
        raise
    except BaseException as error:  # the border to the user's code: a learner's own methods
        raise user_error(where, describe(error)) from error
