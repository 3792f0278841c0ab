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


def ways_to_open(where: Listening, environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return ssh lines for a browser on another machine, each with when it is needed."""
    node = gateway_of(environ)
    if node and node.split(".")[0] != where.host.split(".")[0]:
        return [("From your own machine, by ssh:", ssh_line(where, f"{where.user}@{node}"))]
    return [
        ("If your browser is on another machine, type there first:", ssh_line(where)),
        ("... and if this host is behind a gateway:", ssh_line(where, "GATEWAY")),
    ]
