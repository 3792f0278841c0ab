"""Try the cluster with one small job: all that a run needs."""

from __future__ import annotations

import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from adaptive_scheduler.core.check_results import CheckResult, merge
from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.jobs.batch_jobs import (
    JobId,
    JobRequest,
    JobState,
    ListedJob,
    expand_array_rows,
)
from adaptive_scheduler.core.jobs.commands import Submitted
from adaptive_scheduler.core.jobs.outputs import PROFILE, explain_death
from adaptive_scheduler.core.jobs.records import tag
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import LEARNER, TASK
from adaptive_scheduler.core.tasks.pools import Pool, check_pool
from adaptive_scheduler.core.wire.messages import Welcome, decode_request, encode_reply
from adaptive_scheduler.errors import (
    AdaptiveSchedulerError,
    ProtocolError,
    SchedulerError,
)
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.pickling.callables_file import write_callables
from adaptive_scheduler.io.storage.run_config import write_config
from adaptive_scheduler.io.system.hosts import Hosts
from adaptive_scheduler.io.system.probe import try_folder
from adaptive_scheduler.io.system.read_logs import job_output_tail
from adaptive_scheduler.io.system.submit import TIMEOUT, run_command, submit, write_script
from adaptive_scheduler.io.transport.addresses import Address, write_address
from adaptive_scheduler.io.transport.server import Server
from adaptive_scheduler.runs.start.environment import record_environment
from adaptive_scheduler.schedulers.base import Scheduler
from adaptive_scheduler.schedulers.job_script import job_script

#: The walltime of the job, if more was asked for (seconds).
WALLTIME = 600
#: Seconds between two listings of the queue.
_LOOK = 1.0
#: Seconds that a shared file system may take to show what a node wrote.
_VISIBLE = 30.0
#: What the job script says when the job's processes have failed: it would try them again.
_CLIENT_DIED = "[adaptive_scheduler] The client ended with status"
#: What the job runs; its failures to import are seen in its output.
_SCRIPT = (
    "if __name__ == '__main__':\n    from adaptive_scheduler.client.check import main\n    main()\n"
)


@dataclass
class ClusterCheck:
    """A check: with which scheduler, and where.

    Attributes
    ----------
    scheduler : Scheduler
    resources : Resources
        Of the job; its walltime is cut to `WALLTIME`.
    folder : Path
        Where the run's folder would be: the check makes a folder of its own in it,
        and removes it.
    data_folder : Path
        Where data would be saved.
    timeout : float
        Seconds that the job has to wait in the queue and to run.
    interface, ports : str, optional
        Where to listen.
    report : callable
        Called with a line of text when something happens.
    kind : str
        For ``learner`` or ``task``: jobs of a pool need no MPI.
    """

    scheduler: Scheduler
    resources: Resources
    folder: Path
    data_folder: Path
    timeout: float = 600.0
    interface: str | None = None
    ports: str | None = None
    report: Callable[[str], None] = field(default=lambda _: None)
    kind: str = LEARNER


def check(trial: ClusterCheck) -> list[CheckResult]:
    """Try everything with one job.

    Returns
    -------
    list of CheckResult
        One for each thing, with what to do about those that failed.
    """
    before = [_programs(trial.scheduler), _tried("writing here", lambda: _writing(trial))]
    if not all(finding.ok for finding in before):
        return before
    home = trial.folder / f"adaptive-scheduler-check-{secrets.token_hex(4)}"
    try:
        return [*before, *_with_job(trial, RunFolder(home))]
    except AdaptiveSchedulerError as error:
        return [*before, CheckResult("starting the check", False, str(error))]
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _programs(scheduler: Scheduler) -> CheckResult:
    missing = [program for program in scheduler.programs if shutil.which(program) is None]
    if not missing:
        return CheckResult("the batch system's programs", True, f"{scheduler.name}: all are here")
    return CheckResult(
        "the batch system's programs", False, f"missing: {', '.join(missing)}",
        "They are not on PATH: run this on a host of the cluster (a login node), load its module, "
        "or choose another --scheduler.",
    )  # fmt: skip


def _writing(trial: ClusterCheck) -> str:
    for folder in dict.fromkeys([trial.folder, trial.data_folder]):
        with files.naming(folder):
            folder.mkdir(parents=True, exist_ok=True)
        try_folder(folder)
    return f"{trial.folder}, {trial.data_folder}"


def _tried(what: str, attempt: Callable[[], str]) -> CheckResult:
    try:
        return CheckResult(what, True, attempt())
    except AdaptiveSchedulerError as error:
        remedy = "Choose a folder that you may write to, on a file system that the nodes share."
        return CheckResult(what, False, str(error), remedy)


def _with_job(trial: ClusterCheck, folder: RunFolder) -> list[CheckResult]:
    folder.home.mkdir(parents=True)
    files.private_folder(folder.folder)
    config = _write_run(trial, folder)
    server = Server(folder, None, trial.interface, trial.ports)
    address = Address(server.urls, server.server_key, os.uname().nodename, os.getpid(), config.run)
    write_address(folder, address)
    stopping = threading.Event()
    answering = threading.Thread(target=_answer, args=(server, config, stopping), daemon=True)
    answering.start()
    try:
        return _submit_and_wait(trial, folder, config)
    finally:
        stopping.set()
        answering.join(TIMEOUT)
        server.close()


def _write_run(trial: ClusterCheck, folder: RunFolder) -> RunConfig:
    script = folder.folder / "check.py"
    log_folder = trial.scheduler.log_folder or str(folder.logs)
    here = msgspec.structs.replace(record_environment(), cwd=str(trial.data_folder.absolute()))
    walltime = min(trial.resources.walltime or WALLTIME, WALLTIME)
    shape = msgspec.structs.replace(trial.resources, walltime=walltime)
    if trial.kind == TASK:
        shape = check_pool(Pool(name="check", resources=shape)).resources
    config = RunConfig(
        run=f"check{secrets.token_hex(4)}",
        shapes=[shape],
        job_names=["adaptive-scheduler-check"],
        log_folder=os.path.abspath(log_folder),  # noqa: PTH100  links stay links
        environment=here,
        run_script=str(script),
        kind=trial.kind,
    )
    files.write_atomically(script, _SCRIPT.encode())
    write_config(folder, config)
    write_callables(folder.callables, {"executors": trial.scheduler.executor_callables})
    return config


def _answer(server: Server, config: RunConfig, stopping: threading.Event) -> None:
    """Answer each request with a `Welcome`, until `stopping` is set."""
    timing = config.timing
    welcome = Welcome(config.run, timing.beat, timing.lease, timing.idle)
    while not stopping.is_set():
        for connection, message in server.receive(0.2):
            with suppress(ProtocolError):
                _, number, _ = decode_request(message)
                server.send(connection, encode_reply(number, welcome))


# ------------------------------------------------------------------------ the job


def _submit_and_wait(
    trial: ClusterCheck, folder: RunFolder, config: RunConfig
) -> list[CheckResult]:
    scheduler = trial.scheduler
    hosts = Hosts(scheduler, run_command).of(config.shapes[0])
    request = JobRequest(
        config.job_names[0], tag(config.run, 0), config.shapes[0], config.log_folder, hosts=hosts
    )
    text = job_script(scheduler, request, config, folder, 0)
    script = folder.folder / "check.sh"
    write_script(request, script, text)
    result = submit(scheduler, request, script)
    if not isinstance(result, Submitted):
        remedy = "These are the batch system's own words: change the options that it names."
        return [CheckResult("submitting a job", False, result.reason, remedy)]
    job = JobId(result.jobs[0])
    trial.report(f"Job {job} is submitted.")
    try:
        return [
            CheckResult("submitting a job", True, f"job {job}"),
            *_wait(trial, folder, config, job),
        ]
    finally:
        _cancel(scheduler, job)


def _wait(
    trial: ClusterCheck, folder: RunFolder, config: RunConfig, job: JobId
) -> list[CheckResult]:
    """Wait until the job's processes have written their results, or will not write any."""
    deadline = time.monotonic() + trial.timeout
    gone_at: float | None = None
    shown = ""
    while time.monotonic() < deadline:
        if found := _found(folder):
            return [
                CheckResult("running the job", True, "it ran; the next lines are its results"),
                *found,
            ]
        listed = _listed(trial.scheduler, job)
        gone_at = None if listed else gone_at or time.monotonic()
        gone = gone_at is not None and time.monotonic() - gone_at > _VISIBLE
        if gone or _CLIENT_DIED in (job_output_tail(config.log_folder, job) or ""):
            return [_died(trial.scheduler, config, job)]
        if listed is not None and (state := f"{listed.native_state} {listed.reason}") != shown:
            shown = state
            trial.report(f"Job {job}: {state}".rstrip())
        if listed is not None and listed.remedy:
            return [
                CheckResult("running the job", False, f"it will not start: {state}", listed.remedy)
            ]
        time.sleep(_LOOK)
    return [_late(trial, config, job, shown)]


def _late(trial: ClusterCheck, config: RunConfig, job: JobId, state: str) -> CheckResult:
    return CheckResult(
        "running the job", False, state.rstrip() or f"job {job} cannot be seen in the queue",
        f"It did not end within {trial.timeout:.0f} s. If it waits in the queue, give more time "
        f"(--timeout 1h); if it ran, its output says more: {job_output_tail(config.log_folder, job) or 'it is empty.'}",
    )  # fmt: skip


def _found(folder: RunFolder) -> list[CheckResult]:
    """Read the results of the job's processes: of several if an MPI world fell apart."""
    reports = [path.read_bytes() for path in sorted(folder.folder.glob("found-*.json"))]
    return merge([f for data in reports for f in msgspec.json.decode(data, type=list[CheckResult])])


def _listed(scheduler: Scheduler, job: JobId) -> ListedJob | None:
    """The job's row; None if it is gone. A look that fails counts as one that shows it."""
    try:
        result = run_command(scheduler.queue_command())
        rows = [row for row in scheduler.parse_queue(result) if row.state is not JobState.ENDED]
    except SchedulerError as error:
        return ListedJob(job, JobState.ALIVE, "unknown", reason=str(error))
    return next((row for row in rows if row.id == job), None)


def _died(scheduler: Scheduler, config: RunConfig, job: JobId) -> CheckResult:
    output = job_output_tail(config.log_folder, job)
    if output is None:
        remedy = (
            f"It has no output in {config.log_folder}: the nodes cannot write there, or cannot see "
            "this folder. Choose a folder on a shared file system (--folder), or --log-folder. "
            f"If they can: {PROFILE}."
        )
    else:
        words = explain_death(job, output, _cause(scheduler, job))
        remedy = words or f"The last lines of its output: {output}"
    return CheckResult("running the job", False, f"job {job} ended without results", remedy)


def _cause(scheduler: Scheduler, job: JobId) -> str:
    """How a job ended; "" if the batch system does not report it."""
    argv = scheduler.history_command([job])
    if argv is None:
        return ""
    with suppress(SchedulerError):
        endings = expand_array_rows(scheduler.parse_history(run_command(argv)), [job])
        return next((ending.cause for ending in endings if ending.id == job), "")
    return ""


def _cancel(scheduler: Scheduler, job: JobId) -> None:
    """Cancel the job; it is no error if that has ended already."""
    for argv in scheduler.cancel_commands([job]):
        with suppress(SchedulerError):
            scheduler.parse_cancel(run_command(argv))
