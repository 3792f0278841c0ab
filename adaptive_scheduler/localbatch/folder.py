"""The folder with the whole state of the batch system: its paths, its locks, its wake-up pipe."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from adaptive_scheduler.core.paths import state_folder
from adaptive_scheduler.errors import FileError, RunError
from adaptive_scheduler.io.disk import files

#: Environment variable with the path of the folder, also set for jobs.
FOLDER_VARIABLE = "ADAPTIVE_SCHEDULER_LOCALBATCH"


def default_folder(environ: Mapping[str, str], host: str) -> str:
    """``$ADAPTIVE_SCHEDULER_LOCALBATCH``, else below ``$XDG_STATE_HOME`` or ``~/.local/state``.

    One for each host, because jobs are processes and home directories are shared.
    """
    if environ.get(FOLDER_VARIABLE):
        return environ[FOLDER_VARIABLE]
    return str(state_folder(environ) / "localbatch" / host)


class Folder(NamedTuple):
    """The paths of one batch system."""

    path: str

    @property
    def database(self) -> str:
        """All jobs."""
        return f"{self.path}/jobs.sqlite"

    @property
    def server_lock(self) -> str:
        """Locked while a server is alive."""
        return f"{self.path}/server.lock"

    @property
    def server_log(self) -> str:
        """Output of the server."""
        return f"{self.path}/server.log"

    @property
    def wake_pipe(self) -> str:
        """A FIFO: a byte written to it wakes the server."""
        return f"{self.path}/bell"

    @property
    def host(self) -> str:
        """A symbolic link whose target is the name of the host where the jobs run."""
        return f"{self.path}/host"

    def script(self, submit: int) -> str:
        """The copy of a submit's script."""
        return f"{self.path}/scripts/{submit}"

    def record(self, job_id: str, restart: int) -> str:
        """Locked while this start of the job runs; the job's watcher writes into it."""
        return f"{self.path}/running/{job_id}.{restart}"


def open_folder(path: str) -> Folder:
    """Create the folder if missing; refuse one that other users could read or write.

    Who can write there can run programs as its owner; and it holds the environment of each submit.

    Raises
    ------
    PermissionsError
        It belongs to another user or is open to others.
    RunError
        It belongs to another host.
    FileError
        It cannot be created.
    """
    folder = Folder(os.path.realpath(path))
    try:
        files.private_folder(folder.path)
        for name in ("scripts", "running"):
            Path(folder.path, name).mkdir(0o700, exist_ok=True)
        _check_host(folder, os.uname().nodename)
        if not Path(folder.wake_pipe).exists():
            _make_wake_pipe(folder.wake_pipe)
    except OSError as error:
        raise FileError(
            error.filename or folder.path,
            f"{error.strerror}. The state of the local batch system is kept there; name "
            f"another folder with --state or ${FOLDER_VARIABLE}.",
        ) from error
    return folder


def _check_host(folder: Folder, host: str) -> None:
    """Refuse the folder of another host: neither its processes nor SQLite's log are visible here."""
    try:
        Path(folder.host).symlink_to(host)  # atomic
    except FileExistsError:
        other = str(Path(folder.host).readlink())
        if other != host:
            raise RunError(
                f"{folder.path} belongs to {other}, and this is {host}: name another folder by "
                f"--state or ${FOLDER_VARIABLE}. If {other} is gone for good, remove the folder."
            ) from None


def _make_wake_pipe(path: str) -> None:
    try:
        os.mkfifo(path, 0o600)
    except FileExistsError:
        return  # another command has made it


def wake_server(folder: Folder) -> None:
    """Wake the server, if one is running."""
    try:
        fd = os.open(folder.wake_pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno != errno.ENXIO:  # no server listens
            raise
        return
    try:
        os.write(fd, b".")
    except BlockingIOError:
        return  # full: the server will wake
    finally:
        os.close(fd)


def try_lock(path: str) -> int | None:
    """Open and lock a file.

    Returns
    -------
    int or None
        The descriptor, which holds the lock until it and its copies in other processes are
        closed; None if another process holds the lock.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return fd
