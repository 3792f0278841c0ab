"""What a command with ``--dry-run`` would do."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from adaptive_scheduler.commandline.output import exit_codes
from adaptive_scheduler.commandline.output.terminal import print_line
from adaptive_scheduler.core.paths import RunFolder

if TYPE_CHECKING:
    from adaptive_scheduler.io.system.trial_submit import TrialSubmit

#: Phases, as words.
UNFINISHED = ("waiting", "queued", "running")
ENDED = ("done", "failed", "cancelled")


def would(dry_run: bool) -> str:
    """The beginning of what is printed."""
    return "Nothing is changed. Without --dry-run: " if dry_run else ""


def phases_of(folder: RunFolder) -> list[str]:
    """The phase of each item, from disk: all that was acknowledged is there."""
    from adaptive_scheduler.io.storage import row_codec
    from adaptive_scheduler.io.storage.read_only import read_tables

    return [row.phase.value for row in row_codec.read_items(read_tables(folder), folder)]


def count_in(folder: RunFolder, items: Sequence[int], phases: Iterable[str]) -> int:
    """How many of these items are in one of these phases."""
    known, wanted = phases_of(folder), frozenset(phases)
    return sum(known[item] in wanted for item in items)


def trials_as_json(trials: Sequence[TrialSubmit]) -> list[dict[str, object]]:
    """The same for programs."""
    return [dataclasses.asdict(trial) for trial in trials]


def print_trials(trials: Sequence[TrialSubmit]) -> int:
    """Print what the batch system says to each kind of job; returns the exit code."""
    for trial in trials:
        if trial.is_accepted is None:
            print_line(f"The batch system was not asked: {trial.answer}.", "yellow")
        elif trial.is_accepted:
            print_line(f"The batch system would take jobs of {trial.resources}: {trial.answer}")
        else:
            print_line(
                f"The batch system refuses jobs of {trial.resources}: {trial.answer}", "bold red"
            )
    refused = any(trial.is_accepted is False for trial in trials)
    return exit_codes.HELD if refused else exit_codes.DONE
