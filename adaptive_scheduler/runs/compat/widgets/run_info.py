"""How a run stands, as a record with the names of adaptive-scheduler 2."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from adaptive_scheduler.errors import EnvironmentMismatchError

#: Title -> column of the logs' table, and what is made of it.
FIGURES = (
    ("# of points", "npoints", "sum"),
    ("mean CPU %", "cpu_usage", "mean"),
    ("mean memory %", "mem_usage", "mean"),
    ("max memory %", "mem_usage", "max"),
    ("mean overhead %", "overhead", "mean"),
    ("mean npoints/s", "npoints/s", "mean"),
    ("mean latest_loss", "latest_loss", "mean"),
)
UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass
class RunManagerInfo:
    """How a run stands; its `repr` is a text to be read.

    Parameters
    ----------
    status : str
    n_running, n_pending : int
        Jobs.
    n_done, n_failed, n_unscheduled : int
        Learners.
    elapsed_time : timedelta
    total_data_size : int
        Bytes of all data files.
    empty_learner_size : int, optional
        Bytes of the learners as jobs get them.
    mean_starting_time, std_starting_time : float, optional
        Seconds that jobs waited for their start.
    log_stats : dict
        What the logs of jobs say.
    """

    status: str
    n_running: int
    n_pending: int
    n_done: int
    n_failed: int
    n_unscheduled: int
    elapsed_time: timedelta
    total_data_size: int
    empty_learner_size: int | None = None
    mean_starting_time: float | None = None
    std_starting_time: float | None = None
    log_stats: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_run_manager(cls, run_manager: Any, *, parse_log_files: bool = True) -> RunManagerInfo:
        """Return how a run stands now.

        Parameters
        ----------
        run_manager : RunManager
        parse_log_files : bool
            Also read the logs of its jobs.
        """
        manager, waiting = run_manager.database_manager, _job_waits(run_manager)
        times = run_manager.job_starting_times() if run_manager.is_started else []
        return cls(
            status=str(run_manager.status()),
            n_running=waiting.count(False),
            n_pending=waiting.count(True),
            n_done=manager.n_done(),
            n_failed=len(manager.failed),
            n_unscheduled=manager.n_unscheduled(),
            elapsed_time=timedelta(seconds=round(run_manager.elapsed_time())),
            total_data_size=total_size(run_manager.fnames),
            empty_learner_size=_size(run_manager.folder.learners) or None,
            mean_starting_time=statistics.fmean(times) if times else None,
            std_starting_time=statistics.pstdev(times) if times else None,
            log_stats=_log_figures(run_manager) if parse_log_files else {},
        )

    def rows(self) -> list[tuple[str, str]]:
        """Return titles and texts, in the order in which they are read."""
        found = [
            ("status", self.status),
            ("running jobs", str(self.n_running)),
            ("pending jobs", str(self.n_pending)),
            ("finished", str(self.n_done)),
            ("failed", str(self.n_failed)),
            ("unscheduled", str(self.n_unscheduled)),
            ("elapsed time", str(self.elapsed_time)),
            ("total data size", size_text(self.total_data_size)),
        ]
        if self.empty_learner_size is not None:
            found.append(("empty learner size", size_text(self.empty_learner_size)))
        if self.mean_starting_time is not None:
            waited = f"{self.mean_starting_time:.1f} s ± {self.std_starting_time or 0.0:.1f} s"
            found.append(("jobs waited", waited))
        return [*found, *((name, _figure(value)) for name, value in self.log_stats.items())]

    def __repr__(self) -> str:
        return "\n".join(f"{title + ':':22}{text}" for title, text in self.rows())


def _job_waits(run_manager: Any) -> list[bool]:
    """For each job, whether it waits for its start."""
    if not run_manager.is_started or not hasattr(run_manager, "snapshot"):
        return []
    return [job.waiting for job in run_manager.snapshot("none").jobs]


def total_size(fnames: Iterable[Any]) -> int:
    """Return the bytes of all files of nested lists; of one that is not there, none."""
    return sum(
        _size(Path(one)) if isinstance(one, (str, os.PathLike)) else total_size(one)
        for one in fnames
    )


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0


def size_text(n: float) -> str:
    """Return bytes as people read them."""
    for unit in UNITS[:-1]:
        if n < 1000:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1000
    return f"{n:.1f} {UNITS[-1]}"


def _log_figures(run_manager: Any) -> dict[str, Any]:
    try:
        frame = run_manager.parse_log_files()
    except EnvironmentMismatchError:  # without pandas
        return {}
    found = {
        title: getattr(frame[column], made)()
        for title, column, made in FIGURES
        if column in frame and frame[column].notna().any()
    }
    if "timestamp" in frame and frame["timestamp"].notna().any():
        found["last log entry"] = frame["timestamp"].max().strftime("%Y-%m-%d %H:%M:%S UTC")
    return found


def _figure(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
