"""Starts processes of this package: managers and checkpoints."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence

from adaptive_scheduler.core import paths
from adaptive_scheduler.core.clean_environment import clean_environment
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.io.disk import files

#: Kept, because Python warns when a `Popen` of a live process is freed.
_started: list[subprocess.Popen[bytes]] = []
_heads = itertools.count(1)


#: Tells a manager that a driver has come, so that the run is open: more tasks may follow.
HAS_DRIVER = "has-driver"


def start_manager(folder: RunFolder, *, has_driver: bool = False) -> subprocess.Popen[bytes]:
    """Start the manager of a run in a session of its own, so that it outlives this process.

    Its output goes to `RunFolder.manager_output`.

    Parameters
    ----------
    folder : RunFolder
    has_driver : bool
        It opens the run, also one that was closed: more tasks may come.
    """
    files.private_folder(folder.folder)
    files.write_atomically(folder.python, os.fsencode(sys.executable), mode=0o600)
    with files.naming(folder.manager_output):
        fd = os.open(folder.manager_output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        process = subprocess.Popen(
            # -P: a json.py in the working directory must not be imported for Python's
            [
                sys.executable,
                "-P",
                "-m",
                "adaptive_scheduler.manager",
                os.fspath(folder),
                *[HAS_DRIVER] * has_driver,
            ],
            stdin=subprocess.DEVNULL,
            stdout=fd,
            stderr=fd,
            env=clean_environment(os.environ),
            start_new_session=True,
        )
    finally:
        os.close(fd)
    _started[:] = [other for other in _started if other.poll() is None]
    _started.append(process)
    return process


def new_head() -> str:
    """Return a name for a head of this process."""
    return f"here:{socket.gethostname()}:{os.getpid()}.{next(_heads)}"


def start_head(
    folder: RunFolder, slots: int | None, gpus: Sequence[str], life: tuple[str, int] | None = None
) -> subprocess.Popen[bytes]:
    """Start a head on this machine, as a child of this process; calls print where this process does.

    Parameters
    ----------
    folder : RunFolder
    slots : int, optional
        Cores for tasks; default: all.
    gpus : sequence of str
        Their numbers.
    life : (str, int), optional
        What this head is for its manager, and how often it was started before: what an earlier life
        had is lost then, at once. Default: a new one.
    """
    job, attempt = life or (new_head(), 0)
    argv = [
        sys.executable,
        "-P",
        "-m",
        "adaptive_scheduler.client.tasks.head.head",
        os.fspath(folder),
    ]
    if slots is not None:
        argv += ["--slots", str(slots)]
    argv += [f"--gpu={name}" for name in gpus]  # one may be several devices: "0,1"
    argv += ["--parent", str(os.getpid()), "--job", job, "--attempt", str(attempt)]
    environment = {
        **os.environ, paths.RUN_VARIABLE: os.fspath(folder), paths.JOB_VARIABLE: job,
    }  # fmt: skip
    # a Ctrl-C in the terminal is for the driver, which ends its head itself
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, process_group=0, env=environment)


def start_supervisor(address: str, folder: RunFolder) -> subprocess.Popen[bytes]:
    """Start the supervisor of a node's agent, which connects to the head's socket at `address`."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "adaptive_scheduler.client.tasks.node.supervisor", address,
         os.fspath(folder.folder)],
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def start_launcher(argv: Sequence[str], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start what starts programs on other nodes, as a child that prints where this process does.

    Raises
    ------
    OSError
        There is no such program.
    """
    return subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, env=dict(environ), process_group=0
    )  # fmt: skip


def end_process(process: subprocess.Popen[bytes], patience: float) -> None:
    """End a child: by SIGTERM, and after `patience` seconds by SIGKILL."""
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def start_checkpoint(folder: RunFolder, last: int, discard_file: bool) -> subprocess.Popen[bytes]:
    """Start the process that writes journal segments up to `last` into the TinyDB file."""
    argv = [str(folder.database), str(last), str(os.getpid()), "discard-file" * discard_file]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "adaptive_scheduler.io.storage.checkpoint", *argv],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
