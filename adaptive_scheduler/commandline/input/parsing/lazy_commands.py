"""Commands that are imported when one of them is called, or when all are listed.

To make all of them takes longer than most of them take to run.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, MutableMapping
from typing import Any, NamedTuple

import typer

from adaptive_scheduler.commandline.input.parsing.plain_help import GroupWithPlainHelp

_PACKAGE = "adaptive_scheduler.commandline"


class CommandPlace(NamedTuple):
    """Where a command is, and how it is shown.

    Attributes
    ----------
    where : str
        ``module:name``, below `adaptive_scheduler.commandline`, of a function or of a `typer.Typer`.
    kind : str
        That of its class, which parses what is typed.
    panel : str, optional
        Its heading in the help.
    short_help : str, optional
        Its line there; default: the first of its docstring.
    """

    where: str
    kind: str = "input.parsing.aliases:CommandWithAliases"
    panel: str | None = None
    short_help: str | None = None


class LazyCommands(MutableMapping[str, Any]):
    """The commands of a group by name; each is made when it is first asked for.

    Parameters
    ----------
    places : mapping of str to CommandPlace
    """

    def __init__(self, places: dict[str, CommandPlace]) -> None:
        self._places = places
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        """Import the command, unless that is done."""
        if name not in self._made:
            self._made[name] = _make(name, self._places[name])
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        """Add a command that is there already."""
        self._places.setdefault(name, CommandPlace(""))
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        """Take a command out."""
        del self._places[name]
        self._made.pop(name, None)

    def __contains__(self, name: object) -> bool:
        """Whether there is such a command; it is not imported for that."""
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        """The names, in the order of the help."""
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _make(name: str, place: CommandPlace) -> Any:
    found = _import(place.where)
    if isinstance(found, typer.Typer):
        made: Any = typer.main.get_command(found)
        made.name, made.rich_help_panel = name, place.panel
        return made
    alone = typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown"
    )
    options = {"cls": _import(place.kind), "short_help": place.short_help}
    if place.panel is not None:
        options["rich_help_panel"] = place.panel
    alone.command(name, **options)(found)
    return typer.main.get_command(alone)


def _import(where: str) -> Any:
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(f"{_PACKAGE}.{module}"), name)


def lazy_group(places: dict[str, CommandPlace]) -> type[GroupWithPlainHelp]:
    """Return the class of a group of these commands, as `typer.Typer` takes it."""

    class LazyGroup(GroupWithPlainHelp):
        """The group."""

        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            self.commands = LazyCommands(dict(places))

    return LazyGroup
