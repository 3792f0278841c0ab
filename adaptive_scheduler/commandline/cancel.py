"""The command ``cancel``: end a run."""

from __future__ import annotations

from adaptive_scheduler.commandline.input.arguments import NamedRun
from adaptive_scheduler.commandline.input.find_run import find_run
from adaptive_scheduler.commandline.output.ending import how_it_ended, wait_for_jobs
from adaptive_scheduler.commandline.output.errors import prints_option_names, reports_errors
from adaptive_scheduler.commandline.output.terminal import print_line, quoted
from adaptive_scheduler.runs.views.render import counted


@reports_errors
def cancel(run: NamedRun) -> None:
    """End a run: its jobs save their data and leave the queue.

    Learners that are done stay done; `resume` goes on with the others.

    Example: `adaptive-scheduler cancel RUN`
    """
    from adaptive_scheduler.runs.manager_client import ManagerClient
    from adaptive_scheduler.runs.run_manager import RunManager

    folder = find_run(run)
    with ManagerClient(folder) as client:
        before = client.snapshot("none")
    if before.over and not before.jobs:
        print_line(f"Nothing to cancel: {how_it_ended(before)}.")
        return
    manager = RunManager.attach(folder)
    with prints_option_names():
        n = manager.cancel()
    print_line(
        f"{counted(n, 'learner')} cancelled; their jobs save and end. Ctrl-C stops waiting for them."
    )
    wait_for_jobs(manager)
    print_line(f"To go on: adaptive-scheduler resume {quoted(folder)}")
