"""The command ``resume``: go on with a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from adaptive_scheduler.commandline.input.arguments import DryRun, OptionalRun, Watch
from adaptive_scheduler.commandline.input.find_run import find_run
from adaptive_scheduler.commandline.output import exit_codes
from adaptive_scheduler.commandline.output.dry_run import would
from adaptive_scheduler.commandline.output.errors import prints_option_names, reports_errors
from adaptive_scheduler.commandline.output.json_lines import has_result, print_result
from adaptive_scheduler.commandline.output.terminal import exit_with, print_line, quoted
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.texts import counted

if TYPE_CHECKING:
    from adaptive_scheduler.core.wire.snapshot import Snapshot


@reports_errors
@has_result
def resume(
    run: OptionalRun = None,
    if_dead: Annotated[
        bool,
        typer.Option(
            "--if-dead",
            help="Only if the manager has died, never after a cancel; for cron.",
        ),
    ] = False,
    watch: Watch = False,
    dry_run: DryRun = False,
) -> None:
    """Go on with a run that was cancelled, is held, or has lost its manager.

    What is done stays done; jobs that still run are kept. What has failed is for `retry`.

    Example: `adaptive-scheduler resume RUN --watch`
    """
    from adaptive_scheduler.commandline.output.ending import watch_to_end
    from adaptive_scheduler.runs.manager_client import ManagerClient

    with ManagerClient(find_run(run)) as client:
        before = client.snapshot("none")
        nothing = why_not(before, if_dead)
        to_do = 0 if nothing else before.unfinished + before.phases.get("cancelled", 0)
        if nothing:
            print_line(f"Nothing to resume: {nothing}.")
            if before.phases.get("failed"):
                print_line(
                    f"To run the failed {before.kind}s again: adaptive-scheduler retry "
                    f"{quoted(client.folder)}"
                )
        elif dry_run:
            _refuse_broken(client.folder)
            print_line(
                f"{would(dry_run)}the run goes on, with {counted(to_do, before.kind)} to do."
            )
        else:
            with prints_option_names():
                n = _resumed(client.folder)
            print_line(_going_on(before, n, client.folder))
        code = watch_to_end(client) if watch and not dry_run else exit_codes.DONE
        print_result(
            "resume", dry_run=dry_run, folder=client.folder.home, kind=before.kind, to_do=to_do,
            nothing_because=nothing, phases=client.snapshot("none").phases,
        )  # fmt: skip
        exit_with(code)


def _refuse_broken(folder: RunFolder) -> None:
    from adaptive_scheduler.runs.start.change_run import refuse_without_learners

    refuse_without_learners(folder)


def _resumed(folder: RunFolder) -> int:
    from adaptive_scheduler.runs.run import Run
    from adaptive_scheduler.runs.task_run import TaskRun, is_of_tasks

    return TaskRun(folder).resume() if is_of_tasks(folder) else Run.attach(folder).resume()


def why_not(run: Snapshot, if_dead: bool) -> str:
    """Why a run cannot be resumed; "" if it can.

    Parameters
    ----------
    run : Snapshot
    if_dead : bool
        Resume it only if its manager has died.
    """
    from adaptive_scheduler.runs.views import render

    cancelled = run.phases.get("cancelled", 0)
    if run.over and (if_dead or not (cancelled or run.jobs)):
        return render.how_it_ended(run)
    if run.alive and (if_dead or not (cancelled or run.is_held)):
        return f"its manager runs on {run.manager}"
    return ""


def _going_on(before: Snapshot, again: int, folder: RunFolder) -> str:
    left = sum(before.phases.get(phase, 0) for phase in ("waiting", "queued", "running"))
    cancelled = f" ({again} of them had been cancelled)" if again else ""
    to_do = counted(left + again, before.kind)
    return (
        f"The run goes on: {to_do} to do{cancelled}. Watch it with: "
        f"adaptive-scheduler status --watch {quoted(folder)}"
    )
