"""The command ``results``: a table of what a sweep has brought."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adaptive_scheduler.commandline.input.values import parse_pairs
from adaptive_scheduler.commandline.output.errors import reports_errors
from adaptive_scheduler.commandline.output.json_lines import print_json
from adaptive_scheduler.commandline.output.terminal import console
from adaptive_scheduler.errors import InputError

if TYPE_CHECKING:
    from adaptive_scheduler.runs.sweep.results import ResultTable


@reports_errors
def results(
    output: Annotated[
        str, typer.Argument(help="The output folder of a sweep.", metavar="OUTPUT")
    ] = "output",
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="A column: the last match of an expression in the newest log, or what its first group "
            "has matched.", metavar="NAME=REGEX ...",
        ),
    ] = None,
    all_columns: Annotated[
        bool, typer.Option("--all", help="Also parameters that are the same for all tasks.")
    ] = False,
    tsv: Annotated[bool, typer.Option("--tsv", help="With tabs between the columns.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="For programs: one line for each task.")
    ] = False,
) -> None:  # fmt: skip
    r"""Print a table of a sweep: a row for each task, a column for each parameter and metric.

    Example: `adaptive-scheduler results output --metric 'loss=loss=(\S+)'`
    """
    from adaptive_scheduler.runs.sweep.results import result_table

    if tsv and as_json:
        raise InputError("--tsv and --json are two forms: give one of them.")
    table = result_table(output, parse_pairs(metric or [], "--metric"), all_columns=all_columns)
    if as_json:
        for name, row in table.rows.items():
            print_json(_json_row(name, table.columns, row))
    elif tsv:
        writer = csv.writer(sys.stdout, delimiter="\t", lineterminator="\n")
        writer.writerow(["task", *table.columns])
        writer.writerows(_cells(table))
    else:
        _print_table(table)


def _json_row(task: str, columns: Sequence[str], row: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter called ``task`` is ``param.task``: the key is that of the task's name."""
    other = "task"
    while other in columns:
        other = f"param.{other}"
    return {"task": task, **{other if one == "task" else one: row.get(one) for one in columns}}


def _cells(table: ResultTable) -> list[list[str]]:
    return [
        [name, *("" if (its := row.get(one)) is None else str(its) for one in table.columns)]
        for name, row in table.rows.items()
    ]


def _print_table(table: ResultTable) -> None:
    from rich.text import Text

    from adaptive_scheduler.runs.views.tables import table as view

    lines = [[Text(cell) for cell in row] for row in _cells(table)]
    console.print(view("", ["task", *table.columns], lines))
