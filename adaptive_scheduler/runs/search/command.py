"""One command of a search: its number, its log, where its value is."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from adaptive_scheduler.core.tasks.command_spec import CommandSpec, CommandStep
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.runs.driver.commands.command import Command, EncodedCommand
from adaptive_scheduler.runs.sites.site import Site

#: ``{_index:04d}`` in the text of a command: in a text, other formats are not placeholders.
_INDEX = re.compile(r"(?<!\$)\{_index:([0-9]*d)\}")
#: ``{x}`` and ``{x:.3f}`` in the name of a file.
_IN_NAME = re.compile(r"\{([A-Za-z_]\w*)(:[^{}]*)?\}")


class SearchCommand(Command):
    """A command with the number of its task.

    It runs where the search was started, with ``OUTPUT``, ``TASK_NUMBER`` and ``PARALLELISM`` in its environment, and the file of its value lies in the output of the search, if the
    name of that file has a placeholder, by which no two tasks have the same one. Else it has a
    folder of its own, as any `Command`.

    Parameters
    ----------
    command : Command
    number : int
    paths : (Path, Path)
        Output of the search, and log of the task.
    parallelism : int, optional
        What ``{_nodes}`` is; default: the nodes that the task occupies.
    """

    def __init__(
        self,
        command: Command,
        number: int,
        paths: tuple[Path, Path],
        parallelism: int | None = None,
    ) -> None:
        self.__dict__.update(command.__dict__)
        self.steps = [_numbered(step, number) for step in command.steps]
        self._number, (self._output, self._log) = number, paths
        self._known = {} if parallelism is None else {"_nodes": parallelism}
        if command.has_folder:
            self.has_folder = (
                bool(self.inputs) or _names_param_file(self.steps) or self._reads_own()
            )

    def _reads_own(self) -> bool:
        """Whether the value is in a file of the task's own folder."""
        if self.rule is None or not getattr(self.rule, "needs_folder", True):
            return False
        return _IN_NAME.search(getattr(self.rule, "name", "")) is None

    def encode(
        self,
        site: Site,
        parameters: Mapping[str, Any],
        known: Mapping[str, Any],
        key: str = "",
    ) -> EncodedCommand:
        """Return what is sent; see `Command`."""
        known = {**known, **self._known, "_index": self._number, "_output": str(self._output)}
        self._find_value({**parameters, **known})
        encoded = super().encode(site, parameters, known, key)
        spec = msgspec.structs.replace(
            msgspec.msgpack.decode(encoded.spec, type=CommandSpec),
            log=str(self._log), environment={
                "OUTPUT": str(self._output), "TASK_NUMBER": str(self._number),
                "PARALLELISM": str(known["_nodes"]),
            },
        )  # fmt: skip
        return msgspec.structs.replace(encoded, spec=msgspec.msgpack.encode(spec), log=self._log)

    def _find_value(self, values: Mapping[str, Any]) -> None:
        """Put the task's number and parameters into the name of the file that has its value.

        A file that is there already is of another search, or of a task that never was: it is removed.
        """
        name = getattr(self.rule, "name", "")
        if not name or _IN_NAME.search(name) is None:
            return
        filled = _IN_NAME.sub(lambda match: _formatted(match, name, values), name)
        path = (self._output if not self.has_folder else Path()) / filled
        self.rule = copy.copy(self.rule)
        self.rule.name = str(path)  # type: ignore[union-attr]
        self._pickle_rule()
        if not self.has_folder:
            path.unlink(missing_ok=True)


def file_of_value(command: Command, log: str) -> str:
    """Return the name of the files in the output from which values are read; "" if there are none.

    Parameters
    ----------
    command : Command
    log : str
        Name of the logs, in which a rule without a file looks.
    """
    name = getattr(command.rule, "name", "")
    if not name:
        return log if getattr(command.rule, "needs_log", False) else ""
    has_own = bool(command.inputs) or _names_param_file(command.steps)
    return "" if has_own or _IN_NAME.search(name) is None else name


def placeholders_of_name(name: str) -> list[str]:
    """Return the names of placeholders in the name of a file."""
    return [match[1] for match in _IN_NAME.finditer(name)]


def _numbered(step: CommandStep, number: int) -> CommandStep:
    def filled(text: str) -> str:
        return _INDEX.sub(lambda match: format(number, match[1]), text)

    argv = [filled(one) for one in step.argv]
    return msgspec.structs.replace(step, argv=argv, text=filled(step.text))


def _names_param_file(steps: list[CommandStep]) -> bool:
    return any("{_param_file}" in text for step in steps for text in (step.text, *step.argv))


def _formatted(match: re.Match[str], name: str, values: Mapping[str, Any]) -> str:
    parameter, form = match[1], (match[2] or ":")[1:]
    if parameter not in values:
        raise InputError(
            f"{{{parameter}}} in {name!r} is no parameter: there are {', '.join(values)}."
        )
    try:
        return format(values[parameter], form)
    except (TypeError, ValueError) as error:
        raise InputError(f"{match[0]} in {name!r}: {error}.") from error
