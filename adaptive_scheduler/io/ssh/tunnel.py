"""A socket here that leads to a port there: ``ssh -L``."""

from __future__ import annotations

import os
import select
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from adaptive_scheduler.errors import FarHostError
from adaptive_scheduler.io.ssh.commands import ssh_argv
from adaptive_scheduler.io.ssh.far_place import FarPlace
from adaptive_scheduler.io.ssh.far_session import GRACE, Said, start_ssh
from adaptive_scheduler.io.ssh.faults import SSH_FAILED, ssh_fault
from adaptive_scheduler.io.system.processes import end_process

#: Seconds until it leads there.
PATIENCE = 60.0
#: A path of a Unix socket has at most 107 bytes (unix(7)).
_LONGEST_FOLDER = 80
#: What folders for sockets are called, before the number of their process.
_PREFIX = "as-ssh-"
#: Seconds after which such a folder that nothing has changed in may be one of a killed process: one that
#: lives may be that of a container, which has numbers of its own.
_OLD = 3600.0
#: What ssh says then (ssh(1), channels.c; RFC 4254, 5.1).
_FORBIDDEN = "open failed: administratively prohibited"
#: `cat` ends with this process, however that ends, and ssh with it.
_THERE = "echo ready; exec cat"


def socket_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a new folder for sockets, which only this user can enter."""
    short = len(tempfile.gettempdir()) < _LONGEST_FOLDER
    around = tempfile.gettempdir() if short else "/tmp"  # noqa: S108
    _remove_left(Path(around))
    return tempfile.TemporaryDirectory(
        prefix=f"{_PREFIX}{os.getpid()}-", dir=around, ignore_cleanup_errors=True
    )


def _remove_left(around: Path) -> None:
    """Remove empty folders of processes that were killed; ssh has removed its sockets."""
    for path in around.glob(f"{_PREFIX}*-*"):
        pid = path.name.removeprefix(_PREFIX).partition("-")[0]
        with suppress(OSError):  # another user's; or it is not empty, or gone by now
            is_old = time.time() - path.stat().st_mtime > _OLD
            if is_old and not (pid.isdecimal() and Path(f"/proc/{pid}").exists()):
                path.rmdir()


class Tunnel:
    """Unix sockets here that lead to ports there.

    Parameters
    ----------
    place : FarPlace
    environ : mapping
    path : Path
        Of the sockets, but for their numbers.
    to : list of (str, int)
        Hosts and ports, as the other host knows them.

    Attributes
    ----------
    paths : list of Path
        One for each port.

    Raises
    ------
    FarHostError
    """

    def __init__(
        self, place: FarPlace, environ: Mapping[str, str], path: Path, to: list[tuple[str, int]]
    ) -> None:
        self.paths = [path.with_name(f"{path.name}.{n}") for n in range(len(to))]
        options = [
            f"-L{here}:{host}:{port}" for here, (host, port) in zip(self.paths, to, strict=True)
        ]
        argv = ssh_argv(place, environ, *options)
        self._process = start_ssh([*argv, _THERE])
        assert self._process.stderr is not None
        self._said = Said(self._process.stderr)
        try:
            self._wait(place)
        except BaseException:
            self.end()
            raise

    def _wait(self, place: FarPlace) -> None:
        assert self._process.stdout is not None
        out, said = self._process.stdout, b""
        while b"ready\n" not in said:
            ready = select.select([out], [], [], PATIENCE)[0]
            data = os.read(out.fileno(), 4096) if ready else b""
            if not data:
                self.end()
                raise FarHostError(ssh_fault(place, SSH_FAILED, self._said.text()))
            said += data
        if not all(path.exists() for path in self.paths):
            self.end()
            raise FarHostError(
                f"{place.host}: ssh makes no socket at {self.paths[0]} for the manager's port: "
                f"{self._said.text()[-300:]}"
            )

    @property
    def failures(self) -> int:
        """Grows when nobody answers at a port there, or no port is let through."""
        return self._said.n

    @property
    def is_forbidden(self) -> bool:
        """Whether somebody has tried to use it, and the host there lets no port through."""
        return _FORBIDDEN in self._said.so_far()

    @property
    def is_alive(self) -> bool:
        """Whether ssh runs."""
        return self._process.poll() is None

    def end(self) -> None:
        """End it."""
        end_process(self._process, GRACE)
        for file in (self._process.stdin, self._process.stdout):
            if file is not None:
                file.close()
        for path in self.paths:
            with suppress(OSError):
                path.unlink()
