"""What the job script exports to a client, and whether this Python can run the run's learners."""

from __future__ import annotations

import importlib.metadata
import os
import socket
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from msgspec import structs

from adaptive_scheduler.core import paths
from adaptive_scheduler.core.config import Environment
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.messages import Owner
from adaptive_scheduler.errors import EnvironmentMismatchError


@dataclass(frozen=True)
class JobEnvironment:
    """What the job script has exported.

    Attributes
    ----------
    owner : Owner
        This life of this client.
    is_batch : bool
        Whether a job script started this process.
    submit, cores, executor
        Number of the submit; MPI ranks or workers; name of the executor.
    walltime, started : float or None
        Seconds asked for; seconds since 1970 at which the job began.
    end : Path or None
        A file whose existence tells the job script not to start another client.
    logs : Path or None
        Folder of the log.
    """

    owner: Owner
    is_batch: bool = False
    submit: int = -1
    cores: int = 1
    executor: str = "mpi4py"
    walltime: float | None = None
    started: float | None = None
    end: Path | None = None
    logs: Path | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> JobEnvironment:
        """Read it from the environment; a process outside of a job is a job of its own."""
        job = environ.get(paths.JOB_VARIABLE)
        name = job or f"local:{socket.gethostname()}:{os.getpid()}"
        end, logs = environ.get(paths.END_VARIABLE), environ.get(paths.LOGS_VARIABLE)
        return cls(
            owner=Owner(
                name,
                int(environ.get(paths.RESTART_VARIABLE) or 0),
                int(environ.get(paths.TRY_VARIABLE) or 0),
                uuid.uuid4().hex,
            ),
            is_batch=bool(job),
            submit=int(environ.get(paths.SUBMIT_VARIABLE) or -1),
            cores=int(environ.get(paths.CORES_VARIABLE) or 1),
            executor=environ.get(paths.EXECUTOR_VARIABLE) or "mpi4py",
            walltime=float(environ.get(paths.WALLTIME_VARIABLE) or 0) or None,
            started=float(environ.get(paths.STARTED_VARIABLE) or 0) or None,
            end=Path(end) if end else None,
            logs=Path(logs) if logs else None,
        )

    @property
    def age(self) -> float:
        """Seconds since the job began; 0.0 if it does not know."""
        return _age(self.started)

    def of_run(self, run: str) -> JobEnvironment:
        """Return it as that of a client that works for a run."""
        return replace(self, owner=structs.replace(self.owner, run=run))

    def mark_end(self) -> None:
        """Tell the job script not to start another client."""
        self._mark("")

    def mark_begun(self) -> None:
        """Tell the job script that this client was given an item, whose budget counts a crash."""
        self._mark(".begun")

    def mark_memory(self, names: Sequence[str]) -> None:
        """Tell the job script what shared memory to delete when this client has ended."""
        if names:
            self._mark(".memory", "".join(f"{name}\n" for name in names))

    def _mark(self, suffix: str, text: str = "") -> None:
        if self.end is None:
            return
        mark = self.end.with_name(self.end.name + suffix)
        try:
            mark.parent.mkdir(mode=0o700, exist_ok=True)
            mark.touch(mode=0o600)
            mark.write_text(text)
        except (
            OSError
        ) as error:  # a full disk: without the file one more client is started, no harm
            print(f"adaptive_scheduler: {mark}: {error.strerror}", file=sys.stderr)


def age_of(environ: Mapping[str, str]) -> float:
    """Seconds since the job of this process began; 0.0 if it does not know."""
    return _age(float(environ.get(paths.STARTED_VARIABLE) or 0) or None)


def _age(started: float | None) -> float:
    return 0.0 if started is None else max(0.0, time.time() - started)


def run_folder(environ: Mapping[str, str]) -> RunFolder | None:
    """The run folder that the job script named."""
    text = environ.get(paths.RUN_VARIABLE)
    return RunFolder(text) if text else None


def check(environment: Environment) -> None:
    """Refuse a Python that may misread the run's pickles.

    Raises
    ------
    EnvironmentMismatchError
        Another minor version of Python, or of a package; names both.
    """
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if here != environment.python:
        raise EnvironmentMismatchError(_mismatch("Python", here, environment.python))
    for name, wanted in environment.versions.items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = "none"
        if _minor(found) != _minor(wanted):
            raise EnvironmentMismatchError(_mismatch(name, found, wanted))


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


def _mismatch(name: str, found: str, wanted: str) -> str:
    return (
        f"{name} {found} on {socket.gethostname()} ({sys.executable}), but the run was started "
        f"with {name} {wanted}: give python_executable= or setup= so that jobs use the same one."
    )


def restore(environment: Environment) -> None:
    """Change to the folder in which `start()` was called, and to its import path."""
    os.chdir(environment.cwd)
    sys.path.extend(entry for entry in environment.sys_path if entry not in sys.path)
