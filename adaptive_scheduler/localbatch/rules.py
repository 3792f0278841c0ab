"""The decisions of the batch system, as pure functions."""

from __future__ import annotations

import enum
import re
import signal
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Spec(NamedTuple):
    """The request of one submit, the same for all tasks of an array."""

    name: str
    comment: str
    cores: int
    walltime: float | None  # seconds
    kill_wait: float  # seconds from SIGTERM to SIGKILL
    chdir: str
    output: str  # %A submit, %a task, %j job id, %% a percent sign
    environ: dict[str, str]
    umask: int


class BatchJob(NamedTuple):
    """One task, as stored in the database. Times are seconds of the monotonic clock."""

    submit: int
    task: int  # -1 for a submit of one job
    state: str  # pending | running | ended
    cores: int
    walltime: float | None
    kill_wait: float
    restart: int
    wanted: str | None  # why a running job must end: timeout | cancel | requeue
    started: float | None
    signalled: float | None  # when SIGTERM was sent
    boot: str | None  # the boot of the machine that it was started in

    @property
    def id(self) -> str:
        """``12`` or, for a task of an array, ``12_3``."""
        return f"{self.submit}" if self.task < 0 else f"{self.submit}_{self.task}"

    def time_left(self, now: float) -> float | None:
        """Seconds until the walltime, never below 0; None for no limit."""
        if self.walltime is None or self.started is None:
            return self.walltime
        return max(0.0, self.started + self.walltime - now)


class Step(enum.Enum):
    """What the server has to do with a running job."""

    WAIT = "wait"
    TERMINATE = "terminate"  # SIGTERM to all its processes
    KILL = "kill"  # SIGKILL to all its processes


def parse_id(text: str) -> tuple[int, int | None] | None:
    """``12_3`` -> (12, 3); ``12`` -> (12, None), all tasks; None if `text` is not an id."""
    match = re.fullmatch(r"(\d{1,18})(?:_(\d{1,18}))?", text, re.ASCII)
    if match is None:
        return None
    return int(match[1]), None if match[2] is None else int(match[2])


def next_step(job: BatchJob, now: float) -> tuple[Step, str | None]:
    """The next step for a job with live processes, and the reason why it must end."""
    if job.signalled is not None:
        overdue = now - job.signalled >= job.kill_wait
        return (Step.KILL if overdue else Step.WAIT), job.wanted
    if job.wanted is not None:
        return Step.TERMINATE, job.wanted
    if job.time_left(now) == 0:
        return Step.TERMINATE, "timeout"
    return Step.WAIT, None


def may_linger(job: BatchJob, now: float) -> bool:
    """Whether processes that outlive their job's script are left running for now.

    If the job was told to end, they have the rest of its kill wait; if its script ended by itself,
    they have no time.
    """
    return job.signalled is not None and now - job.signalled < job.kill_wait


def next_event(jobs: Iterable[BatchJob], now: float) -> float:
    """Seconds until the first walltime or SIGKILL of these jobs; infinity if there is none."""
    waits = [float("inf")]
    for job in jobs:
        if job.signalled is not None:
            waits.append(job.signalled + job.kill_wait - now)
        elif job.walltime is not None and job.started is not None:
            waits.append(job.started + job.walltime - now)
    return max(0.0, min(waits))


def startable(
    pending: Sequence[BatchJob], running: Iterable[BatchJob], slots: int
) -> list[BatchJob]:
    """The jobs to start now, strictly in the order of the queue.

    A job that became too large because the number of slots was reduced starts when nothing else
    runs, so it does not block the queue for ever.
    """
    used = sum(job.cores for job in running)
    chosen: list[BatchJob] = []
    for job in pending:
        if used and used + job.cores > slots:
            break
        used += job.cores
        chosen.append(job)
    return chosen


def ending(job: BatchJob, record: str, boot: str) -> tuple[str | None, int | None, str]:
    """Cause, exit code and a sentence for a job whose lock is free.

    Parameters
    ----------
    record : str
        What the job's watcher wrote: "", or ``started PID``, then ``exit CODE``.
    boot : str
        The id of this boot of the machine.

    Returns
    -------
    tuple
        The cause is None if the job goes back into the queue.
    """
    words = record.split()
    code = int(words[3]) if len(words) == 4 else None
    if job.wanted == "requeue":
        return None, code, "requeued"
    if job.wanted == "cancel":
        return "cancelled", code, "cancelled by its user"
    if job.wanted == "timeout":
        return "timeout", code, f"the walltime of {job.walltime:g} s was over"
    if code is not None:
        return ("completed" if code == 0 else "failed"), code, _exit_text(code)
    if job.boot != boot:
        return "node_fail", None, "the machine was restarted"
    if not words:
        return None, None, "never started"
    return "failed", None, "its watcher was killed, so its exit code is not known"


def _exit_text(code: int) -> str:
    try:
        return f"exit code {code} ({signal.Signals(code - 128).name})"
    except ValueError:
        return f"exit code {code}"


def interpreter(script: bytes) -> list[str]:
    """The program that reads a script, from its ``#!`` line; ``/bin/sh`` without one."""
    first = script.partition(b"\n")[0]
    if not first.startswith(b"#!"):
        return ["/bin/sh"]
    # as Linux does: one program, and the rest as one argument
    words = first[2:].decode(errors="surrogateescape").strip().split(None, 1)
    return words or ["/bin/sh"]


def output_path(spec: Spec, job: BatchJob) -> str:
    """Where the job's output goes: absolute, with its ``%`` patterns filled in."""
    values = {"A": str(job.submit), "a": str(max(job.task, 0)), "j": job.id, "%": "%"}
    path = re.sub(r"%([Aaj%])", lambda match: values[match[1]], spec.output)
    return path if path.startswith("/") else f"{spec.chdir.rstrip('/')}/{path}"
