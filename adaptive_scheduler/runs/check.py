"""Checks the cluster: all that a run needs, on this machine and by one small job."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from adaptive_scheduler.core.doctor.findings import Finding
from adaptive_scheduler.runs.doctor.cluster_check import ClusterCheck as ClusterCheck  # noqa: PLC0414
from adaptive_scheduler.runs.doctor.here import look_here
from adaptive_scheduler.runs.doctor.job import look_with_job

#: While one of these is wrong a job would tell nothing more, or would never begin.
_NEEDED = frozenset({"programs", "address", "folder", "batch-system", "request"})
#: A job would wait for its whole time.
_FATAL = frozenset({"profile-hangs"})


def check(trial: ClusterCheck, *, job: bool = True) -> list[Finding]:
    """Check this machine, and then everything else with one job.

    Parameters
    ----------
    trial : ClusterCheck
    job : bool
        Submit one; it is not submitted where it could not work.

    Returns
    -------
    list of Finding
        One for each thing, with what to do about those that are wrong.
    """
    new = _missing(trial.folder) | _missing(trial.data_folder)
    try:
        found = look_here(trial, job=job)
        hopeless = any(
            one.fault in _FATAL or (one.check in _NEEDED and not one.ok) for one in found
        )
        return found if hopeless or not job else [*found, *look_with_job(trial)]
    finally:
        for folder in sorted(new, key=lambda path: -len(path.parts)):
            with suppress(OSError):  # something is in it, or it could not be made
                folder.rmdir()


def _missing(folder: Path) -> set[Path]:
    """The folders that a check has to make."""
    return {one for one in (folder, *folder.parents) if not os.path.lexists(one)}
