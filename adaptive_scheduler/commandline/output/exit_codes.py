"""The exit codes of the command line, and when each is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adaptive_scheduler.errors import (
    AdaptiveSchedulerError,
    FarHostError,
    InputError,
    ManagerError,
    RunError,
    SchedulerError,
    UserCodeError,
)

if TYPE_CHECKING:
    from adaptive_scheduler.core.wire.snapshot import Snapshot

DONE, FAILED, BAD_INPUT, NO_MANAGER, HELD, INTERRUPTED = 0, 1, 2, 3, 4, 130
#: That of a program that SIGPIPE ended, as a shell shows it.
NOBODY_READS = 141

#: Shown by ``adaptive-scheduler --help``.
TEXT = """\
Exit codes:

- 0: done, or the run goes on as it should

- 1: learners or tasks have failed or were cancelled, or `doctor` found a fault

- 2: something that was typed is wrong

- 3: the run is not over, but has no manager

- 4: the run is held, or the batch system refuses

- 130: Ctrl-C

- 141: nobody reads on what it prints, as after `| head`
"""

_OF_ERRORS: tuple[tuple[type[AdaptiveSchedulerError], int], ...] = (
    (InputError, BAD_INPUT),
    (UserCodeError, BAD_INPUT),
    (RunError, BAD_INPUT),
    (FarHostError, BAD_INPUT),
    (ManagerError, NO_MANAGER),
    (SchedulerError, HELD),
)


def of_snapshot(snapshot: Snapshot) -> int:
    """Return the exit code for a run's present state."""
    bad = snapshot.phases.get("failed", 0) + snapshot.phases.get("cancelled", 0)
    if snapshot.over:
        return FAILED if bad else DONE
    if not snapshot.alive:
        return NO_MANAGER
    return HELD if snapshot.is_held else DONE


def of_error(error: AdaptiveSchedulerError) -> int:
    """Return the exit code for an error."""
    return next((code for kind, code in _OF_ERRORS if isinstance(error, kind)), FAILED)
