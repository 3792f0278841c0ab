"""Starting a run and staying with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from adaptive_scheduler.commandline import exits
from adaptive_scheduler.commandline.watching import Watched, watch
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.snapshot import Snapshot
from adaptive_scheduler.runs.views import render as views

if TYPE_CHECKING:
    from adaptive_scheduler.runs.run import Run
    from adaptive_scheduler.runs.run_manager import RunManager

console = Console()

#: Seconds that jobs have to save and leave after a cancel: KillWait is 30 s as a rule.
_LEAVING = 90.0


def start_and_stay(manager: RunManager, detach: bool) -> int:
    """Start a run; watch it to its end, or leave it to itself; returns the exit code.

    Ctrl-C cancels the run: its jobs save and leave the queue, its manager ends.
    """
    try:
        manager.start()
        if detach:
            say(
                f"Started. Watch it with: adaptive-scheduler status --watch {quoted(manager.folder)}"
            )
            return exits.DONE
        say("Ctrl-C cancels the run (its data are kept). To leave it running, use --detach.", "dim")
        return conclude(watch(manager.snapshot, console, Watched()), manager.folder)
    except KeyboardInterrupt:
        return cancel(manager)


def cancel(manager: RunManager) -> int:
    """End a run that a person interrupted; returns the exit code."""
    say("\nCancelling: the jobs save their data and leave. Ctrl-C again gives up waiting.")
    try:
        if manager.folder.config.exists():
            manager.cancel()
            wait_for_the_last(manager)
            say(f"To go on: adaptive-scheduler resume {quoted(manager.folder)}")
    except KeyboardInterrupt:
        again = f"adaptive-scheduler cancel {quoted(manager.folder)}"
        say(f"Jobs may be left. Look again with: {again}", "bold red")
    return exits.INTERRUPTED


def wait_for_the_last(manager: Run) -> None:
    """Wait until the last job of a cancelled run has left, as long as a person would."""
    try:
        manager.wait(timeout=_LEAVING)
        say("Cancelled: nothing is left in the queue. Data and database are kept.")
    except TimeoutError:
        jobs = len(manager.snapshot("none").jobs)
        say(f"Cancelled; {jobs} jobs are still leaving, the manager sees to it.", "yellow")


def conclude(last: Snapshot, folder: Any) -> int:
    """Tell how a watched run ended; returns the exit code."""
    for text in [views.headline(last), views.line(last), *views.notes(last), *views.failures(last)]:
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    code = exits.code_of(last)
    advice = {
        exits.FAILED: f"See why: adaptive-scheduler logs {quoted(folder)} LEARNER; "
        f"run them again: adaptive-scheduler retry {quoted(folder)}",
        exits.NO_MANAGER: f"The manager is gone. Go on with: adaptive-scheduler resume {quoted(folder)}",
        exits.HELD: f"When that is mended: adaptive-scheduler resume {quoted(folder)}",
    }
    if code in advice:
        say(advice[code])
    return code


def say(text: str, style: str = "") -> None:
    """Print one plain line."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def quoted(folder: Any) -> str:
    """A run's path as a shell takes it."""
    import shlex

    path = folder.home if isinstance(folder, RunFolder) else folder
    return shlex.quote(str(path))


def leave(code: int) -> None:
    """End the command with an exit code."""
    if code:
        raise typer.Exit(code)
