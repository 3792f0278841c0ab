"""``ssh://user@host:port/path``: where something lies on another host."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from adaptive_scheduler.errors import InputError

SCHEME = "ssh://"
#: What urls have and paths do not.
_NO_QUERY = str.maketrans({"?": "%3F", "#": "%23"})


@dataclass(frozen=True)
class FarPlace:
    """A path on another host.

    Attributes
    ----------
    url : str
        As it was typed.
    host : str
        As ssh takes it: ``user@host``, or a name of the user's ``~/.ssh/config``.
    port : int, optional
    path : str
        Absolute, or ``~/...``.
    """

    url: str
    host: str
    port: int | None
    path: str

    def __str__(self) -> str:
        return self.url


def is_far(folder: Any) -> bool:
    """Whether a folder lies on another host."""
    return isinstance(folder, str) and folder.startswith(SCHEME)


def read_url(url: str, what: str = "folder") -> FarPlace:
    """Read a url; ``%20`` is a blank, and ``/~/`` the home folder there.

    Raises
    ------
    InputError
        It names no host, or no folder.
    """
    try:
        parts = urlsplit(url.translate(_NO_QUERY))
        host, port, path = parts.hostname, parts.port, unquote(parts.path)
    except ValueError as error:  # of the port, for example
        raise InputError(f"{what}={url!r}: {error}. Write ssh://user@host:port/path.") from error
    if not host or not path.strip("/") or "\0" in path:
        raise InputError(
            f"{what}={url!r} names no {'folder' if host else 'host'}. Write ssh://user@host:port/path; "
            "user and port may be left out."
        )
    if parts.password is not None:
        raise InputError(f"{what}: no password can be given. Let ssh {host} work by a key.")
    # the name as it was typed: in ~/.ssh/config it may have capital letters
    name = parts.netloc.rpartition("@")[2].removesuffix(f":{port}").strip("[]")
    login = f"{unquote(parts.username)}@{name}" if parts.username else name
    path = path[1:] if path.startswith("/~/") else os.path.normpath(f"/{path.lstrip('/')}")
    return FarPlace(url, login, port, path)
