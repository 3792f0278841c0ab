"""The tasks of a sweep: parameter sets with all that the file says about them, and their commands."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from adaptive_scheduler.core.sweeps.expansion import MOST, combinations
from adaptive_scheduler.core.sweeps.names import unique_names
from adaptive_scheduler.core.sweeps.sweep_file import SweepFile
from adaptive_scheduler.core.sweeps.templates import alias_of, fill, reserved_in, shown
from adaptive_scheduler.core.sweeps.values import as_text, digest
from adaptive_scheduler.core.texts import check_argument
from adaptive_scheduler.errors import InputError

#: Reserved names that stand for all parameters.
_ALL_PARAMETERS = ("_json", "_param_file")


class SweepTask(msgspec.Struct):
    """One task.

    Attributes
    ----------
    index : int
        Its number.
    name : str
    given : dict
        Parameters as the document has them: what tells tasks apart.
    parameters : dict
        After packs and defaults.
    commands : dict of str to str
        Command to its text, in the file's order; reserved names are not filled in.
    keys : dict of str to str
        What names each command: the same only if nothing that it depends on has changed.
    """

    index: int
    name: str
    given: dict[str, Any]
    parameters: dict[str, Any]
    commands: dict[str, str]
    keys: dict[str, str]

    @property
    def json(self) -> str:
        """All parameters."""
        return json.dumps(self.parameters)


class Selection(msgspec.Struct, frozen=True):
    """Which tasks and commands of a file are wanted.

    Attributes
    ----------
    title : str, optional
        Only documents of this one.
    commands : list of str
        Only these; empty: all.
    sample : int, optional
        So many of each document.
    seed : int
    """

    title: str | None = None
    commands: list[str] = []
    sample: int | None = None
    seed: int = 0


class _Set(msgspec.Struct):
    """A parameter set: as its document has it, and resolved; which commands; of which documents."""

    given: dict[str, Any]
    resolved: dict[str, Any]
    commands: set[str]
    documents: set[int]


def tasks_of(file: SweepFile, wanted: Selection, exists: Callable[[str], bool]) -> list[SweepTask]:
    """Return the tasks of a sweep, each once.

    Parameters
    ----------
    file : SweepFile
    wanted : Selection
    exists : callable
        Whether a text is the path of something that is there.

    Raises
    ------
    InputError
        A placeholder has no value, or there are too many tasks.
    """
    # with the documents of other titles, so that a name does not depend on which of them are run
    sets = _sets(file, wanted)
    names = unique_names([one.given for one in sets], exists)
    numbers = set(file.titled(wanted.title))
    chosen = [(name, one) for name, one in zip(names, sets, strict=True) if one.documents & numbers]
    return [
        SweepTask(index, name, one.given, one.resolved, commands, _keys(one, commands))
        for index, (name, one) in enumerate(chosen)
        if (commands := _commands(file, one, min(one.documents & numbers), wanted.commands))
    ]


@contextmanager
def _naming(file: SweepFile, number: int) -> Iterator[None]:
    """Let an error begin with the file and the document."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{file.name}, {file.documents[number].name}: {error}") from error


def _keys(one: _Set, commands: Mapping[str, str]) -> dict[str, str]:
    keys = {}
    for name, text in commands.items():
        reads_all = not reserved_in(text).isdisjoint(_ALL_PARAMETERS)
        keys[name] = digest([one.given, name, text, one.resolved if reads_all else None])
    return keys


def _sets(file: SweepFile, wanted: Selection) -> list[_Set]:
    found: dict[str, _Set] = {}
    for number, document in enumerate(file.documents):
        commands = set(document.commands or file.commands)
        seed = f"{wanted.seed} {number}"
        with _naming(file, number):
            for given in combinations(document.choices, wanted.sample, seed):
                resolved = resolve(given, file)
                one = found.setdefault(as_text(resolved), _Set(given, resolved, set(), set()))
                one.commands |= commands
                one.documents.add(number)
        if len(found) > MOST:
            raise InputError(
                f"there are more than {MOST:,} tasks. Draw some of them: --sample 1000."
            )
    return list(found.values())


def resolve(given: Mapping[str, Any], file: SweepFile) -> dict[str, Any]:
    """Return parameters with packs replaced, and defaults filled in."""
    defaults = {name: its for name, its in file.defaults.items() if name not in given}
    return {**_unpacked(defaults, file.packs), **_unpacked(given, file.packs)}


def _unpacked(given: Mapping[str, Any], packs: Mapping[str, Any]) -> dict[str, Any]:
    own = {name: value for name, value in given.items() if name not in packs}
    for name in given:
        if name in packs:
            own |= alias_of(packs[name], given[name], name)
    return own


def _commands(file: SweepFile, one: _Set, document: int, typed: Collection[str]) -> dict[str, str]:
    wanted = [
        template for template in file.templates
        if template.name in one.commands and template.name in (typed or one.commands)
    ]  # fmt: skip
    with _naming(file, document):
        filled = {its.name: fill(its, one.resolved, file.fillings) for its in wanted}
        for name, text in filled.items():
            check_argument(shown(text), f"command {name}: text")
    return filled


def unused(file: SweepFile, tasks: Sequence[SweepTask]) -> list[str]:
    """Return the parameters that no template has."""
    in_use = {one.name for template in file.templates for one in template.placeholders}
    given = dict.fromkeys(name for one in tasks for name in one.parameters)
    return [name for name in given if name not in in_use]
