"""The command ``task``: show all that is known of one task."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from adaptive_scheduler.commandline.input.arguments import AsJson
from adaptive_scheduler.commandline.input.find_run import find_run
from adaptive_scheduler.commandline.input.find_tasks import one_task
from adaptive_scheduler.commandline.input.parsing.completion import complete_run_and_items
from adaptive_scheduler.commandline.output.errors import reports_errors
from adaptive_scheduler.commandline.output.json_lines import print_json
from adaptive_scheduler.commandline.output.terminal import console, print_line, quoted
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import InputError


@reports_errors
def task(
    words: Annotated[
        list[str],
        typer.Argument(
            help="The run, which may be left out if there is only one below the current folder, "
            "and a task: its id, its name or its key.",
            metavar="[RUN] TASK",
            autocompletion=complete_run_and_items,
        ),
    ],
    lines: Annotated[
        int, typer.Option("--lines", "-n", help="Most lines of its output that are shown.", min=1)
    ] = 20,
    as_json: AsJson = False,
) -> None:
    """Show all that is known of one task: state, why, tries, times, where, output, value.

    Of a call that raised the traceback is shown, too.

    Example: `adaptive-scheduler task RUN 17`
    """
    if len(words) > 2:
        raise InputError(f"{' '.join(words)}: give one run and one task.")
    if len(words) == 1 and RunFolder(words[0]).config.exists():
        raise InputError(f"{words[0]} is a run. Which of its tasks? Give an id, such as 7.")
    run = find_run(words[0] if len(words) == 2 else None)
    found = show(run, words[-1], lines, as_json=as_json)
    if found and not as_json:
        print_line(found, "dim")


def show(folder: RunFolder, typed: str, lines: int, *, as_json: bool) -> str:
    """Print one task; returns what can be done about it."""
    from adaptive_scheduler.runs.task_run import TaskRun
    from adaptive_scheduler.runs.views.tasks import task_lines

    run = TaskRun(folder)
    found = run.details(one_task(run.folder, run.rows(), typed), lines)
    if as_json:
        print_json(found)
        return ""
    for line in task_lines(found):
        console.print(line, soft_wrap=True)
    for title, text in (
        ("Traceback", found["traceback"]),
        ("The end of its output", found["output_tail"]),
    ):
        if text:
            print_line(f"{title}:", "bold")
            console.print(Text(text.rstrip()), soft_wrap=True)
    return _advice(folder, found)


def _advice(folder: RunFolder, found: dict[str, Any]) -> str:
    run, number = quoted(folder), found["task"]
    if found["state"] in ("failed", "cancelled"):
        return f"To run it again: adaptive-scheduler retry {run} {number}"
    return ""
