"""Managers that a person runs: in the foreground, or as a job."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from adaptive_scheduler.commandline.running import quoted, say
from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.jobs.batch_jobs import JobRequest
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources, parse_walltime
from adaptive_scheduler.errors import RunError
from adaptive_scheduler.io.pickling.callables_file import read_callable
from adaptive_scheduler.io.storage import files
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.io.system import commands
from adaptive_scheduler.runs.manager_client import ManagerClient
from adaptive_scheduler.schedulers.base import Scheduler

#: Seconds that one submit may take.
_TIMEOUT = 60.0


def serve(folder: RunFolder) -> int:
    """Be the manager of a run until it is over; returns the exit code."""
    from adaptive_scheduler.manager.__main__ import main

    _refuse_second(folder)
    say(
        f"Managing {folder.database}; events go to {folder.manager_log}. Ctrl-C ends the manager only."
    )
    return main(str(folder))


def submit(folder: RunFolder, walltime: str | None) -> int:
    """Submit a manager as a job of the run's own batch system; returns the exit code."""
    _refuse_second(folder)
    config = read_config(folder)
    scheduler: Scheduler = read_callable(folder.callables, "scheduler")
    seconds = parse_walltime(walltime, "--walltime")
    request = manager_request(config, seconds)
    script = folder.folder / "manager.sh"
    Path(config.log_folder).mkdir(parents=True, exist_ok=True)
    files.write_atomically(
        script, os.fsencode(manager_script(scheduler, request, folder)), mode=0o700
    )
    result = commands.run(scheduler.submit_command(request, script, 1), _TIMEOUT)
    job = scheduler.parse_submit(result, 1)[0]
    say(
        f"The manager is job {job}. When it runs, it shows in: adaptive-scheduler status {quoted(folder)}"
    )
    return 0


def _refuse_second(folder: RunFolder) -> None:
    with ManagerClient(folder) as viewer:
        if viewer.lives():
            raise RunError(f"{folder.home}: a manager of this run lives already; see its status.")


def manager_request(config: RunConfig, walltime: int | None) -> JobRequest:
    """One core, where the run's jobs go, without the mark of the run's jobs."""
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
