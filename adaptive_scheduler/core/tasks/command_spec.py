"""A command as it travels: programs, their folder, their log."""

from __future__ import annotations

import msgspec


class CommandStep(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One program of a command: an argument list, or a text for the shell."""

    name: str
    argv: list[str] = msgspec.field(default_factory=list)
    text: str = ""


class CommandSpec(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """Run programs one after the other, until one fails.

    Attributes
    ----------
    steps : list of CommandStep
    folder : str
        Their working directory; made if it is missing.
    log : str
        File that gets their output.
    environment : dict of str to str
        In addition to the agent's.
    keep_log : bool
        Whether the log of a success is kept, too.
    rule : bytes
        For drivers alone: how its value is found (a pickle).
    parameters : str
        For drivers alone: the parameters (JSON), unless its folder has them.
    """

    steps: list[CommandStep]
    folder: str
    log: str
    environment: dict[str, str] = msgspec.field(default_factory=dict)
    keep_log: bool = True
    rule: bytes = b""
    parameters: str = ""
