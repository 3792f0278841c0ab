"""The folder that holds everything the batch system knows."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from adaptive_scheduler.errors import FileError, PermissionsError, RunError

#: Names the folder; jobs find it in their environment.
FOLDER_VARIABLE = "ADAPTIVE_SCHEDULER_LOCALBATCH"


def default_folder(environ: Mapping[str, str], host: str) -> str:
    """``$ADAPTIVE_SCHEDULER_LOCALBATCH``, else below ``$XDG_STATE_HOME`` or ``~/.local/state``.

    One for each host, because jobs are processes and home directories are shared.
    """
    if environ.get(FOLDER_VARIABLE):
        return environ[FOLDER_VARIABLE]
    home = environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return f"{home}/adaptive_scheduler/localbatch/{host}"


class Folder(NamedTuple):
    """The paths of one batch system."""

    path: str

    @property
    def database(self) -> str:
        """All jobs."""
        return f"{self.path}/jobs.sqlite"

    @property
    def server_lock(self) -> str:
        """Locked as long as a server lives."""
        return f"{self.path}/server.lock"

    @property
    def server_log(self) -> str:
        """What the server has to say."""
        return f"{self.path}/server.log"

    @property
    def bell(self) -> str:
        """A FIFO: a byte written there wakes the server."""
        return f"{self.path}/bell"

    @property
    def host(self) -> str:
        """A symbolic link whose target is the name of the host that the jobs run on."""
        return f"{self.path}/host"

    def script(self, submit: int) -> str:
        """The copy of the script of a submit."""
        return f"{self.path}/scripts/{submit}"

    def record(self, job_id: str, restart: int) -> str:
        """Locked as long as this start of the job runs; its watcher writes into it."""
        return f"{self.path}/running/{job_id}.{restart}"


def open_folder(path: str) -> Folder:
    """Make the folder if it is missing; refuse one that others could write to or read.

    Whoever can write there runs programs as its owner, and the environment of
    each submit is kept there.

    Raises
    ------
    PermissionsError
        It is not ours, or open to others.
    RunError
        It belongs to another host.
    FileError
        It cannot be made.
    """
    folder = Folder(os.path.realpath(path))
    try:
        Path(folder.path).mkdir(0o700, parents=True, exist_ok=True)
        _check_private(Path(folder.path))
        for name in ("scripts", "running"):
            Path(folder.path, name).mkdir(0o700, exist_ok=True)
        _check_host(folder, os.uname().nodename)
        if not Path(folder.bell).exists():
            _make_wake_pipe(folder.bell)
    except OSError as error:
        raise FileError(
            error.filename or folder.path,
            f"{error.strerror}. The state of the local batch system is kept there; name "
            f"another folder with --state or ${FOLDER_VARIABLE}.",
        ) from error
    return folder


def _check_private(path: Path) -> None:
    found = path.stat()
    if found.st_uid != os.geteuid():
        raise PermissionsError(
            path, f"belongs to another user. Name another folder by ${FOLDER_VARIABLE}."
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        raise PermissionsError(
            path, f"is open to other users (mode {mode:04o}): chmod 700 {str(path)!r}"
        )


def _check_host(folder: Folder, host: str) -> None:
    """Neither SQLite's log nor the processes can be seen from another host."""
    try:
        Path(folder.host).symlink_to(host)  # made whole or not at all
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
        return  # another command was faster


def wake_server(folder: Folder) -> None:
    """Wake the server, if there is one."""
    try:
        fd = os.open(folder.bell, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno != errno.ENXIO:  # nobody listens
            raise
        return
    try:
        os.write(fd, b".")
    except BlockingIOError:
        return  # full of rings already
    finally:
        os.close(fd)


def try_lock(path: str) -> int | None:
    """Open and lock a file.

    Returns
    -------
    int or None
        The descriptor, which holds the lock until it and all its copies in
        other processes are closed; None if somebody else holds the lock.
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
