"""The command ``cancel``: end a run."""

from __future__ import annotations

from adaptive_scheduler.commandline.input.arguments import NamedRun
from adaptive_scheduler.commandline.input.find_run import find_run
from adaptive_scheduler.commandline.output import exit_codes
from adaptive_scheduler.commandline.output.errors import prints_option_names, reports_errors
from adaptive_scheduler.commandline.output.terminal import exit_with, print_line, quoted
from adaptive_scheduler.core.texts import counted


@reports_errors
def cancel(run: NamedRun) -> None:
    """End a run: its jobs save their data and leave the queue.

    Learners that are done stay done; `resume` goes on with the others.

    Example: `adaptive-scheduler cancel RUN`
    """
    from adaptive_scheduler.commandline.output.ending import how_it_ended, wait_for_jobs
    from adaptive_scheduler.runs.manager_client import ManagerClient
    from adaptive_scheduler.runs.run import Run

    folder = find_run(run)
    with ManagerClient(folder) as client:
        before = client.snapshot("none")
    if before.over and not before.jobs:
        print_line(f"Nothing to cancel: {how_it_ended(before)}.")
        return
    found = Run.attach(folder)
    with prints_option_names():
        n = found.cancel()
    print_line(
        f"{counted(n, 'learner')} cancelled; their jobs save their data and end."
        if n
        else "All learners had ended before; the last jobs end."
    )
    try:
        wait_for_jobs(found)
    except KeyboardInterrupt:
        print_line("\nThe run is cancelled. Its last jobs may still be saving; status shows them.")
        exit_with(exit_codes.INTERRUPTED)
    print_line(f"To go on: adaptive-scheduler resume {quoted(folder)}")
