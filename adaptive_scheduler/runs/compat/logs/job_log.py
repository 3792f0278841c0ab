"""The log of a script that runs a learner by itself: how far it is, and what it raised."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import socket
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog

from adaptive_scheduler.evaluation.learners.progress import loss_of
from adaptive_scheduler.runs.compat.waiting import sleep_unless_task_is_done

_logger = logging.getLogger("adaptive_scheduler.client")
_logger.setLevel(logging.INFO)


def _event_first(_log: Any, _method: str, event: Any) -> dict[str, Any]:
    return {"event": event.pop("event", None), **event}


#: Writes one JSON object a line to what `add_log_file_handler` has added.
log: Any = structlog.wrap_logger(
    _logger,
    processors=[
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M.%S", utc=False),
        _event_first,
        structlog.processors.JSONRenderer(default=str),
    ],
)


def add_log_file_handler(log_fname: str | os.PathLike[str]) -> None:
    """Let `log_info`, `log_now` and `log_exception` write to this file too."""
    _logger.addHandler(logging.FileHandler(Path(log_fname)))


def log_exception(log: Any, msg: str, exception: BaseException) -> None:
    """Log an exception with its traceback.

    Parameters
    ----------
    log : logger
        Of `logging` or structlog.
    msg : str
    exception : Exception
    """
    log.error(msg, exc_info=exception)


def log_now(runner: Any, npoints_start: int) -> None:
    """Log how far a runner is.

    Parameters
    ----------
    runner : adaptive.AsyncRunner
    npoints_start : int
        Points that its learner had at the start.
    """
    log.info("current status", **_facts(runner, npoints_start))


def log_info(runner: Any, interval: float = 300) -> asyncio.Task[None]:
    """Log how far a runner is, again and again until it ends.

    Parameters
    ----------
    runner : adaptive.AsyncRunner
    interval : float
        Seconds between two lines.

    Returns
    -------
    asyncio.Task
        In the runner's event loop.
    """
    task: asyncio.Task[None] = runner.ioloop.create_task(_until_its_end(runner, interval))
    return task


async def _until_its_end(runner: Any, interval: float) -> None:
    log.info(f"started logger on hostname {socket.gethostname()}")
    begun = _points(runner.learner)
    log.info("npoints at start", npoints=begun)
    while runner.status() == "running":
        if await sleep_unless_task_is_done(runner.task, interval):
            break
        log_now(runner, begun)
    log.info("runner status changed", status=runner.status())
    log_now(runner, begun)


def _points(learner: Any) -> int:
    if hasattr(learner, "npoints"):
        return int(learner.npoints)
    return sum(_points(one) for one in getattr(learner, "learners", ()))


def _facts(runner: Any, begun: int) -> dict[str, Any]:
    """What adaptive-scheduler 2 logs, by its names."""
    import psutil

    learner, seconds = runner.learner, runner.elapsed_time()
    n = _points(learner)
    facts: dict[str, Any] = {
        "elapsed_time": str(timedelta(seconds=seconds)), "overhead": runner.overhead(), "npoints": n,
    }  # fmt: skip
    if seconds > 0:
        facts["npoints/s"] = (n - begun) / seconds
    if (loss := loss_of(learner)) is not None:
        facts["latest_loss"] = loss
    if learners := getattr(learner, "learners", None):
        facts |= {"nlearners": len(learners), "npoints/learner": n / len(learners)}
    facts |= {"cpu_usage": psutil.cpu_percent(), "mem_usage": psutil.virtual_memory().percent}
    with suppress(psutil.Error):
        facts |= {f"cputimes.{name}": used for name, used in psutil.cpu_times()._asdict().items()}
    return facts


def args_to_env(args: argparse.Namespace, prefix: str = "ADAPTIVE_SCHEDULER_") -> None:
    """Set an environment variable for each argument that is given.

    Parameters
    ----------
    args : argparse.Namespace
    prefix : str
        Before the argument's name in capitals.
    """
    given = {name: str(value) for name, value in vars(args).items() if value is not None}
    variables = {f"{prefix}{name.upper()}": value for name, value in given.items()}
    os.environ.update(variables)
    log.info("set environment variables", **variables)
