"""The command ``explain``: why something does not run, or is not done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from adaptive_scheduler.commandline.input.arguments import AsJson
from adaptive_scheduler.commandline.input.find_learner import find_learner
from adaptive_scheduler.commandline.input.find_run import find_run
from adaptive_scheduler.commandline.input.find_tasks import one_task
from adaptive_scheduler.commandline.input.parsing.completion import complete_run_and_items
from adaptive_scheduler.commandline.output.errors import reports_errors
from adaptive_scheduler.commandline.output.json_lines import print_json
from adaptive_scheduler.commandline.output.option_names import in_option_names
from adaptive_scheduler.commandline.output.terminal import print_line, quoted
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.reasons.explanation import fill
from adaptive_scheduler.core.rows.row import TASK
from adaptive_scheduler.errors import InputError

if TYPE_CHECKING:
    from adaptive_scheduler.core.reasons.explanation import Explanation
    from adaptive_scheduler.io.storage.glance import Glance
    from adaptive_scheduler.runs.manager_client import ManagerClient


@reports_errors
def explain(
    words: Annotated[
        list[str],
        typer.Argument(
            help="The run, which may be left out if there is only one below the current folder; "
            "and a learner (its number, its fname or the end of it), a task (its id, name or key) "
            "or a job (the batch system's id).",
            metavar="[RUN] ITEM|JOB",
            autocompletion=complete_run_and_items,
        ),
    ],
    is_job: Annotated[
        bool, typer.Option("--job", help="It is a job, though a learner or task has this number.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say why a learner, a task or a job does not run, or is not done, and what to do.

    It asks the manager; if there is none, the database. Changes nothing.

    Example: `adaptive-scheduler explain RUN 17`
    """
    from adaptive_scheduler.runs.manager_client import ManagerClient
    from adaptive_scheduler.runs.reasons.explain import jobs_of, look

    if len(words) > 2:
        raise InputError(f"{' '.join(words)}: give one run, and one learner, task or job.")
    if len(words) == 1 and RunFolder(words[0]).config.exists():
        raise InputError(
            f"{words[0]} is a run. Which of its learners, tasks or jobs? Give an id, such as 7; "
            "`adaptive-scheduler status` shows them."
        )
    folder = find_run(words[0] if len(words) == 2 else None)
    seen = look(folder)
    with ManagerClient(folder) as viewer:
        found = find_and_explain(viewer, seen, words[-1], is_job=is_job)
    if as_json:
        print_json(found.to_dict())
    else:
        print_line(fill(in_option_names(found.text), quoted(folder), found.id))
        if found.kind != "job" and words[-1] in jobs_of(seen):
            print_line(f"There is a job {words[-1]}, too: give --job for that.", "dim")


def find_and_explain(
    viewer: ManagerClient, seen: Glance, typed: str, *, is_job: bool
) -> Explanation:
    """Find out what was typed, an item of the run or else one of its jobs, and explain it.

    Raises
    ------
    InputError
        There is neither; it names what is near, or the range.
    """
    from adaptive_scheduler.runs.reasons.explain import explain_item, explain_job, jobs_of

    if is_job:
        return explain_job(viewer, typed, seen)
    try:
        item = find_item(viewer.folder, seen, typed)
    except InputError as error:
        jobs = jobs_of(seen)
        if typed in jobs:
            return explain_job(viewer, typed, seen)
        last = (
            f"nor has it such a job (the last one is {jobs[-1]})" if jobs else "it has no jobs yet"
        )
        raise InputError(f"{str(error).rstrip()} {last[0].upper()}{last[1:]}.") from error
    return explain_item(viewer, item, seen)


def find_item(folder: RunFolder, seen: Glance, typed: str) -> int:
    """Find a learner or a task; the names of all are read only if no number was typed."""
    if typed.isascii() and typed.isdecimal() and len(typed) < 10 and int(typed) < len(seen):
        return int(typed)
    if seen.kind == TASK:
        return one_task(folder, seen.names(), typed)
    return find_learner(typed, [row.fname for row in seen.names()])
