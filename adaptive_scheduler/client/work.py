"""One learner from load to last save: what a client does between its claim and its finish."""

from __future__ import annotations

import asyncio
import time

from adaptive_scheduler.client.orders import Outcome, Reason, Work
from adaptive_scheduler.client.running import Running
from adaptive_scheduler.client.saving import DataFile

__all__ = ["Outcome", "Reason", "Work", "run_learner"]


def run_learner(work: Work) -> Outcome:
    """Load, run until the goal or a stop, save. Blocks; in the main thread or another.

    Raises
    ------
    DataFileError, PermissionsError, EnvironmentMismatchError, UserCodeError
        The data could not be loaded: nothing was evaluated, no file was changed.
    """
    begin = time.monotonic()
    data = DataFile(work.learner, work.fname, work.token, work.lease_ok)
    data.load()
    running = Running(work, data, begin)
    with asyncio.Runner() as loop:
        ended = loop.run(running.run())
    return running.finish(ended)
