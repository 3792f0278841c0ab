"""The embedded batch system for one machine; its command is ``python -m adaptive_scheduler.localbatch``.

It prints one JSON object per line and, last, ``{"rows": N}``: an answer that was cut off is
noticed. Exit codes are those of `localbatch.commands`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adaptive_scheduler.core.jobs.batch_jobs import (
    CommandResult,
    Ending,
    JobId,
    JobRequest,
    JobState,
    ListedJob,
    QueueCause,
    Refusal,
)
from adaptive_scheduler.core.options.checks import count, optional, path
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.times import TimeLike
from adaptive_scheduler.errors import (
    InputError,
    NoObservation,
    SchedulerError,
    SubmitRefusedError,
)
from adaptive_scheduler.schedulers.base import EnvVars, ExecutorType, Scheduler
from adaptive_scheduler.schedulers.options import named_options

_TRY_AGAIN = 75  # localbatch.commands.TRY_AGAIN: its folder cannot be written just now
_TIMED_OUT = 124  # as of coreutils' timeout
#: Any other state is ALIVE: "completing" means that its processes are being ended.
_STATES = {"pending": JobState.PENDING, "running": JobState.RUNNING}


class LocalScheduler(Scheduler):
    """The machine itself as a small cluster: jobs are processes that outlive the notebook.

    Its options are described at `Scheduler`; ``partition`` and ``gpus`` do not exist here. All
    nodes are this machine: ``nodes`` times ``cores_per_node`` gives ``cores``, and beside
    ``cores`` they have no effect. ``memory`` is not enforced. ``extra_scheduler`` goes to
    ``python -m adaptive_scheduler.localbatch submit``.

    Parameters
    ----------
    cores : int or tuple of int
        Cores of each job. They are counted, not bound to processors.
    max_cores : int, optional
        Cores that all jobs together may use: those of all your runs on this machine that
        use the same `state`; the last submit's value holds. Default: the number of processors.
    kill_wait : float
        Seconds from SIGTERM to SIGKILL when a job is cancelled or its walltime
        is over. Default 30, Slurm's.
    state : str or path, optional
        Folder of the batch system. Default: ``$ADAPTIVE_SCHEDULER_LOCALBATCH``,
        else ``~/.local/state/adaptive_scheduler/localbatch/HOST``.

    Raises
    ------
    InputError
        An option is unknown or wrong, or a job would be larger than the batch system.
    """

    name = "local"
    programs = ("bash",)  # for the job scripts; all else comes with Python
    max_array = 10_000
    max_commands_per_minute = 1200

    @named_options
    def __init__(
        self,
        cores: int | tuple[int, ...] | None = None,
        *,
        max_cores: int | None = None,
        nodes: int | tuple[int | None, ...] | None = None,
        cores_per_node: int | tuple[int | None, ...] | None = None,
        memory: int | str | tuple[int | str | None, ...] | None = None,
        walltime: TimeLike | tuple[TimeLike | None, ...] | None = None,
        exclusive: bool | tuple[bool, ...] = False,
        executor_type: ExecutorType | tuple[ExecutorType, ...] = "mpi4py",
        num_threads: int | tuple[int, ...] = 1,
        extra_scheduler: str | Sequence[str] | tuple[Sequence[str], ...] | None = None,
        extra_env_vars: EnvVars | tuple[EnvVars, ...] | None = None,
        extra_script: str | tuple[str, ...] = "",
        setup: str | Sequence[str] = (),
        python_executable: str | None = None,
        mpiexec_executable: str | Sequence[str] | None = None,
        log_folder: str | os.PathLike[str] | None = None,
        kill_wait: TimeLike | None = None,
        state: str | os.PathLike[str] | None = None,
    ) -> None:
        most = optional(count(1))(max_cores, "max_cores")
        self.max_cores: int = most or os.cpu_count() or 1
        self.state = None
        if state is not None:
            self.state = str(Path(path(state, "state")).expanduser().absolute())
        super().__init__(
            cores, nodes=nodes, cores_per_node=cores_per_node, memory=memory, walltime=walltime,
            exclusive=exclusive, executor_type=executor_type, num_threads=num_threads,
            extra_scheduler=extra_scheduler, extra_env_vars=extra_env_vars,
            extra_script=extra_script, setup=setup, python_executable=python_executable,
            mpiexec_executable=mpiexec_executable, log_folder=log_folder, kill_wait=kill_wait,
        )  # fmt: skip

    def _described(self) -> dict[str, Any]:
        return {**super()._described(), "max_cores": self.max_cores}

    def _row(self, row: int) -> Resources:
        resources = super()._row(row)
        if resources.cores > self.max_cores:
            raise InputError(
                f"cores={resources.cores}: LocalScheduler has max_cores={self.max_cores}, so the "
                "job could never start. Ask for fewer cores, or set max_cores (it may be more "
                "than the machine has)."
            )
        return resources

    def _command(self, name: str, *words: str) -> list[str]:
        # -P: a json.py in the working directory must not be imported in place of Python's
        argv = [sys.executable, "-P", "-m", "adaptive_scheduler.localbatch", name]
        return [*argv, *([] if self.state is None else [f"--state={self.state}"]), *words]

    # ------------------------------------------------------------------ submit

    def header(self, job: JobRequest) -> list[str]:  # noqa: ARG002
        """No lines: everything is on the command line, where nothing needs quotes."""
        return []

    def submit_command(self, job: JobRequest, script: Path, n: int) -> list[str]:
        """One command submits all n jobs, or none of them."""
        resources = job.resources
        output = job.log_folder.rstrip("/").replace("%", "%%") + "/%j.out"
        cores = self.max_cores if resources.exclusive else resources.cores
        words = [
            f"--count={n}",
            f"--cores={cores}",
            f"--slots={self.max_cores}",
            f"--kill-wait={self.kill_wait:g}",
            f"--name={job.name}",
            f"--comment={job.tag}",
            f"--output={output}",
        ]
        if resources.walltime is not None:
            words.append(f"--walltime={resources.walltime}")
        return self._command("submit", *words, *resources.extra_scheduler, "--", str(script))

    def parse_submit(self, result: CommandResult, n: int) -> list[JobId]:
        """One id per line."""
        if result.rc < 0 or result.rc == _TIMED_OUT:
            raise NoObservation(f"{_error_text(result)}: the jobs may or may not be in the queue")
        if result.rc != 0:
            raise SubmitRefusedError(_error_text(result))
        ids = result.stdout.split()
        if len(ids) != n:
            raise NoObservation(f"{_error_text(result)}: {result.stdout!r} are not {n} ids")
        return [JobId(word) for word in ids]

    def refusal(self, result: CommandResult) -> Refusal:
        """Never LIMIT: the number of jobs has no limit."""
        if result.rc < 0 or result.rc in (_TRY_AGAIN, _TIMED_OUT):
            return Refusal.BUSY
        return Refusal.IMPOSSIBLE

    # --------------------------------------------------------------- the queue

    def queue_command(self) -> list[str]:
        """All jobs in the state folder, which belongs to one user."""
        return self._command("queue")

    def parse_queue(self, result: CommandResult) -> list[ListedJob]:
        """Jobs that wait or run; ended ones are not listed."""
        return [
            ListedJob(
                id=JobId(row["id"]),
                state=_STATES.get(row["state"], JobState.ALIVE),
                native_state=row["state"],
                name=row["name"],
                comment=row["comment"],
                nodes=tuple(row["nodes"]),
                reason=row["reason"],
                cause=QueueCause.RESOURCES,
            )
            for row in _rows(result)
        ]

    def cancel_commands(self, jobs: Sequence[JobId]) -> list[list[str]]:
        """Up to 1000 jobs per command."""
        return [
            self._command("cancel", "--", *jobs[first : first + 1000])
            for first in range(0, len(jobs), 1000)
        ]

    def parse_cancel(self, result: CommandResult) -> None:
        """Jobs that are gone already are no error, and not mentioned."""
        if result.rc != 0:
            raise SchedulerError(f"{_error_text(result)}: the jobs may still be there.")

    # ----------------------------------------------------------------- one job

    def history_command(self, jobs: Sequence[JobId]) -> list[str]:
        """How jobs ended is remembered for a day."""
        return self._command("history", "--", *jobs)

    def parse_history(self, result: CommandResult) -> list[Ending]:
        """The command prints the causes of `Ending`."""
        return [
            Ending(id=JobId(row["id"]), cause=row["cause"], detail=row["detail"])
            for row in _rows(result)
        ]

    def time_left_command(self, job: JobId) -> list[str]:
        """The job finds the state folder in its environment."""
        return self._command("time-left", "--", job)

    def parse_time_left(self, result: CommandResult) -> float | None:
        """Exact to a millisecond: the command reads the clock that ends the job."""
        text = result.stdout.strip()
        if result.rc != 0 or not text:
            raise NoObservation(_error_text(result))
        if text == "unlimited":
            return None
        try:
            return float(text)
        except ValueError:
            raise NoObservation(
                f"{_error_text(result)}: {text!r} is not a number of seconds"
            ) from None

    def own_id(self, environ: Mapping[str, str]) -> tuple[JobId, int] | None:
        """From ``LOCALBATCH_JOB_ID`` and ``LOCALBATCH_RESTART``."""
        job = environ.get("LOCALBATCH_JOB_ID")
        restart = environ.get("LOCALBATCH_RESTART", "")
        return (JobId(job), int(restart) if restart.isdecimal() else 0) if job else None

    def own_id_script(self) -> list[str]:
        """From the same variables."""
        return [
            'export ADAPTIVE_SCHEDULER_JOB="$LOCALBATCH_JOB_ID"',
            'export ADAPTIVE_SCHEDULER_RESTART="${LOCALBATCH_RESTART:-0}"',
        ]


def _error_text(result: CommandResult) -> str:
    lines = result.stderr.strip().splitlines() or ["localbatch: no message"]
    return f"{lines[-1]} (exit status {result.rc})"


def _rows(result: CommandResult) -> list[dict[str, Any]]:
    """Parse a complete answer; NoObservation if it is anything else."""
    if result.rc != 0:
        raise NoObservation(_error_text(result))
    try:
        *rows, last = [json.loads(line) for line in result.stdout.splitlines()]
        is_complete = last["rows"] == len(rows)
    except (ValueError, TypeError, KeyError) as error:
        raise NoObservation(f"localbatch printed no list of jobs: {error}") from None
    if not is_complete:
        raise NoObservation(f"localbatch printed {len(rows)} of {last['rows']} rows")
    return rows
