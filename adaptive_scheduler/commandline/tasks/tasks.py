"""The command ``tasks``: list the tasks of a run."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer

from adaptive_scheduler.commandline.input.arguments import AsJson, OptionalRun, Tag
from adaptive_scheduler.commandline.input.find_run import find_run
from adaptive_scheduler.commandline.input.find_tasks import with_tag
from adaptive_scheduler.commandline.input.suggestions import did_you_mean
from adaptive_scheduler.commandline.output.errors import reports_errors
from adaptive_scheduler.commandline.output.json_lines import print_json
from adaptive_scheduler.commandline.output.terminal import console, print_line
from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.errors import InputError

#: Lines unless `--limit` or `--json` is given.
_LINES = 30


@reports_errors
def tasks(
    run: OptionalRun = None,
    state: Annotated[
        str | None,
        typer.Option(help="Only waiting, queued, running, done, failed or cancelled ones."),
    ] = None,
    tag: Tag = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help=f"The first N. Default: {_LINES}; with --json all of them."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the tasks of a run.

    With --json one line for each task. They are read from disk: what was acknowledged is there,
    with and without a manager.

    Example: `adaptive-scheduler tasks RUN --state failed`
    """
    from adaptive_scheduler.core.rows.row import Phase
    from adaptive_scheduler.runs.task_run import TaskRun
    from adaptive_scheduler.runs.views.tasks import tasks_table

    states = [phase.value for phase in Phase]
    if state is not None and state not in states:
        raise InputError(
            f"--state {state}: there is no such state.{did_you_mean(state, states)} "
            f"Known are {', '.join(states)}."
        )
    found = TaskRun(find_run(run))
    rows = found.rows()
    if tag is not None:
        rows = [rows[number] for number in with_tag(rows, tag)]
    n = sum(state in (None, row.phase.value) for row in rows)
    shown = found.table(state, tag, limit or (None if as_json else _LINES))
    if as_json:
        for one in shown:
            print_json(one)
        return
    if shown:
        console.print(tasks_table(shown))
    phases = Counter(row.phase.value for row in rows)
    print_line(_sums(phases, n, len(shown), state, tag), "dim")


def _sums(phases: Counter[str], found: int, shown: int, state: str | None, tag: str | None) -> str:
    if not phases:
        return "No tasks yet."
    of = f" with tag {tag}" if tag is not None else ""
    states = ", ".join(f"{n:,} {phase}" for phase, n in phases.items())
    sums = f"{counted(phases.total(), 'task')}{of}: {states}."
    if not found:
        return f"None is {state}. {sums}"
    more = f" Shown are the first {shown:,} of {found:,}; --limit shows more."
    return sums + (more if shown < found else "")
