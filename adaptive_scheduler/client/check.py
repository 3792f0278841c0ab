"""The job of ``adaptive-scheduler check``: tries, on a node, what a client needs."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from adaptive_scheduler.client import job_environment
from adaptive_scheduler.client.job_environment import JobEnvironment
from adaptive_scheduler.client.tasks.head.allocation import are_bound, of_job
from adaptive_scheduler.core.check_results import CheckResult
from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import TASK
from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.core.wire.messages import Hello
from adaptive_scheduler.errors import AdaptiveSchedulerError, RunError
from adaptive_scheduler.executors.registry import launcher_for
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.pickling.callables_file import read_callable
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.io.system.probe import try_folder
from adaptive_scheduler.io.transport.addresses import read_address
from adaptive_scheduler.io.transport.connection import Connection

#: Seconds that one address of the manager's host has for its answer.
_PATIENCE = 5.0
#: Seconds that the workers have for their first answer.
_POOL_PATIENCE = 60.0


def main() -> None:
    """Try everything; write the results to the run folder, one file for each process."""
    job = JobEnvironment.of(os.environ)
    folder = job_environment.run_folder(os.environ)
    if folder is None:
        raise RunError("$ADAPTIVE_SCHEDULER_RUN is not set: a job script starts this.")
    config = read_config(folder)
    findings = [
        _try("Python and packages", lambda: _packages(config)),
        _try("MPI and workers", lambda: _workers(job, folder))
        if config.kind != TASK
        else _try("cores, GPUs and memory for tasks", lambda: _node(job)),
        *_addresses_of_manager(job, folder),
        *(_writing(path) for path in dict.fromkeys([folder.folder, Path.cwd()])),
    ]
    path = folder.folder / f"found-{socket.gethostname()}-{os.getpid()}.json"
    files.write_atomically(path, msgspec.json.encode(findings))
    job.mark_end()


def _try(what: str, attempt: Callable[[], str]) -> CheckResult:
    """The result of an attempt: what it returned, or the remedy in the error that it raised."""
    try:
        return CheckResult(what, True, attempt())
    except (AdaptiveSchedulerError, OSError, ImportError, RuntimeError, TimeoutError) as error:
        return CheckResult(what, False, type(error).__name__, str(error))


def _packages(config: RunConfig) -> str:
    import adaptive

    assert config.environment is not None
    job_environment.check(config.environment)
    return f"Python {config.environment.python} ({sys.executable}), adaptive {adaptive.__version__}"


def _workers(job: JobEnvironment, folder: RunFolder) -> str:
    callables = read_callable(folder.callables, "executors", [])
    executor = launcher_for(job.executor, callables)
    pool = executor.open(job.cores)
    n = executor.workers(job.cores)
    hosts = {
        future.result(_POOL_PATIENCE)
        for future in [pool.submit(socket.gethostname) for _ in range(4 * n)]
    }
    executor.close(pool, _PATIENCE)
    return f"{job.executor}: {job.cores} cores, {n} workers answer from {', '.join(sorted(hosts))}"


def _node(job: JobEnvironment) -> str:
    """What tasks would have on this node, as a head finds it."""
    node = of_job(os.environ, job.cores)
    if are_bound(node):
        cores = f"{counted(len(node.cores), 'core')}, to which tasks are bound"
    else:
        cores = f"{counted(len(node.cores), 'core')}, not bound: the batch system binds no jobs"
    gpus = f"GPUs {', '.join(node.gpus)}" if node.gpus else "no GPU"
    memory = f"{node.memory / 2**30:.3g} GiB" if node.memory is not None else "memory not known"
    return f"{node.name}: {cores}; {gpus}; {memory}"


def _addresses_of_manager(job: JobEnvironment, folder: RunFolder) -> list[CheckResult]:
    """One address that answers is enough; the others are listed too."""
    connection = Connection(folder)
    urls = read_address(folder).urls
    hello = Hello(socket.gethostname(), os.getpid(), job.cores)
    answered: list[str] = []
    for number, url in enumerate(urls, start=1):
        try:
            connection.ask(job.owner, number, hello, _PATIENCE, only=url)
            answered.append(url)
        except AdaptiveSchedulerError:
            continue
    connection.close()
    silent = ", ".join(url for url in urls if url not in answered)
    if answered:
        found = f"answered: {', '.join(answered)}" + f"; silent: {silent}" * bool(silent)
        return [CheckResult("way back to the manager", True, found)]
    return [
        CheckResult(
            "way back to the manager", False, f"silent: {silent}",
            f"{socket.gethostname()} reaches none of these addresses: a firewall is between. Ask "
            "which ports and which network are open between the nodes and this host, and give "
            'url="tcp://HOST:PORT" to RunManager; or run the manager as a job '
            "(adaptive-scheduler manager RUN --as-job).",
        )
    ]  # fmt: skip


def _writing(folder: Path) -> CheckResult:
    what = "writing and locking in " + (
        "the run folder" if folder.suffix == ".run" else "the data folder"
    )
    finding = _try(what, lambda: _write(folder))
    if finding.ok:
        return finding
    return CheckResult(
        what, False, finding.found,
        f"{finding.remedy} Choose a folder on a file system that the nodes share and may write to.",
    )  # fmt: skip


def _write(folder: Path) -> str:
    try_folder(folder)
    return f"{folder} on {socket.gethostname()}"


if __name__ == "__main__":
    main()
