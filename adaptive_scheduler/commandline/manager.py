"""The command ``manager``: be the manager of a run, or submit one as a job."""

from __future__ import annotations

from typing import Annotated

import typer

from adaptive_scheduler.commandline.input.arguments import DryRun, OptionalRun
from adaptive_scheduler.commandline.input.find_run import find_run
from adaptive_scheduler.commandline.output.dry_run import would
from adaptive_scheduler.commandline.output.errors import reports_errors
from adaptive_scheduler.commandline.output.json_lines import has_result, print_result
from adaptive_scheduler.commandline.output.terminal import exit_with, print_line, quoted
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import InputError, RunError


@reports_errors
@has_result
def manager(
    run: OptionalRun = None,
    as_job: Annotated[
        bool, typer.Option("--as-job", help="Submit it as a job of the run's batch system.")
    ] = False,
    walltime: Annotated[
        str | None, typer.Option(help="Walltime of that job, e.g. 7d; only with --as-job.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Be the manager of a run, in the foreground.

    For tmux or systemd. Ctrl-C ends only the manager: jobs go on, and wait for the next one.

    Example: `adaptive-scheduler manager RUN --as-job --walltime 7d`
    """
    if walltime is not None and not as_job:
        raise InputError("--walltime is of the manager's job: give --as-job, too.")
    folder = find_run(run)
    _refuse_second(folder)
    if as_job:
        from adaptive_scheduler.commandline.manager_job import submit

        exit_with(submit(folder, walltime, dry_run=dry_run))
        return
    if dry_run:
        print_line(f"{would(dry_run)}this is the manager of {folder.database}.")
        _print_begun(folder, dry_run=True)
        return
    from adaptive_scheduler.manager.__main__ import main

    print_line(
        f"This is the manager of {folder.database}; its log is {folder.manager_log}. Ctrl-C ends "
        "only the manager."
    )
    _print_begun(folder, dry_run=False)
    exit_with(main(str(folder)))


def _print_begun(folder: RunFolder, *, dry_run: bool) -> None:
    """Print for programs that the manager begins: its end is that of the process."""
    print_result(
        "manager", dry_run=dry_run, folder=folder.home, log=folder.manager_log, job=None,
        job_script=None, trials=[],
    )  # fmt: skip


def _refuse_second(folder: RunFolder) -> None:
    from adaptive_scheduler.runs.manager_client import ManagerClient

    with ManagerClient(folder) as client:
        if client.lives():
            raise RunError(
                f"{folder.home}: a manager of this run lives already, and there can be only one. "
                f"See it with: adaptive-scheduler status {quoted(folder)}"
            )
