"""The job of ``adaptive-scheduler doctor``: observes, on a node, what a client needs."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import structs

from adaptive_scheduler.client import job_environment
from adaptive_scheduler.client.job_environment import JobEnvironment
from adaptive_scheduler.client.tasks.head.allocation import are_bound, of_job
from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.doctor.observations import Attempt, Exchange, NodeReport, UrlTried
from adaptive_scheduler.core.doctor.table import CHECKS
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import TASK
from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.core.wire.messages import Hello
from adaptive_scheduler.errors import AdaptiveSchedulerError, RunError
from adaptive_scheduler.executors.registry import launcher_for
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.doctor.folders import try_folder
from adaptive_scheduler.io.doctor.network import try_url
from adaptive_scheduler.io.pickling.callables_file import read_callable
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.io.transport.addresses import read_address
from adaptive_scheduler.io.transport.connection import Connection

#: Seconds that one address of the manager's host has for its answer.
_PATIENCE = 5.0
#: Seconds that the workers have for their first answer.
_POOL_PATIENCE = 60.0


def main() -> None:
    """Try everything; write what was seen to the run folder, one file for each process."""
    job = JobEnvironment.of(os.environ)
    folder = job_environment.run_folder(os.environ)
    if folder is None:
        raise RunError("$ADAPTIVE_SCHEDULER_RUN is not set: a job script starts this.")
    config = read_config(folder)
    report = _observe(job, folder, config)
    late = f"no result within {CHECKS['workers'].seconds:.0f} s"
    with _given_up(job, folder, structs.replace(report, work=Attempt("", "TimeoutError", late))):
        # in the main thread: pools handle signals
        work = _try(lambda: _node(job) if config.kind == TASK else _workers(job, folder))
    _write(folder, structs.replace(report, work=work))
    job.mark_end()


@contextmanager
def _given_up(job: JobEnvironment, folder: RunFolder, report: NodeReport) -> Iterator[None]:
    """Within it, after the time of the check, write `report` and end this process: workers may hang."""

    def give_up() -> None:
        _write(folder, report)
        job.mark_end()
        os._exit(0)

    timer = threading.Timer(CHECKS["workers"].seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _write(folder: RunFolder, report: NodeReport) -> None:
    path = folder.folder / f"found-{socket.gethostname()}-{os.getpid()}.json"
    files.write_atomically(path, msgspec.json.encode(report))


def _observe(job: JobEnvironment, folder: RunFolder, config: RunConfig) -> NodeReport:
    """All but the workers."""
    python = _try(lambda: _packages(config))
    urls, clock = _addresses_of_manager(job, folder)
    return NodeReport(
        socket.gethostname(), job.owner.uuid, config.kind, python, Attempt(), urls,
        [try_folder(path) for path in dict.fromkeys([folder.folder, Path.cwd()])], clock,
    )  # fmt: skip


def _try(attempt: Callable[[], str]) -> Attempt:
    """What an attempt gives, or its error."""
    try:
        return Attempt(attempt())
    except (AdaptiveSchedulerError, OSError, ImportError, RuntimeError, TimeoutError) as error:
        return Attempt(kind=type(error).__name__, words=str(error))


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
    have = f"{job.executor}: {counted(job.cores, 'core')}, {counted(n, 'worker')}"
    return f"{have} {'answers' if n == 1 else 'answer'} from {', '.join(sorted(hosts))}"


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


def _addresses_of_manager(
    job: JobEnvironment, folder: RunFolder
) -> tuple[list[UrlTried], Exchange | None]:
    """Ask at each address; the times are those of the first one that answered."""
    connection = Connection(folder)
    hello = Hello(socket.gethostname(), os.getpid(), job.cores)
    tried: list[UrlTried] = []
    clock: Exchange | None = None
    for number, url in enumerate(read_address(folder).urls, start=1):
        found = try_url(url)
        if found.outcome == "mute":
            asked = time.time()
            try:
                connection.ask(job.owner, number, hello, _PATIENCE, only=url)
                found = UrlTried(url, "answered")
                clock = clock or Exchange(asked, time.time())
            except AdaptiveSchedulerError as error:
                found = UrlTried(url, "mute", str(error))
        tried.append(found)
    connection.close()
    return tried, clock


if __name__ == "__main__":
    main()
