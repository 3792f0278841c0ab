"""The link to the page, and the `ssh` lines that lead to it from another machine."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

#: What this host is called where a browser runs beside the server: not ``localhost``, which may be
#: ::1, where another user could listen at the same port.
HOST = "127.0.0.1"
#: The port on the own machine for a server on a Unix socket.
NEAR_PORT = 8000
#: Variables in which batch systems name the host from which a job was submitted.
SUBMIT_HOSTS = ("SLURM_SUBMIT_HOST", "PBS_O_HOST")


@dataclass(frozen=True)
class Listening:
    """Where a server listens, and on which host.

    Attributes
    ----------
    user, host : str
        As ssh needs them.
    port : int
        0 if it is a Unix socket.
    socket : str
        The path of that, or "".
    """

    user: str
    host: str
    port: int = 0
    socket: str = ""


def link(where: Listening, path: str, token: str) -> str:
    """Return the URL that opens the page once."""
    return f"http://{HOST}:{where.port or NEAR_PORT}{path}?token={token}"


def ssh_line(where: Listening, gateway: str = "") -> str:
    """Return the command that brings the page to the machine on which it is typed."""
    there = shlex.quote(where.socket) if where.socket else f"{HOST}:{where.port}"
    through = ["-J", shlex.quote(gateway)] if gateway else []
    login = shlex.quote(f"{where.user}@{where.host}")
    return " ".join(["ssh -N", *through, "-L", f"{where.port or NEAR_PORT}:{there}", login])


def gateway_of(environ: Mapping[str, str]) -> str:
    """Return the login node if this is a job, whose node is seldom reached directly; else ""."""
    return next((environ[name] for name in SUBMIT_HOSTS if environ.get(name)), "")


def how_to_open(where: Listening, url: str, environ: Mapping[str, str]) -> list[str]:
    """Return what is printed when the server listens."""
    lines = [f"Open this link once: {url}"]
    if where.socket:
        lines = [f"Listens at {where.socket}, which only you can use.", *lines]
    node = gateway_of(environ)
    if node and node.split(".")[0] != where.host.split(".")[0]:
        gateway = f"{where.user}@{node}"
        return [*lines, f"In a terminal on your own machine: {ssh_line(where, gateway)}"]
    return [
        *lines,
        f"If your browser is on another machine, first in a terminal there: {ssh_line(where)}",
        f"... and if that must pass a gateway: {ssh_line(where, 'GATEWAY')}",
    ]
