"""The command lines of ``ssh``, and what they run there."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence

from adaptive_scheduler.core.paths import DATABASE_NAME, PYTHON_NAME, URL_VARIABLE
from adaptive_scheduler.io.ssh.far_place import FarPlace

#: The ssh to use instead, with its options, as git's ``GIT_SSH_COMMAND``.
SSH_VARIABLE = "ADAPTIVE_SCHEDULER_SSH"

#: Nobody is asked for anything; a host that is silent for 15 s is gone; and what `~/.ssh/config`
#: says about terminals and programs is for people.
_OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": "15",
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "3",
    "RemoteCommand": "none",
    "PermitLocalCommand": "no",
    "ForwardX11": "no",
}

#: A line before which a login shell there may have printed anything.
MARK = "adaptive_scheduler answers"

#: Of a run whose folder is $1: the Python that was named ($2), else that of its last manager; $3 is MARK.
#: A login shell, as job scripts are: on many clusters it alone has the batch system on PATH.
#: One line: a csh ends a quoted text at its line's end.
_SCRIPT = " ".join((
    'case $1 in "~/"*) folder=$HOME/${1#"~/"} ;; *) folder=$1 ;; esac;',
    "python=$2;",
    'for there in "$folder" "$folder/DATABASE.run" "$folder.run"; do'.replace("DATABASE", DATABASE_NAME),
    f"there=$there/{PYTHON_NAME};",
    '[ -n "$python" ] || [ ! -O "$there" ] || python=$(cat "$there");',
    "done;",
    "python=${python:-python3};",
    'command -v "$python" > /dev/null || { echo "no-python $python" >&2; exit 127; };',
    '[ -z "$3" ] || printf "\\n%s\\n" "$3";',
    "shift 3;",
    'exec "$python" -P -m "$@"',
))  # fmt: skip


def ssh_argv(
    place: FarPlace, environ: Mapping[str, str], *options: str, terminal: bool = False
) -> list[str]:
    """Return how ``ssh`` is called; what is to run there comes behind it."""
    argv = shlex.split(environ.get(SSH_VARIABLE) or "ssh")
    # ports that are not let through are no errors for it; banners are not for people who type here
    level = "INFO" if any(option.startswith("-L") for option in options) else "ERROR"
    for name, value in [*_OPTIONS.items(), ("LogLevel", level)]:
        argv += ["-o", f"{name}={value}"]
    argv += ["-t" if terminal else "-T", *options]
    if place.port is not None:
        argv += ["-p", str(place.port)]
    return [*argv, "--", place.host]


def module_there(
    place: FarPlace, python: str | None, module: str, *words: str, is_marked: bool = True,
    is_for_people: bool = False,
) -> str:  # fmt: skip
    """Return what the shell there is to run: a module, with these arguments.

    Parameters
    ----------
    place : FarPlace
        Its path says which run's Python is taken, unless `python` does.
    python : str, optional
    module : str
    words : str
    is_marked : bool
        What the module prints comes behind a line that is `MARK`.
    is_for_people : bool
        The module prints hints, which name the run by its url: who reads them is here.
    """
    mark = MARK if is_marked else ""
    url = f"export {URL_VARIABLE}={shlex.quote(place.url)}; " if is_for_people else ""
    inner = [
        "bash",
        "-lc",
        f"{url}{_SCRIPT}",
        "far",
        place.path,
        python or "",
        mark,
        module,
        *words,
    ]
    return in_shell(inner)


def in_shell(argv: Sequence[str]) -> str:
    """Return a command line as every login shell reads it."""
    return " ".join(shlex.quote(os.fspath(word)) for word in argv)
