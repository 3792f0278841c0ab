"""The command ``cancel``: end a run, or some of its learners or tasks."""

from __future__ import annotations

from typing import Annotated

import typer

from adaptive_scheduler.commandline.input.arguments import NamedRun, Tag
from adaptive_scheduler.commandline.input.find_run import find_run
from adaptive_scheduler.commandline.input.find_tasks import chosen_tasks, refuse_tag
from adaptive_scheduler.commandline.output import exit_codes
from adaptive_scheduler.commandline.output.errors import prints_option_names, reports_errors
from adaptive_scheduler.commandline.output.terminal import exit_with, print_line, quoted
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.texts import counted


@reports_errors
def cancel(
    run: NamedRun,
    items: Annotated[
        list[str] | None,
        typer.Argument(
            help="Only these learners (numbers, fnames or their ends) or tasks (ids, ranges such "
            "as 20-29, names); the run goes on. Default: the whole run.",
            metavar="LEARNER|TASK",
        ),
    ] = None,
    tag: Tag = None,
) -> None:
    """End a run, or some of its learners or tasks.

    The jobs of a run save their data and leave the queue. What is done stays done; `resume` goes
    on with the rest.

    Example: `adaptive-scheduler cancel RUN`
    """
    if items or tag is not None:
        _cancel_some(find_run(run), items or [], tag)
    else:
        _cancel_all(find_run(run))


def _cancel_some(folder: RunFolder, typed: list[str], tag: str | None) -> None:
    from adaptive_scheduler.commandline.input.find_learner import find_learner
    from adaptive_scheduler.runs.run import Run
    from adaptive_scheduler.runs.task_run import TaskRun, is_of_tasks

    if is_of_tasks(folder):
        tasks = TaskRun(folder)
        chosen = chosen_tasks(tasks, typed, tag)
        what, n = "task", tasks.cancel(chosen)
    else:
        refuse_tag(tag)
        learners = Run.attach(folder)
        chosen = [find_learner(name, learners.fnames) for name in typed]
        what, n = "learner", learners.cancel_items(chosen)
    ended = len(chosen) - n
    rest = f"; {ended:,} had ended before" if ended else ""
    print_line(f"{counted(n, what)} cancelled{rest}.")


def _cancel_all(folder: RunFolder) -> None:
    from adaptive_scheduler.commandline.output.ending import how_it_ended, leaving, wait_for_jobs
    from adaptive_scheduler.runs.manager_client import ManagerClient
    from adaptive_scheduler.runs.run import Run

    with ManagerClient(folder) as client:
        before = client.snapshot("none")
    if before.over and not before.jobs:
        print_line(f"Nothing to cancel: {how_it_ended(before)}.")
        return
    found = Run.attach(folder)
    with prints_option_names():
        n = found.cancel()
    print_line(
        f"{counted(n, before.kind)} cancelled; their jobs {leaving(before.kind)}."
        if n
        else f"All {before.kind}s had ended before; the last jobs end."
    )
    try:
        wait_for_jobs(found)
    except KeyboardInterrupt:
        print_line("\nThe run is cancelled. Its last jobs may still be ending; status shows them.")
        exit_with(exit_codes.INTERRUPTED)
    print_line(f"To go on: adaptive-scheduler resume {quoted(folder)}")
