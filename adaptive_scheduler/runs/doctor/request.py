"""Asks the batch system whether it would take the job that is wanted, with its whole walltime."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import structs

from adaptive_scheduler.core.doctor.findings import Finding, fine, unknown, wrong
from adaptive_scheduler.core.doctor.refusals import OVER_LIMITS, judge_refusal, plain
from adaptive_scheduler.core.jobs.batch_jobs import CommandResult, JobId, JobRequest, JobState
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.errors import SchedulerError
from adaptive_scheduler.io.system.hosts import Hosts
from adaptive_scheduler.io.system.submit import run_command
from adaptive_scheduler.runs.doctor.cluster_check import ClusterCheck
from adaptive_scheduler.schedulers.base import Scheduler

#: A walltime that every queue allows (seconds).
SHORT = 60
#: The tag of jobs that are held; no run has it.
_TAG = "check"


def try_request(trial: ClusterCheck, *, held: bool) -> list[Finding]:
    """Ask; a batch system that cannot be asked gets a job that is held, unless that is not wanted."""
    scheduler, resources = trial.scheduler, trial.resources
    with tempfile.TemporaryDirectory() as place:
        script = Path(place, "check.sh")
        request = _write(scheduler, resources, script)
        if argv := scheduler.trial_command(request, script):
            return [_judge_test(run_command(argv))]
        if not held or not (argv := scheduler.held_command(request, script)):
            return []
        _cancel_left(scheduler)
        found = _submit_held(scheduler, argv)
        if found.fault == OVER_LIMITS and (resources.walltime or 0) > SHORT:
            short = structs.replace(resources, walltime=SHORT)
            argv = scheduler.held_command(_write(scheduler, short, script), script)
            if argv and _submit_held(scheduler, argv).ok:
                why = found.found.partition(": ")[2]
                return [wrong("walltime-too-long", why=why)]
        return [found]


def _write(scheduler: Scheduler, resources: Resources, script: Path) -> JobRequest:
    """Write a script that asks for these resources, and does nothing."""
    hosts = Hosts(scheduler, run_command).of(resources)
    request = JobRequest(
        "adaptive-scheduler-check", _TAG, resources, os.devnull, hosts=tuple(hosts)
    )
    lines = ["#!/bin/bash", *scheduler.header(request), "true", ""]
    script.write_bytes(os.fsencode("\n".join(lines)))
    return request


def _judge_test(result: CommandResult) -> Finding:
    words = (result.stderr.strip() or result.stdout.strip()).removeprefix("sbatch: ")
    return fine("request", words) if result.rc == 0 else judge_refusal(words, "request")


def _submit_held(scheduler: Scheduler, argv: Sequence[str]) -> Finding:
    """Submit a job that does not start, and cancel it."""
    try:
        (job,) = scheduler.parse_submit(run_command(argv), 1)
    except SchedulerError as error:
        return judge_refusal(str(error), "request")
    try:
        _cancel(scheduler, job)
    except SchedulerError as error:
        return unknown(
            "request", f"job {job}, which is held, was not cancelled: {plain(str(error))}",
            f"Cancel it: {' '.join(scheduler.cancel_commands([job])[0])}",
        )  # fmt: skip
    return fine("request", f"it would be taken: job {job} was, held, and is cancelled")


def _cancel_left(scheduler: Scheduler) -> None:
    """Cancel what is held since an earlier one was killed: it would stay in the queue for ever."""
    with suppress(SchedulerError):
        for row in scheduler.parse_queue(run_command(scheduler.queue_command())):
            if row.comment == _TAG and row.state is not JobState.ENDED:
                _cancel(scheduler, row.id)


def _cancel(scheduler: Scheduler, job: JobId) -> None:
    for command in scheduler.cancel_commands([job]):
        scheduler.parse_cancel(run_command(command))
