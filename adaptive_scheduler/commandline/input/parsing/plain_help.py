"""Help in plain words: no ``<bool>``, no ``{RUN}``, no ``[[TASK]...]...``."""

from __future__ import annotations

from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup

from adaptive_scheduler.commandline.input.parsing.for_programs import tells_programs
from adaptive_scheduler.commandline.input.parsing.plain_values import converts_plain_values

#: Beside ``--help``.
HELP_NAMES = {"help_option_names": ["-h", "--help"]}


class CommandWithPlainHelp(TyperCommand):
    """A command whose help has no names of Python's types."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, each with the word that stands for its value."""
        return [_plain(parameter) for parameter in super().get_params(ctx)]

    def make_context(self, info_name: Any, args: list[str], *more: Any, **others: Any) -> Any:
        """Parse the words; what is wrong with them is told to programs, too."""
        with tells_programs(args):
            return super().make_context(info_name, args, *more, **others)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return ``[OPTIONS]`` and the arguments, as their metavars write them."""
        return _usage(self, ctx)


class GroupWithPlainHelp(TyperGroup):
    """Commands whose help has no names of Python's types."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, each with the word that stands for its value."""
        return [_plain(parameter) for parameter in super().get_params(ctx)]

    def make_context(self, info_name: Any, args: list[str], *more: Any, **others: Any) -> Any:
        """Parse the words before the command; what is wrong with them is told to programs, too."""
        with tells_programs(args):
            return super().make_context(info_name, args, *more, **others)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; that there is none is told to programs, too."""
        with tells_programs(args):
            return super().resolve_command(ctx, args)


def _plain(parameter: Any) -> Any:
    return converts_plain_values(in_plain_words(parameter))


def in_plain_words(parameter: Any) -> Any:
    """Name what an option takes, unless that is done: nothing for a flag, else TEXT, N or PATH."""
    if parameter.param_type_name == "argument":
        parameter.display_type_rich = lambda **_: ""  # its name says it
    elif getattr(parameter, "is_flag", False):
        parameter.metavar = ""
    elif parameter.metavar is None:
        parameter.metavar = _word(parameter)
    parameter._get_number_range_help_str = lambda: None  # noqa: SLF001 typer has no other way
    return parameter


def _word(parameter: Any) -> str:
    kind = str(getattr(parameter, "type", None) or parameter.type_descriptor.annotation).lower()
    if "int" in kind or "float" in kind:
        return "N"
    return "PATH" if "path" in kind else "TEXT"


def _usage(command: TyperCommand, ctx: Any) -> list[str]:
    found = [command.options_metavar or ""]
    for parameter in command.get_params(ctx):
        if isinstance(parameter, TyperArgument):
            name = parameter.metavar or str(parameter.name).upper()
            is_written = parameter.required or name.startswith("[")
            found.append(name if is_written else f"[{name}]")
    return found
