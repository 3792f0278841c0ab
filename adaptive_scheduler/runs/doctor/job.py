"""Tries the cluster with one small job: all that a run needs."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress

import msgspec

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.doctor.findings import Finding, fine, unknown, wrong
from adaptive_scheduler.core.doctor.jobs import OTHER_PYTHON, judge_death, judge_reports
from adaptive_scheduler.core.doctor.observations import Exchange, NodeReport
from adaptive_scheduler.core.doctor.refusals import judge_refusal, judge_wait
from adaptive_scheduler.core.jobs.batch_jobs import (
    JobId,
    JobRequest,
    JobState,
    ListedJob,
    expand_array_rows,
)
from adaptive_scheduler.core.jobs.commands import Submitted
from adaptive_scheduler.core.jobs.records import tag
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import TASK
from adaptive_scheduler.core.tasks.pools import Pool, check_pool
from adaptive_scheduler.core.wire.messages import Welcome, decode_request, encode_reply
from adaptive_scheduler.errors import AdaptiveSchedulerError, ProtocolError, SchedulerError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.pickling.callables_file import write_callables
from adaptive_scheduler.io.storage.run_config import write_config
from adaptive_scheduler.io.system.hosts import Hosts
from adaptive_scheduler.io.system.read_logs import job_output_tail
from adaptive_scheduler.io.system.submit import TIMEOUT, run_command, submit, write_script
from adaptive_scheduler.io.transport.addresses import Address, write_address
from adaptive_scheduler.io.transport.server import Server
from adaptive_scheduler.runs.doctor.cluster_check import ClusterCheck
from adaptive_scheduler.runs.start.environment import record_environment
from adaptive_scheduler.schedulers.base import Scheduler
from adaptive_scheduler.schedulers.job_script import job_script

#: The walltime of the job, if more was asked for (seconds).
WALLTIME = 600
#: Seconds between two looks for reports, and between two listings of the queue.
_LOOK, _LISTING = 0.2, 1.5
#: What the job script says when the job's processes have failed: it would try them again.
_CLIENT_DIED = "[adaptive_scheduler] The client ended with status"
#: What the job runs; its failures to import are seen in its output. Any Python, 2 too, can read it.
_SCRIPT = f"""\
import sys
here, there = {tuple(sys.version_info[:2])}, tuple(sys.version_info[:2])
if __name__ == '__main__':
    if there != here:
        words = "{OTHER_PYTHON}Python %d.%d (%s) in place of %d.%d\\n"
        sys.stderr.write(words % (there + (sys.executable,) + here))
        sys.stderr.flush()
    from adaptive_scheduler.client.check import main
    main()
"""


def look_with_job(trial: ClusterCheck) -> list[Finding]:
    """Try everything with one job; it and its folder are gone afterwards."""
    home = trial.folder / f"adaptive-scheduler-check-{secrets.token_hex(4)}"
    try:
        return _with_job(trial, RunFolder(home))
    except AdaptiveSchedulerError as error:
        return [unknown("submit", str(error))]
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _with_job(trial: ClusterCheck, folder: RunFolder) -> list[Finding]:
    folder.home.mkdir(parents=True)
    files.private_folder(folder.folder)
    config = _write_run(trial, folder)
    server = Server(folder, None, trial.interface, trial.ports)
    address = Address(server.urls, server.server_key, os.uname().nodename, os.getpid(), config.run)
    write_address(folder, address)
    answers = Answers(server, config)
    answers.start()
    try:
        return _submit_and_wait(trial, folder, config, answers.heard)
    finally:
        answers.stop()
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


class Answers(threading.Thread):
    """Answers each request with a `Welcome`, and keeps when it did.

    Attributes
    ----------
    heard : dict
        For each process that asked, when its first question came and was answered.
    """

    def __init__(self, server: Server, config: RunConfig) -> None:
        super().__init__(name="answers", daemon=True)
        self.heard: dict[str, Exchange] = {}
        self._server, self._stopping = server, threading.Event()
        timing = config.timing
        self._welcome = Welcome(config.run, timing.beat, timing.lease, timing.idle)

    def run(self) -> None:
        """Answer until `stop`."""
        begun = time.time()
        while not self._stopping.is_set():
            for connection, message in self._server.receive(0.2):
                with suppress(ProtocolError):
                    sender, number, _ = decode_request(message)
                    self._server.send(connection, encode_reply(number, self._welcome))
                    self.heard.setdefault(sender.uuid, Exchange(begun, time.time()))
            begun = time.time()

    def stop(self) -> None:
        """Stop answering."""
        self._stopping.set()
        self.join(TIMEOUT)


# ------------------------------------------------------------------------ the job


def _submit_and_wait(
    trial: ClusterCheck, folder: RunFolder, config: RunConfig, heard: Mapping[str, Exchange]
) -> list[Finding]:
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
        return [judge_refusal(result.reason, "submit")]
    job = JobId(result.jobs[0])
    trial.report(f"Job {job} is submitted.")
    try:
        end = _wait(trial, folder, config, job)
    finally:
        _cancel(scheduler, job)
    submitted = fine("submit", f"job {job}")
    if end is not None:
        return [submitted, end]
    ran = fine("job", "it ran; the next lines are its results")
    return [submitted, ran, *judge_reports(_reports(folder), heard)]


def _wait(trial: ClusterCheck, folder: RunFolder, config: RunConfig, job: JobId) -> Finding | None:
    """Wait until the job's processes have written their reports; return why they will not."""
    deadline = time.monotonic() + trial.timeout
    gone_at: float | None = None
    shown = ""
    next_look = 0.0
    while (now := time.monotonic()) < deadline:
        if _reports(folder):
            return None
        if now < next_look:
            time.sleep(_LOOK)
            continue
        next_look = now + _LISTING
        listed = _listed(trial.scheduler, job)
        gone_at = None if listed else gone_at or now
        gone = gone_at is not None and now - gone_at > trial.visible
        if gone or _CLIENT_DIED in (job_output_tail(config.log_folder, job) or ""):
            return _died(trial.scheduler, config, job)
        if listed is not None and (state := _state(listed)) != shown:
            shown = state
            trial.report(f"Job {job}: {state}")
        if listed is not None and (why := judge_wait(shown, listed.reason, listed.remedy)):
            return why
    output = job_output_tail(config.log_folder, job) or "it is empty."
    state = shown or f"job {job} cannot be seen in the queue"
    return wrong("job-waits", seconds=trial.timeout, state=state, output=output)


def _state(listed: ListedJob) -> str:
    return f"{listed.native_state} {listed.reason}".rstrip()


def _reports(folder: RunFolder) -> list[NodeReport]:
    """Read the reports of the job's processes: of several if an MPI world fell apart."""
    found = [path.read_bytes() for path in sorted(folder.folder.glob("found-*.json"))]
    return [msgspec.json.decode(data, type=NodeReport) for data in found]


def _listed(scheduler: Scheduler, job: JobId) -> ListedJob | None:
    """The job's row; None if it is gone. A look that fails counts as one that shows it."""
    try:
        result = run_command(scheduler.queue_command())
        rows = [row for row in scheduler.parse_queue(result) if row.state is not JobState.ENDED]
    except SchedulerError as error:
        return ListedJob(job, JobState.ALIVE, "unknown", reason=str(error))
    return next((row for row in rows if row.id == job), None)


def _died(scheduler: Scheduler, config: RunConfig, job: JobId) -> Finding:
    return judge_death(
        job, job_output_tail(config.log_folder, job), _cause(scheduler, job),
        scheduler.python_executable, config.log_folder,
    )  # fmt: skip


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
