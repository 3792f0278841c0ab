"""The command ``tasks``: list the tasks of a run."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from adaptive_scheduler.commandline.input.arguments import AsJson, OptionalRun, Tag
from adaptive_scheduler.commandline.input.find_run import find_run
from adaptive_scheduler.commandline.input.find_tasks import with_tag
from adaptive_scheduler.commandline.input.suggestions import did_you_mean
from adaptive_scheduler.commandline.output.errors import reports_errors
from adaptive_scheduler.commandline.output.json_lines import print_json
from adaptive_scheduler.commandline.output.terminal import console, print_line
from adaptive_scheduler.errors import InputError

if TYPE_CHECKING:
    from adaptive_scheduler.core.rows.row import TaskItem

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
    chosen = _Choice(state, tag, limit or (None if as_json else _LINES))
    shown = TaskRun(find_run(run)).table(chosen)
    if as_json:
        for one in shown:
            print_json(one)
        return
    if shown:
        console.print(tasks_table(shown))
    print_line(chosen.sums(len(shown)), "dim")


class _Choice:
    """The tasks that are shown, and how many there are.

    Parameters
    ----------
    state, tag : str, optional
        Only tasks of these.
    limit : int, optional
        At most so many.
    """

    def __init__(self, state: str | None, tag: str | None, limit: int | None) -> None:
        self._state, self._tag, self._limit = state, tag, limit
        self._phases: Counter[str] = Counter()

    def __call__(self, rows: list[TaskItem]) -> list[TaskItem]:
        """Choose among all."""
        if self._tag is not None:
            rows = [rows[number] for number in with_tag(rows, self._tag)]
        self._phases = Counter(row.phase.value for row in rows)
        chosen = (row for row in rows if self._state in (None, row.phase.value))
        return list(itertools.islice(chosen, self._limit))

    def sums(self, shown: int) -> str:
        """How many there are, and how many of them are shown."""
        phases = self._phases
        if not phases:
            return "No tasks yet."
        found = phases.total() if self._state is None else phases[self._state]
        of = f" with tag {self._tag}" if self._tag is not None else ""
        states = ", ".join(f"{n:,} {phase}" for phase, n in phases.items() if n)
        total = phases.total()
        sums = f"{total:,} task{'s' if total != 1 else ''}{of}: {states}."
        if not found:
            return f"None is {self._state}. {sums}"
        more = f" Shown are the first {shown:,} of {found:,}; --limit shows more."
        return sums + (more if shown < found else "")
