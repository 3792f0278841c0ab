"""How a run ended, and what to do next."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from adaptive_scheduler.commandline.output import exit_codes
from adaptive_scheduler.commandline.output.option_names import for_command_line
from adaptive_scheduler.commandline.output.terminal import console, print_line, print_view, quoted
from adaptive_scheduler.commandline.output.watching import NothingLeft, watch
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import TASK
from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.core.wire.snapshot import Snapshot
from adaptive_scheduler.runs.views import render

if TYPE_CHECKING:
    from adaptive_scheduler.runs.manager_client import ManagerClient
    from adaptive_scheduler.runs.run import Run

#: Seconds that jobs have to save and end after a cancel: Slurm's KillWait is 30 s by default.
_LEAVING = 90.0


def watch_to_end(client: ManagerClient) -> int:
    """Show a run until it ends, and how; returns the exit code. Ctrl-C ends the watching only."""
    folder = client.folder
    if console.is_terminal and sys.stdin.isatty():
        return _watch_on_screen(client)
    try:
        last = watch(lambda: for_command_line(client.snapshot("active")), console, NothingLeft())
    except KeyboardInterrupt:
        print_line(f"\nThe run goes on. To end it: adaptive-scheduler cancel {quoted(folder)}")
        return exit_codes.INTERRUPTED
    return print_end(last, folder)


def _watch_on_screen(client: ManagerClient) -> int:
    from adaptive_scheduler.commandline.screen.app import show_run

    code, last = show_run(client)
    if last is not None and not last.over:
        print_line(f"The run goes on. To end it: adaptive-scheduler cancel {quoted(client.folder)}")
        return code
    return code if last is None else print_end(last, client.folder)


def print_end(last: Snapshot, folder: RunFolder) -> int:
    """Print how a watched run ended; returns the exit code."""
    print_view(render.headline(last))
    print_view(render.line(last))
    for text in [*render.notes(last), *map(render.on_one_line, render.failures(last))]:
        print_view(text)
    code = exit_codes.of_snapshot(last)
    advice = {
        exit_codes.FAILED: f"To see why: {_to_see_why(last, folder)}\n"
        f"To run them again: adaptive-scheduler retry {quoted(folder)}",
        exit_codes.NO_MANAGER: "The manager of this run has ended. To go on: adaptive-scheduler "
        f"resume {quoted(folder)}",
        exit_codes.HELD: "When that is mended, go on with: adaptive-scheduler resume "
        f"{quoted(folder)}",
    }
    if code in advice:
        print_line(advice[code])
    return code


def _to_see_why(last: Snapshot, folder: RunFolder) -> str:
    run = quoted(folder)
    if last.kind == TASK:
        return f"adaptive-scheduler task {run} ID (tasks {run} --state failed lists them)"
    return f"adaptive-scheduler logs {run} LEARNER"


def leaving(kind: str) -> str:
    """What jobs do that are told to leave."""
    return "end what they run" if kind == TASK else "save their data and end"


def wait_for_jobs(run: Run) -> None:
    """Wait until the last job of a cancelled run has left the queue."""
    try:
        run.wait(timeout=_LEAVING, progress=False)
        print_line("Nothing is left in the queue. Data and database are kept.")
    except TimeoutError:
        jobs = len(run.snapshot("none").jobs)
        print_line(
            f"{counted(jobs, 'job')} still to end; the manager waits for that by itself.",
            "yellow",
        )
