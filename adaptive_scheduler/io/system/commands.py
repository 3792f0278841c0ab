"""Runs programs of the batch system; nothing else does."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress

from adaptive_scheduler.core.clean_environment import clean_environment
from adaptive_scheduler.core.jobs.batch_jobs import CommandResult
from adaptive_scheduler.errors import CommandMissingError, SchedulerError
from adaptive_scheduler.schedulers.base import Scheduler

#: Exit status of a command that was killed because it took too long.
TIMED_OUT = -1


def run(argv: Sequence[str], timeout: float, env: Mapping[str, str] | None = None) -> CommandResult:
    """Run a program to its end, without a shell and with empty standard input.

    Parameters
    ----------
    argv : sequence of str
    timeout : float
        Seconds after which it is killed. It then has the exit status `TIMED_OUT`, and whether
        it had an effect is unknown.
    env : mapping, optional
        Default: `clean_environment` of this process.

    Raises
    ------
    CommandMissingError
        The program is not installed here.
    SchedulerError
        This host cannot start it now.
    """
    with _started(argv, env) as process:
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as late:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with its children
            report = f"{_text(late.stderr)}\nno answer in {timeout:g} s"
            return CommandResult(tuple(argv), TIMED_OUT, _text(late.stdout), report)
    return CommandResult(tuple(argv), process.returncode, _text(stdout), _text(stderr))


def _started(argv: Sequence[str], env: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(env) if env is not None else clean_environment(os.environ),
            start_new_session=True,  # so that Ctrl-C in the terminal does not reach it
        )
    except FileNotFoundError as error:
        raise CommandMissingError(
            f"the program {argv[0]!r} is not installed on this host, or not on PATH. "
            "Run on a host of the cluster, or choose another scheduler."
        ) from error
    except OSError as error:  # e.g. no more processes are allowed to this user
        raise SchedulerError(
            f"the program {argv[0]!r} cannot be started on this host: {error.strerror}."
        ) from error


def _text(data: bytes | None) -> str:
    return (data or b"").decode(errors="replace")


def refuse_missing_programs(scheduler: Scheduler) -> None:
    """Raise CommandMissingError if a program of the batch system is not installed."""
    missing = [program for program in scheduler.programs if shutil.which(program) is None]
    if missing:
        raise CommandMissingError(
            f"{type(scheduler).__name__} needs {', '.join(missing)}, not found on PATH. Run on a "
            "login node of the cluster, or use LocalScheduler(cores=...) on this machine."
        )
