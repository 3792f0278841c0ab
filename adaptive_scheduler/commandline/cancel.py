"""The command ``cancel``: end a run, or some of its learners or tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adaptive_scheduler.commandline.input.arguments import DryRun, RunAndItems, Tag
from adaptive_scheduler.commandline.input.find_run import split_run
from adaptive_scheduler.commandline.input.find_tasks import chosen_tasks, refuse_tag
from adaptive_scheduler.commandline.output import exit_codes
from adaptive_scheduler.commandline.output.dry_run import UNFINISHED, count_in, would
from adaptive_scheduler.commandline.output.errors import prints_option_names, reports_errors
from adaptive_scheduler.commandline.output.json_lines import has_result, print_result
from adaptive_scheduler.commandline.output.terminal import exit_with, print_line, quoted
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.texts import counted

if TYPE_CHECKING:
    from adaptive_scheduler.core.wire.snapshot import Snapshot


@reports_errors
@has_result
def cancel(
    words: RunAndItems = None,
    tag: Tag = None,
    dry_run: DryRun = False,
) -> None:
    """End a run, or some of its learners or tasks.

    The jobs of a run save their data and leave the queue. What is done stays done; `resume` goes
    on with the rest.

    Example: `adaptive-scheduler cancel RUN`
    """
    folder, items = split_run(words or [])
    if items or tag is not None:
        _cancel_some(folder, items, tag, dry_run)
    else:
        _cancel_all(folder, dry_run)


def _cancel_some(folder: RunFolder, typed: list[str], tag: str | None, dry_run: bool) -> None:
    from adaptive_scheduler.commandline.input.find_learner import find_learner
    from adaptive_scheduler.runs.run import Run
    from adaptive_scheduler.runs.task_run import TaskRun, is_of_tasks

    if is_of_tasks(folder):
        tasks = TaskRun(folder)
        chosen = chosen_tasks(tasks, typed, tag)
        what = "task"
    else:
        refuse_tag(tag)
        learners = Run.attach(folder)
        chosen = [find_learner(name, learners.fnames) for name in typed]
        what = "learner"
    if dry_run:
        n = count_in(folder, chosen, UNFINISHED)
    else:
        n = tasks.cancel(chosen) if what == "task" else learners.cancel_items(chosen)
    ended = len(chosen) - n
    rest = f"; {ended:,} had ended before" if ended else ""
    print_line(f"{would(dry_run)}{counted(n, what)} cancelled{rest}.")
    print_result(
        "cancel",
        dry_run=dry_run,
        folder=folder.home,
        kind=what,
        cancelled=n,
        ended_before=ended,
        jobs=None,
    )


def _cancel_all(folder: RunFolder, dry_run: bool) -> None:
    from adaptive_scheduler.commandline.output.ending import leaving, wait_for_jobs
    from adaptive_scheduler.runs.manager_client import ManagerClient
    from adaptive_scheduler.runs.run import Run
    from adaptive_scheduler.runs.views import render

    with ManagerClient(folder) as client:
        before = client.snapshot("none")
    if before.over and not before.jobs:
        print_line(f"Nothing to cancel: {render.how_it_ended(before)}.")
        _print_all(folder, before, dry_run=dry_run, n=0, jobs=0)
        return
    if dry_run:
        jobs = f", {counted(len(before.jobs), 'job')} told to end" if before.jobs else ""
        print_line(f"{would(dry_run)}{counted(before.unfinished, before.kind)} cancelled{jobs}.")
        _print_all(folder, before, dry_run=True, n=before.unfinished, jobs=len(before.jobs))
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
        _print_all(folder, before, dry_run=False, n=n, jobs=len(found.snapshot("none").jobs))
        exit_with(exit_codes.INTERRUPTED)
    _print_all(folder, before, dry_run=False, n=n, jobs=len(found.snapshot("none").jobs))
    print_line(f"To go on: adaptive-scheduler resume {quoted(folder)}")


def _print_all(folder: RunFolder, before: Snapshot, *, dry_run: bool, n: int, jobs: int) -> None:
    """Print for programs what became of a whole run."""
    print_result(
        "cancel", dry_run=dry_run, folder=folder.home, kind=before.kind, cancelled=n,
        ended_before=before.total - n, jobs=jobs,
    )  # fmt: skip
