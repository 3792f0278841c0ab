"""Exit codes, and how errors are told."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

from adaptive_scheduler.core.wire.snapshot import Snapshot
from adaptive_scheduler.errors import (
    AdaptiveSchedulerError,
    InputError,
    ManagerError,
    RunError,
    SchedulerError,
    UserCodeError,
)
from adaptive_scheduler.runs.views import render as views

DONE, FAILED, BAD_INPUT, NO_MANAGER, HELD, INTERRUPTED = 0, 1, 2, 3, 4, 130

TEXT = """\
Exit codes: 0 done, or going on as it should; 1 learners have failed or were cancelled; 2 bad
input; 3 no manager runs although the run is not over; 4 the run is held, or the batch
system refuses; 130 Ctrl-C.
"""

_CODES: tuple[tuple[type[AdaptiveSchedulerError], int], ...] = (
    (InputError, BAD_INPUT),
    (UserCodeError, BAD_INPUT),
    (RunError, BAD_INPUT),
    (ManagerError, NO_MANAGER),
    (SchedulerError, HELD),
)

P = ParamSpec("P")
R = TypeVar("R")


def code_of(snapshot: Snapshot) -> int:
    """Return what a run's state means for the exit code."""
    bad = snapshot.phases.get("failed", 0) + snapshot.phases.get("cancelled", 0)
    if snapshot.over:
        return FAILED if bad else DONE
    if not snapshot.alive:
        return NO_MANAGER
    return HELD if views.is_held(snapshot) else DONE


def answers(command: Callable[P, R]) -> Callable[P, R]:
    """Let a command tell its errors in a line, and end with their exit code."""

    @functools.wraps(command)
    def told(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except AdaptiveSchedulerError as error:
            console = Console(stderr=True, soft_wrap=True)
            if isinstance(error, UserCodeError) and error.traceback_text:
                console.print(error.traceback_text, markup=False, highlight=False)
            console.print(f"[bold red]Error:[/] {escape(str(error))}", highlight=False)
            code = next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)
            raise typer.Exit(code) from error

    return told
