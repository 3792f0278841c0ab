"""The command ``prioritise``: change which tasks go first."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

import typer

from adaptive_scheduler.commandline.input.arguments import DryRun, Tag
from adaptive_scheduler.commandline.input.find_run import split_run
from adaptive_scheduler.commandline.input.find_tasks import chosen_tasks
from adaptive_scheduler.commandline.input.parsing.aliases import CommandWithAliases
from adaptive_scheduler.commandline.input.parsing.completion import complete_run_and_items
from adaptive_scheduler.commandline.output.dry_run import UNFINISHED, count_in, would
from adaptive_scheduler.commandline.output.errors import reports_errors
from adaptive_scheduler.commandline.output.json_lines import has_result, print_result
from adaptive_scheduler.commandline.output.terminal import print_line
from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.errors import InputError

_NEGATIVE = re.compile(r"-(\d|\.\d|inf)[\d.e+-]*", re.IGNORECASE)


class CommandWithNegatives(CommandWithAliases):
    """A command whose arguments may be negative numbers, which look like options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Move them to the end, behind ``--``."""
        if "--" not in args:
            negative = [n for n, one in enumerate(args) if _NEGATIVE.fullmatch(one)
                        and args[n - 1 : n] != ["--priority"]]  # fmt: skip
            others = [one for n, one in enumerate(args) if n not in negative]
            args = [*others, "--", *(args[n] for n in negative)] if negative else args
        return super().parse_args(ctx, args)


@reports_errors
@has_result
def prioritise(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            help="The run, which may be left out if there is only one below the current folder; "
            "tasks (ids, ranges such as 20-29, names), unless --tag is given; and, unless "
            "--priority is given, the new priority: a number, the highest goes first.",
            metavar="[RUN] [TASK ...] [PRIORITY]",
            autocompletion=complete_run_and_items,
        ),
    ] = None,
    tag: Tag = None,
    priority: Annotated[
        str | None, typer.Option(help="The new priority, if it is not the last word.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Give tasks that have not ended a new priority: the highest goes first.

    What runs already goes on.

    Example: `adaptive-scheduler prioritise RUN 3 20-29 5`
    """
    from adaptive_scheduler.runs.task_run import TaskRun

    folder, words = split_run(words or [])
    names, typed = _split(words, priority)
    number = _number(typed, has_more=bool(names) or tag is not None)
    found = TaskRun(folder)
    items = chosen_tasks(found, names, tag)
    n = count_in(folder, items, UNFINISHED) if dry_run else found.prioritise(items, number)
    ended = len(items) - n
    rest = f"; {ended:,} had ended before" if ended else ""
    have = "has" if n == 1 else "have"
    print_line(f"{would(dry_run)}{counted(n, 'task')} {have} priority {number:g}{rest}.")
    print_result(
        "prioritise",
        dry_run=dry_run,
        folder=folder.home,
        priority=number,
        changed=n,
        ended_before=ended,
    )


def _split(words: list[str], priority: str | None) -> tuple[list[str], str]:
    """Return the tasks and the priority, which is the last word or an option."""
    if priority is not None:
        return words, priority
    if not words:
        raise InputError("Give tasks and the priority, such as 3 20-29 5, or 3 20-29 --priority 5.")
    return words[:-1], words[-1]


def _number(text: str, *, has_more: bool) -> float:
    if not has_more:
        raise InputError(
            f"{text}: give tasks and the priority, such as 3 20-29 5, or --tag and the priority."
        )
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{text} is no priority: give a number, such as 5 or -1.")
    return number
