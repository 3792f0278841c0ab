"""How a sweep goes: counts, failures, rate and time left."""

from __future__ import annotations

from pathlib import Path

import msgspec


class FailedCommand(msgspec.Struct, frozen=True):
    """A command that has failed."""

    task: str
    command: str
    reason: str
    log: Path


class Progress(msgspec.Struct):
    """A sweep at one moment.

    Attributes
    ----------
    total : int
        Commands that are run.
    skipped : int
        Commands that had succeeded before.
    slots : int
        Of this machine, or of each job.
    done, failed, left_out : int
        That have succeeded; failed; not been run because one before them failed.
    running : int
    jobs : int
        That run, or machines.
    failures : list of FailedCommand
    logs : list of Path
        Of the commands that were submitted.
    seconds : float
        Since the first one was submitted.
    notes : list of str
        What the manager says to users.
    problem : str
        Why the end of a command could not be written down; "" if it could.
    is_interrupted : bool
    """

    total: int
    skipped: int = 0
    slots: int = 0
    done: int = 0
    failed: int = 0
    left_out: int = 0
    running: int = 0
    jobs: int = 0
    failures: list[FailedCommand] = []
    logs: list[Path] = []
    seconds: float = 0.0
    notes: list[str] = []
    problem: str = ""
    is_interrupted: bool = False

    @property
    def ended(self) -> int:
        """Commands of which nothing more is expected."""
        return self.done + self.failed + self.left_out

    @property
    def has_succeeded(self) -> bool:
        """Whether every command has."""
        return self.done == self.total and not self.is_interrupted

    @property
    def rate(self) -> float:
        """Commands that ended in a second."""
        return (self.done + self.failed) / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Until the last one has ended, at this rate; None: not known."""
        return (self.total - self.ended) / self.rate if self.rate else None
