"""The command ``help``: what an error means and what to do about it, or how a command is used."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from adaptive_scheduler.commandline.input.arguments import AsJson
from adaptive_scheduler.commandline.output.errors import reports_errors
from adaptive_scheduler.commandline.output.json_lines import SCHEMA_VERSION, print_json
from adaptive_scheduler.commandline.output.terminal import console, print_line
from adaptive_scheduler.core.suggestions import did_you_mean
from adaptive_scheduler.errors import InputError

if TYPE_CHECKING:
    from adaptive_scheduler.core.reasons.error_help import ErrorHelp


@reports_errors
def help_on(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(help="An error, as a traceback names it; or a command.", metavar="NAME"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what an error means and what to do about it, or how a command is used.

    Example: `adaptive-scheduler help SubmitRefusedError`
    """
    from adaptive_scheduler.core.reasons.error_help import error_help

    program = context.find_root().command
    assert isinstance(program, TyperGroup)
    words = names or []
    if as_json and (not words or words[0] in program.commands):
        print_json(_usage(program, words))
        return
    if not words or words[0] in program.commands:
        program.main([*words, "--help"], prog_name="adaptive-scheduler", standalone_mode=False)
        return
    _print(error_help(" ".join(words), program.commands), as_json)


def _usage(program: TyperGroup, words: list[str]) -> dict[str, Any]:
    """How a command is used, and its options."""
    command, context = (
        program,
        program.make_context("adaptive-scheduler", [], resilient_parsing=True),
    )
    for word in words:
        inside = getattr(command, "commands", {})
        if word not in inside:
            raise InputError(
                f"{' '.join(words)}: there is no such command.{did_you_mean(word, inside)}"
            )
        command = inside[word]
        context = command.make_context(word, [], parent=context, resilient_parsing=True)
    return {
        "schema_version": SCHEMA_VERSION, "command": " ".join(words), "help": inspect.cleandoc(command.help or ""),
        "usage": context.get_usage().removeprefix("Usage: "), "commands": list(getattr(command, "commands", [])),
        "options": [
            {"names": [*one.opts, *one.secondary_opts], "help": getattr(one, "help", "") or "", "takes": one.metavar or None}
            for one in command.get_params(context) if one.param_type_name == "option"
        ],
    }  # fmt: skip


def _print(found: ErrorHelp, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    print_line(found.name, style="bold")
    table = Table.grid(padding=(0, 2))
    for label, text in (
        ("means", found.meaning),
        ("when", found.when),
        ("remedy", found.remedy),
        ("example", found.example),
        ("is a", found.is_a),
    ):
        table.add_row(label, Text(text))
    console.print(table)
