"""A manager as a job of the run's own batch system: ``manager --as-job``."""

from __future__ import annotations

import os
import shlex

from adaptive_scheduler.commandline.output import exit_codes
from adaptive_scheduler.commandline.output.dry_run import print_trials, trials_as_json
from adaptive_scheduler.commandline.output.json_lines import print_result
from adaptive_scheduler.commandline.output.terminal import print_line, quoted
from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.jobs.batch_jobs import JobRequest
from adaptive_scheduler.core.jobs.commands import Submitted, SubmitUnknown
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources, parse_walltime
from adaptive_scheduler.errors import NoObservation, SubmitRefusedError
from adaptive_scheduler.io.pickling.callables_file import read_callable
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.io.system import submit as batch
from adaptive_scheduler.io.system.trial_submit import trial_submit
from adaptive_scheduler.schedulers.base import Scheduler


def submit(folder: RunFolder, walltime: str | None, *, dry_run: bool) -> int:
    """Submit a manager as a job of the run's own batch system, or show its script."""
    config = read_config(folder)
    scheduler: Scheduler = read_callable(folder.callables, "scheduler")
    seconds = parse_walltime(walltime, "--walltime")
    request = manager_request(config, seconds)
    text = manager_script(scheduler, request, folder)
    if dry_run:
        print_line(text)
        trials = [trial_submit(scheduler, request, text)]
        _print_for_programs(folder, None, text, trials_as_json(trials))
        return print_trials(trials)
    script = folder.folder / "manager.sh"
    batch.write_script(request, script, text)
    result = batch.submit(scheduler, request, script)
    if isinstance(result, SubmitUnknown):
        raise NoObservation(
            f"Whether the manager was submitted is unknown ({result.reason}): look at the queue "
            "before you submit it again."
        )
    if not isinstance(result, Submitted):
        raise SubmitRefusedError(f"The manager was not submitted: {result.reason}")
    print_line(
        f"The manager is job {result.jobs[0]}. Once that has started, it is shown by: "
        f"adaptive-scheduler status {quoted(folder)}"
    )
    _print_for_programs(folder, result.jobs[0], None, [])
    return exit_codes.DONE


def _print_for_programs(
    folder: RunFolder, job: str | None, script: str | None, trials: list[dict[str, object]]
) -> None:
    print_result(
        "manager", dry_run=job is None, folder=folder.home, log=folder.manager_log, job=job,
        job_script=script, trials=trials,
    )  # fmt: skip


def manager_request(config: RunConfig, walltime: int | None) -> JobRequest:
    """Ask for one core where the run's jobs go; not marked as one of the run's jobs."""
    shape = config.shapes[0]
    resources = Resources(
        walltime=walltime,
        partition=shape.partition,
        extra_scheduler=shape.extra_scheduler,
        extra_env_vars=shape.extra_env_vars,
        executor_type="sequential",
    )
    name = f"{config.job_names[0]}-manager"
    return JobRequest(name, f"as-manager:{config.run}", resources, config.log_folder)


def manager_script(scheduler: Scheduler, request: JobRequest, folder: RunFolder) -> str:
    """The text of the job script; every value in it is quoted."""
    exports = dict(request.resources.extra_env_vars)
    command = [
        scheduler.python_executable,
        "-P",
        "-m",
        "adaptive_scheduler.manager",
        os.fspath(folder),
    ]
    lines = [
        "#!/bin/bash -l",
        *scheduler.header(request),
        *scheduler.output_script(request),
        *scheduler.setup,
        *(f"export {key}={shlex.quote(value)}" for key, value in exports.items()),
        f"exec {shlex.join(command)}",
    ]
    return "\n".join(lines) + "\n"
