"""The socket of the page: a port of loopback, or a Unix socket that only its user can open."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from adaptive_scheduler.core.web.addresses import HOST
from adaptive_scheduler.errors import InputError

#: The first port that is tried, and how many behind it before the kernel chooses one.
FIRST_PORT, TRIES = 8765, 20
#: unix(7): what fits into an address, with its NUL.
_LONGEST = 107


def port_socket(port: int | None) -> socket.socket:
    """Listen on loopback, at this port or at a free one.

    Raises
    ------
    InputError
        The port cannot be had.
    """
    if port is not None:
        return _bound(port)
    for candidate in (*range(FIRST_PORT, FIRST_PORT + TRIES), 0):
        with contextlib.suppress(InputError):
            return _bound(candidate)
    raise InputError("No port of 127.0.0.1 can be had. Give a Unix socket: --socket PATH.")


def _bound(port: int) -> socket.socket:
    # IPv4 alone, as the printed link is: nobody else's ::1 can be taken for it.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # A server that was ended a moment ago has left connections in TIME_WAIT.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise InputError(
            f"--port {port} cannot be had ({error.strerror}). Give another one, or none: then a "
            "free one is chosen."
        ) from error
    return listener


@contextlib.contextmanager
def unix_socket(path: Path) -> Iterator[socket.socket]:
    """Listen at a path that only this user can open; it is removed at the end.

    Raises
    ------
    InputError
        Something else is there, another server listens, or it cannot be made.
    """
    _make_room(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)  # its mode is right from the beginning
    try:
        listener.bind(os.fspath(path))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise InputError(
            f"--socket {path} cannot be made ({error.strerror}). Give a path of at most "
            f"{_LONGEST} bytes in a folder of yours on a local disk."
        ) from error
    finally:
        os.umask(before)
    mine = _identity(path)
    try:
        yield listener
    finally:
        listener.close()
        if _identity(path) == mine:
            path.unlink(missing_ok=True)


def _make_room(path: Path) -> None:
    """Remove a socket that a killed server has left; refuse whatever else is there."""
    if len(os.fsencode(path)) > _LONGEST:
        raise InputError(
            f"--socket {path} is too long: the path of a Unix socket has at most {_LONGEST} bytes."
        )
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"--socket {path} cannot be used ({error.strerror}).") from error
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.getuid():
        raise InputError(f"--socket {path} exists, and is no socket of yours. Give another path.")
    if _is_used(path):
        raise InputError(
            f"--socket {path}: another server listens there. End it with Ctrl-C, or give another path."
        )
    path.unlink(missing_ok=True)


def _is_used(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(os.fspath(path)) not in (errno.ECONNREFUSED, errno.ENOENT)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
