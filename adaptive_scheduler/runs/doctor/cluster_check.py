"""What is to be checked: with which scheduler, and where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import LEARNER
from adaptive_scheduler.schedulers.base import Scheduler


@dataclass
class ClusterCheck:
    """A check: with which scheduler, and where.

    Attributes
    ----------
    scheduler : Scheduler
    resources : Resources
        Of the job; its walltime is cut to ten minutes.
    folder : Path
        Where the run's folder would be: the check makes a folder of its own in it,
        and removes it.
    data_folder : Path
        Where data would be saved.
    timeout : float
        Seconds that the job has to wait in the queue and to run.
    interface, ports : str, optional
        Where to listen.
    report : callable
        Called with a line of text when something happens.
    kind : str
        For ``learner`` or ``task``: jobs of a pool need no MPI.
    visible : float
        Seconds that a shared file system may take to show what a node wrote.
    """

    scheduler: Scheduler
    resources: Resources
    folder: Path
    data_folder: Path
    timeout: float = 600.0
    interface: str | None = None
    ports: str | None = None
    report: Callable[[str], None] = field(default=lambda _: None)
    kind: str = LEARNER
    visible: float = 30.0
