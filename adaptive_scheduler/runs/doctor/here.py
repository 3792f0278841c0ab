"""Checks on this machine, before any job."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping

from adaptive_scheduler.core.doctor.findings import Finding, fine, wrong
from adaptive_scheduler.core.doctor.folders import judge_folders
from adaptive_scheduler.core.doctor.machine import (
    judge_addresses,
    judge_host,
    judge_launcher,
    judge_profile,
)
from adaptive_scheduler.core.doctor.refusals import judge_silence
from adaptive_scheduler.core.rows.row import TASK
from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.errors import InputError, SchedulerError
from adaptive_scheduler.executors.registry import launcher_for
from adaptive_scheduler.io.doctor.folders import try_new_folder
from adaptive_scheduler.io.doctor.machine import see_host, see_launcher, try_profile
from adaptive_scheduler.io.system import commands
from adaptive_scheduler.io.transport.addresses import free_url, host_addresses
from adaptive_scheduler.runs.doctor.cluster_check import ClusterCheck
from adaptive_scheduler.runs.doctor.guard import Found, make_checks
from adaptive_scheduler.runs.doctor.request import try_request

#: Seconds that a list of one's jobs may take: a controller that takes longer is no good for a run.
_LISTING = 20.0


def look_here(trial: ClusterCheck, *, job: bool = True) -> list[Finding]:
    """Make all checks that need no job that runs; without `job` none is submitted."""
    programs = _programs(trial)
    checks: Mapping[str, Callable[[], Found]] = {
        "profile": lambda: judge_profile(try_profile()),
        "host": lambda: judge_host(see_host()),
        "address": lambda: _address(trial),
        **({"launcher": lambda: _launcher(trial)} if _uses_mpi(trial) else {}),
        "folder": lambda: _folders(trial),
        **({"batch-system": lambda: _queue(trial)} if programs.ok else {}),
    }
    found = [programs, *make_checks(checks)]
    answers = programs.ok and all(one.ok for one in found if one.check == "batch-system")
    if answers:
        asked = {"request": lambda: try_request(trial, held=job)}
        found += make_checks(asked, to_the_end=True)
    return found


def _programs(trial: ClusterCheck) -> Finding:
    scheduler = trial.scheduler
    missing = [program for program in scheduler.programs if shutil.which(program) is None]
    if missing:
        return wrong("programs-missing", programs=", ".join(missing))
    return fine("programs", f"{scheduler.name}: all are here")


def _address(trial: ClusterCheck) -> Finding:
    try:
        addresses = host_addresses(trial.interface)
    except InputError as error:
        known = str(error).partition("Choose one of ")[2].rstrip(".")
        return wrong("interface-missing", interface=trial.interface, known=known)
    try:
        free_url(trial.interface, trial.ports)
    except InputError:
        return wrong("ports-taken", ports=trial.ports)
    return judge_addresses(addresses, is_local=trial.scheduler.name == "local")


def _uses_mpi(trial: ClusterCheck) -> bool:
    scheduler, kind = trial.scheduler, trial.resources.executor_type
    return (
        trial.kind != TASK
        and trial.resources.cores > 1
        and launcher_for(kind, scheduler.executor_callables).uses_launcher
    )


def _launcher(trial: ClusterCheck) -> list[Finding]:
    argv = trial.scheduler.launcher(trial.resources)
    return judge_launcher(see_launcher(argv, trial.scheduler.python_executable))


def _folders(trial: ClusterCheck) -> list[Finding]:
    folders = list(dict.fromkeys([trial.folder, trial.data_folder]))
    return judge_folders("folder", [try_new_folder(folder) for folder in folders])


def _queue(trial: ClusterCheck) -> Finding:
    result = commands.run(trial.scheduler.queue_command(), _LISTING)
    try:
        jobs = trial.scheduler.parse_queue(result)
    except SchedulerError as error:
        return judge_silence(result.stderr.strip() or str(error))
    return fine(
        "batch-system", f"{trial.scheduler.name} lists {counted(len(jobs), 'job')} of yours"
    )
