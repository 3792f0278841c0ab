"""The rows of a run's database with the names of adaptive-scheduler 2."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from adaptive_scheduler.core.jobs.records import JobRecord
from adaptive_scheduler.core.rows.row import CANCELLED, DONE, FAILED, Item, Phase
from adaptive_scheduler.core.wire.snapshot import ItemView


def described(
    item: Item, view: ItemView, jobs: Mapping[str, JobRecord], logs: Path
) -> dict[str, Any]:
    """Return one row as a dict.

    Parameters
    ----------
    item : Item
        As the database has it.
    view : ItemView
        As the manager sees it now.
    jobs : mapping
    logs : Path
        The folder with the logs of jobs.
    """
    job = jobs.get(view.job) if view.job else None
    started = datetime.fromtimestamp(item.changed).isoformat() if view.job else None
    return {
        "fname": item.fname,
        "is_done": view.phase is DONE,
        "job_id": view.job,
        "job_name": job.name if job else None,
        **files_of_job(view.job, logs),
        "start_time": started,
        "phase": str(view.phase.value),
        "npoints": view.npoints,
        "loss": view.loss,
        "reason": view.reason,
    }


def files_of_job(job: str | None, logs: Path) -> dict[str, Any]:
    """Return the names of a job's log and output; of no job, none."""
    log = logs / f"{job.replace('/', '_')}.log" if job else None
    return {
        "log_fname": str(log) if log else None,
        "output_logs": [str(log.with_suffix(".out"))] if log else [],
    }


def progress_rows(
    events: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]], only_last: bool
) -> list[dict[str, Any]]:
    """Return what the logs of jobs say of learners, with what the database says of each.

    Parameters
    ----------
    events : sequence
        Of all logs, ordered by time; ``item`` is a place in `rows`.
    rows : sequence
        See `described`.
    only_last : bool
        Only the last of each learner.
    """
    found = [_renamed(one) for one in events if one.get("event") in PROGRESS]
    found = [{**one, **_of_row(rows[one["item"]])} for one in found if one["item"] < len(rows)]
    if not only_last:
        return found
    return list({one["item"]: one for one in found}.values())


#: Events that say how far a learner is.
PROGRESS = ("progress_made", "learner_stopped")
#: Our names of figures -> those of adaptive-scheduler 2.
NAMES = {
    "points_per_second": "npoints/s",
    "loss": "latest_loss",
    "cpu": "cpu_usage",
    "memory": "mem_usage",
    "seconds": "elapsed_time",
    "elapsed": "elapsed_time",
    "job": "job_id",
}
_LEFT_OUT = ("event", "level", "problem", "kept_aside", "unwritten", "saved", "reason")


def _renamed(event: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in event.items() if key not in _LEFT_OUT}
    return {NAMES.get(key, key): value for key, value in kept.items()}


def _of_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a line of progress is told of its learner; its points are those of the line."""
    return {"fname": row["fname"], "is_done": row["is_done"], "state": row["phase"]}


class DatabaseView:
    """``run_manager.database_manager``: what the database says, in the words of adaptive-scheduler 2.

    Parameters
    ----------
    rows : callable
        Returns the rows of now; see `described`.
    progress : callable
        ``progress(only_last=...)`` returns the table of the logs of its jobs.
    """

    def __init__(self, rows: Callable[[], Any], progress: Callable[..., Any]) -> None:
        self._rows = rows
        self._progress = progress

    def progress(self, only_last: bool = True) -> Any:
        """Return how far the learners were, as the logs of jobs say."""
        return self._progress(only_last=only_last)

    def update(self, queue: Any = None) -> None:
        """Nothing: each question is answered as the run stands then."""

    @property
    def fnames(self) -> list[Any]:
        """The data files, in the order of the list of learners; tasks have none."""
        return [row["fname"] for row in self.as_dicts() if "fname" in row]

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return a dict for each learner, in the order of the list of learners."""
        rows: list[dict[str, Any]] = self._rows()
        return rows

    def as_df(self) -> Any:
        """Return the same as a `pandas.DataFrame`."""
        from adaptive_scheduler.runs.load_data import import_pandas

        return import_pandas().DataFrame(self.as_dicts())

    def n_done(self) -> int:
        """How many learners are done."""
        return sum(row["is_done"] for row in self.as_dicts())

    def n_unscheduled(self) -> int:
        """How many learners wait for a job."""
        waiting = (Phase.WAITING.value, Phase.QUEUED.value)
        return sum(row["phase"] in waiting for row in self.as_dicts())

    def is_done(self) -> bool:
        """Whether every learner has ended; before the start none has."""
        ended, rows = (DONE.value, FAILED.value, CANCELLED.value), self.as_dicts()
        return bool(rows) and all(row["phase"] in ended for row in rows)

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The learners that have failed."""
        return [row for row in self.as_dicts() if row["phase"] == FAILED.value]
