"""The one way to submit a job script."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from adaptive_scheduler.core.jobs.batch_jobs import CommandResult, JobRequest, Refusal
from adaptive_scheduler.core.jobs.commands import (
    NotSubmitted,
    SubmitResult,
    Submitted,
    SubmitUnknown,
)
from adaptive_scheduler.errors import (
    AdaptiveSchedulerError,
    CommandMissingError,
    NoObservation,
    SubmitRefusedError,
    UserCodeError,
)
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.system import commands
from adaptive_scheduler.schedulers.base import Scheduler

#: Seconds after which a command of the batch system is given up: a busy controller answers sooner.
TIMEOUT = 60.0

#: Runs a command of the batch system.
Run = Callable[[Sequence[str]], CommandResult]


def run_command(argv: Sequence[str]) -> CommandResult:
    """Run a command of the batch system; one that hangs is killed after `TIMEOUT`."""
    return commands.run(argv, TIMEOUT)


def write_script(request: JobRequest, path: Path, text: str) -> None:
    """Write a job script, and make the folder of its jobs' output."""
    with files.naming(request.log_folder):
        files.make_folder(request.log_folder)
    files.write_atomically(path, os.fsencode(text), mode=0o700)


def submit(
    scheduler: Scheduler, request: JobRequest, script: Path, n: int = 1, run: Run = run_command
) -> SubmitResult:
    """Submit n jobs of a script; every error of the batch system becomes a result.

    An exit status alone does not say whether the jobs exist: a command that was killed, or that
    lost its connection, may have reached the controller.
    """
    try:
        answer = run(scheduler.submit_command(request, script, n))
        if answer.rc == commands.TIMED_OUT:
            is_limit = scheduler.refusal(answer) is Refusal.LIMIT
            text = _one_line(answer.stderr.strip() or answer.stdout.strip())
            return SubmitUnknown(text, is_limit=is_limit)
        return Submitted(scheduler.parse_submit(answer, n))
    except SubmitRefusedError as error:
        return NotSubmitted(scheduler.refusal(answer), _one_line(str(error)))
    except NoObservation as error:
        return SubmitUnknown(str(error))
    except AdaptiveSchedulerError as error:
        return refused_by(error)


def refused_by(error: AdaptiveSchedulerError) -> NotSubmitted:
    """Tell what an error before the submit means: only some go away by themselves."""
    lasting = isinstance(error, (CommandMissingError, UserCodeError))
    return NotSubmitted(Refusal.IMPOSSIBLE if lasting else Refusal.BUSY, str(error))


def _one_line(text: str) -> str:
    return " ".join(text.split())[-500:]
