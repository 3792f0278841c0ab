"""A command as it travels: programs, their folder, their log."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import msgspec

#: A command's parameters, in its folder.
PARAM_FILE = "params.json"
#: Its output, if it has a folder.
LOG_FILE = "log"
#: Placeholders whose values are known only where the task runs.
LATER = frozenset({"_gpus", "_hosts", "_attempt"})
#: Such a placeholder on its way: no argument of a program can have a NUL, so no parameter looks so.
_ON_ITS_WAY = re.compile(f"\0({'|'.join(sorted(LATER))})\0")


class CommandStep(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One program of a command: an argument list, or a text for a shell."""

    name: str
    argv: list[str] = msgspec.field(default_factory=list)
    text: str = ""
    shell: str = "/bin/sh"


class CommandSpec(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """Run programs one after the other, until one fails.

    Attributes
    ----------
    steps : list of CommandStep
    folder : str
        Their working directory.
    log : str
        File that gets their output.
    environment : dict of str to str
        In addition to the agent's.
    keep_log : bool
        Whether the log of a success is kept, too.
    keep_empty_log : bool
        Whether there is one although nothing was printed.
    signal_is_exit : bool
        Whether a program that a signal has killed has failed, as for a shell (status 128 and the signal's
        number), so that it is not tried again.
    rule : bytes
        For drivers alone: how its value is found (a pickle).
    parameters : str
        For drivers alone: the parameters (JSON), unless its folder has them.
    launch_ranks : bool
        Whether each program is started once for each rank of the task; if not, it starts its ranks
        by itself.
    """

    steps: list[CommandStep]
    folder: str
    log: str
    environment: dict[str, str] = msgspec.field(default_factory=dict)
    keep_log: bool = True
    rule: bytes = b""
    parameters: str = ""
    launch_ranks: bool = True
    keep_empty_log: bool = False
    signal_is_exit: bool = False


def later(name: str) -> str:
    """Return what stands for a placeholder of `LATER` on its way."""
    return f"\0{name}\0"


def fill_later(text: str, values: Mapping[str, str], quote: Callable[[str], str]) -> str:
    """Put the values of `LATER` in."""
    return _ON_ITS_WAY.sub(lambda match: quote(values[match[1]]), text) if "\0" in text else text
