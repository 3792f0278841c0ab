"""Why another host cannot be used, by what ``ssh`` and the shell there have said."""

from __future__ import annotations

import re

from adaptive_scheduler.core.paths import PACKAGE
from adaptive_scheduler.io.ssh.far_place import FarPlace

#: Of ssh itself (ssh(1), EXIT STATUS), and of a shell that has not found a program (POSIX 2.8.2).
SSH_FAILED, NOT_FOUND, NOT_EXECUTABLE = 255, 127, 126

#: Words of OpenSSH (sshconnect.c, sshconnect2.c, readconf.c), what is wrong then, and what to do about it.
_BY_WORDS: tuple[tuple[str, str, str], ...] = (
    ("HOST IDENTIFICATION HAS CHANGED", "it shows another host key than before",
     "Ask those who run it; if that is right, remove the old key: ssh-keygen -R HOST"),
    ("Host key verification failed", "its host key is not known here",
     "Run ssh HOST once in a terminal, and accept it"),
    ("No matching host key", "its host key is of a kind that is not accepted here",
     "Run ssh HOST in a terminal, which says more"),
    ("Permission denied", "it does not let you in without a password",
     "Give it your key (ssh-copy-id HOST), or load the key into an agent (ssh-add)"),
    ("Too many authentication failures", "it does not let you in: too many keys were tried",
     "Name the one for it in ~/.ssh/config (IdentityFile, IdentitiesOnly yes)"),
    ("Could not resolve hostname", "there is no host of this name",
     "Check it, or describe it in ~/.ssh/config"),
    ("Connection refused", "no ssh server answers there",
     "Check host and port, and whether sshd runs"),
    ("timed out", "it does not answer", "Check host and port, and your network"),
    ("No route to host", "there is no way to it", "Check host and port, and your network"),
    ("Network is unreachable", "there is no network", "Try again when there is one"),
    ("Bad configuration option", "ssh does not take its configuration", "Mend ~/.ssh/config"),
)  # fmt: skip

NO_SSH = (
    "There is no ssh on this machine, or not on PATH. Install OpenSSH's client (Debian: "
    "openssh-client), or name it in $ADAPTIVE_SCHEDULER_SSH."
)


def ssh_fault(place: FarPlace, status: int | None, said: str) -> str:
    """Return why there is no connection: the thing, the reason, the remedy.

    Parameters
    ----------
    place : FarPlace
    status : int, optional
        Of ``ssh``; None: it has not ended.
    said : str
        What it, and the programs there, have printed as errors.
    """
    own = _of_ssh(place, said) if status == SSH_FAILED else _of_python(place, status, said)
    if own:
        return own
    last = said.strip().splitlines()[-1:] or [f"exit status {status}"]
    return f"{place.host} cannot be used by ssh: {last[0].strip()}"


def _of_ssh(place: FarPlace, said: str) -> str:
    for words, reason, remedy in _BY_WORDS:
        if words in said:
            port = "" if place.port is None else f", port {place.port}"
            return f"{place.host}{port}: {reason}. {_with_host(remedy, place)}."
    return ""


def _with_host(remedy: str, place: FarPlace) -> str:
    port = "" if place.port is None else f"-p {place.port} "
    bare = place.host.rpartition("@")[2]
    known = bare if place.port is None else f"'[{bare}]:{place.port}'"
    return (
        remedy.replace("ssh-keygen -R HOST", f"ssh-keygen -R {known}")
        .replace("ssh-copy-id HOST", f"ssh-copy-id {port}{place.host}")
        .replace("HOST", f"{port}{place.host}")
    )


def _of_python(place: FarPlace, status: int | None, said: str) -> str:
    if status in (NOT_FOUND, NOT_EXECUTABLE):
        return (
            f"{place.host} has no Python at {_python(said)}. Give python=..., the path there of one "
            f"that has {PACKAGE}."
        )
    if re.search(rf"No module named '?{PACKAGE}'?\W*$", said, re.MULTILINE):
        return (
            f"{place.host}: its Python has no {PACKAGE}. Install it there, or give python=..., the "
            "path there of one that has it."
        )
    if f"No module named {PACKAGE}." in said or f"No module named '{PACKAGE}." in said:
        return f"{place.host} has a {PACKAGE} that is too old for ssh://. Install the version of here there."
    if "nknown option" in said and "-P" in said:
        return f"{place.host}: its Python is older than 3.11. Give python=..., the path there of a newer one."
    return ""


def _python(said: str) -> str:
    """The program that the shell did not find, as our script has printed it."""
    found = re.findall(r"^no-python (.*)$", said, re.MULTILINE)
    return found[-1] if found else "this path"
