"""What is left of a private Slurm: found, ended, and watched for when its owner dies.

``python -m tests.clusters.remains FOLDER`` waits for the end of its standard input, a pipe
whose other end the owner holds: however that one ends, SIGKILL included, the cluster does too.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

#: Seconds that processes may take to be gone after SIGKILL.
PATIENCE = 60
#: Where mpich keeps the memory that the ranks of one node share.
SHARED = Path("/dev/shm")
ROOT = Path(__file__).parents[2]


def processes(folder: Path) -> list[psutil.Process]:
    """Daemons, steps, jobs and orphans of the cluster in this folder, not its owner's process."""
    me = psutil.Process()
    spared = {me.pid, *(parent.pid for parent in me.parents())}
    return [p for p in psutil.process_iter() if p.pid not in spared and is_of(folder, p)]


def names(folder: Path) -> set[str]:
    """Of the programs of the cluster in this folder; some end at any moment."""
    found = set()
    for process in processes(folder):
        with contextlib.suppress(psutil.NoSuchProcess):
            found.add(process.name())
    return found


def is_of(folder: Path, process: psutil.Process) -> bool:
    """Whether a process is of this cluster."""
    known = environment(process)
    if known:
        return known.get("SLURM_CONF") == str(folder / "slurm.conf")
    # slurmstepd writes its title over its environment, but keeps the node's log open
    return any(name.startswith(f"{folder}/") for name in _open_files(process))


def has_open(process: psutil.Process, file: Path) -> bool:
    """Whether a process has a file open."""
    return file.as_posix() in _open_files(process)


def kill_at_once(find: Callable[[], Iterable[psutil.Process]]) -> None:
    """Kill processes as a failure of the power does: none sees another one end before it is killed itself.

    Parameters
    ----------
    find : callable
        Returns those that are there; asked until there are no new ones.
    """
    held: set[psutil.Process] = set()
    while new := set(find()) - held:
        for process in new:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        held |= new
    for process in held:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    alive = psutil.wait_procs(held, timeout=PATIENCE)[1]
    if alive:
        raise RuntimeError(f"these do not end: {alive}")


def end(folder: Path) -> None:
    """End all that is of this cluster, with the shared memory that its ranks have left behind."""
    deadline = time.monotonic() + PATIENCE
    segments: set[Path] = set()
    while left := processes(folder):
        for process in left:
            segments |= shared_memory(process)
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=1)
        if time.monotonic() > deadline:
            raise RuntimeError(f"{folder}: these do not end: {left}")
    for segment in segments:
        segment.unlink(missing_ok=True)


def watch(folder: Path, owns_folder: bool) -> subprocess.Popen[bytes]:
    """Start the process that ends this cluster when this one is gone, or closes its ``stdin``."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.clusters.remains", str(folder), "remove" * owns_folder],
        stdin=subprocess.PIPE,
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key != "SLURM_CONF"},
        start_new_session=True,  # what ends the owner by its group must not end this one
    )


def environment(process: psutil.Process) -> dict[str, str]:
    """Of a process; empty if it has ended, is a zombie, or belongs to another user."""
    try:
        return process.environ()
    except psutil.Error:
        return {}


def shared_memory(process: psutil.Process) -> set[Path]:
    """Segments of mpich's that a process has mapped: a killed rank removes none."""
    try:
        names = Path(f"/proc/{process.pid}/maps").read_text().split()
    except OSError:
        return set()
    return {Path(name) for name in names if name.startswith(f"{SHARED}/mpich_shm_")}


def _open_files(process: psutil.Process) -> list[str]:
    try:
        return [file.readlink().as_posix() for file in Path(f"/proc/{process.pid}/fd").iterdir()]
    except OSError:  # it has ended, or belongs to another user
        return []


if __name__ == "__main__":
    cluster = Path(sys.argv[1])
    sys.stdin.read()
    end(cluster)
    if sys.argv[2:] == ["remove"]:
        shutil.rmtree(cluster, ignore_errors=True)
