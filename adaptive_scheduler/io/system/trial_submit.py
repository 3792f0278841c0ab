"""Asks the batch system whether it would take the jobs of a run, without submitting any."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adaptive_scheduler.core.jobs.batch_jobs import JobRequest
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.core.times import length_text
from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.io.system.submit import Run, run_command
from adaptive_scheduler.schedulers.base import Scheduler


@dataclass(frozen=True)
class TrialSubmit:
    """What the batch system says to one kind of job.

    Attributes
    ----------
    resources : str
        What each job asks for.
    is_accepted : bool, optional
        None: it was not, or could not be asked.
    answer : str
        In its own words.
    """

    resources: str
    is_accepted: bool | None
    answer: str


def trial_submit(
    scheduler: Scheduler, request: JobRequest, text: str, run: Run = run_command
) -> TrialSubmit:
    """Ask about one job script; every error becomes an answer."""
    shape = _described(request.resources)
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "job.sh")
        script.write_bytes(os.fsencode(text))
        argv = scheduler.trial_command(request, script)
        if argv is None:
            return TrialSubmit(
                shape, None, f"{scheduler.name} cannot be asked without submitting a job"
            )
        try:
            result = run(argv)
        except AdaptiveSchedulerError as error:
            return TrialSubmit(shape, None, str(error))
    said = " ".join(f"{result.stdout} {result.stderr}".split())
    return TrialSubmit(shape, result.rc == 0, said or f"exit status {result.rc}")


def _described(has: Resources) -> str:
    """What a job asks for, in words."""
    parts = [counted(has.cores, "core")]
    if has.nodes:
        parts.append(counted(has.nodes, "node"))
    if has.gpus:
        parts.append(counted(has.gpus, "GPU"))
    if has.memory:
        parts.append(f"{has.memory} MiB")
    if has.walltime:
        parts.append(f"walltime {length_text(has.walltime)}")
    return ", ".join(parts)


def trial_submits(
    scheduler: Scheduler, requests: Sequence[tuple[JobRequest, str]], run: Run = run_command
) -> list[TrialSubmit]:
    """Ask about each job script."""
    return [trial_submit(scheduler, request, text, run) for request, text in requests]
