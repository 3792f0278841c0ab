"""The command ``explain``: why something does not run, or is not done."""

from __future__ import annotations

from pathlib import Path
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
from adaptive_scheduler.errors import InputError

if TYPE_CHECKING:
    from adaptive_scheduler.core.reasons.explanation import Explanation


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
    if len(words) > 2:
        raise InputError(f"{' '.join(words)}: give one run, and one learner, task or job.")
    if len(words) == 1 and RunFolder(words[0]).config.exists():
        raise InputError(
            f"{words[0]} is a run. Which of its learners, tasks or jobs? Give an id, such as 7; "
            "`adaptive-scheduler status` shows them."
        )
    folder = find_run(Path(words[0]) if len(words) == 2 else None)
    found = find_and_explain(folder, words[-1], is_job=is_job)
    if as_json:
        print_json(found.to_dict())
    else:
        print_line(fill(in_option_names(found.text), quoted(folder), found.id))
        if found.kind != "job" and is_known_job(folder, words[-1]):
            print_line(f"There is a job {words[-1]}, too: give --job for that.", "dim")


def is_known_job(folder: RunFolder, typed: str) -> bool:
    """Whether the run has had a job of this id."""
    from adaptive_scheduler.runs.reasons.explain import jobs_of

    return typed in jobs_of(folder)


def find_and_explain(folder: RunFolder, typed: str, *, is_job: bool) -> Explanation:
    """Find out what was typed: an item of the run, or else one of its jobs.

    Raises
    ------
    InputError
        There is neither; it names what is near, or the range.
    """
    from adaptive_scheduler.runs.reasons.explain import jobs_of
    from adaptive_scheduler.runs.run import Run
    from adaptive_scheduler.runs.task_run import TaskRun, is_of_tasks

    run = TaskRun(folder) if is_of_tasks(folder) else Run.attach(folder)
    if is_job:
        return run.explain_job(typed)
    try:
        if isinstance(run, Run):
            return run[find_learner(typed, run.fnames)].explain()
        return run.explain(one_task(run, typed))
    except InputError as error:
        jobs = jobs_of(folder)
        if typed in jobs:
            return run.explain_job(typed)
        last = (
            f"nor has it such a job (the last one is {jobs[-1]})" if jobs else "it has no jobs yet"
        )
        raise InputError(f"{str(error).rstrip()} {last[0].upper()}{last[1:]}.") from error
