"""A plan written into its run folder, so that a manager can start."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from adaptive_scheduler.core import initializers
from adaptive_scheduler.core.config import (
    Limits,
    RunConfig,
    Timing,
)
from adaptive_scheduler.core.goals import has_passed, refuse_passed, unparse_goal
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.items import Item, Phase
from adaptive_scheduler.core.times import optional_seconds, seconds
from adaptive_scheduler.errors import FileError, InputError
from adaptive_scheduler.io.pickling.callables_file import write_callables
from adaptive_scheduler.io.pickling.learner_file import write_learners
from adaptive_scheduler.io.storage import database, files
from adaptive_scheduler.io.storage import row_codec as state
from adaptive_scheduler.io.storage.lock import Lock
from adaptive_scheduler.io.storage.run_config import read_config, write_config
from adaptive_scheduler.io.system.commands import refuse_missing_programs
from adaptive_scheduler.runs.start import fnames
from adaptive_scheduler.runs.start import goal_check as early
from adaptive_scheduler.runs.start.changes import Changes, find_changes
from adaptive_scheduler.runs.start.environment import record_environment
from adaptive_scheduler.runs.start.plan import CheckedRun
from adaptive_scheduler.runs.start.previous_run import (
    former_rows,
    match_rows,
    new_rows,
    rewrite_rows,
)


@dataclass(frozen=True)
class Prepared:
    """What came of it.

    Attributes
    ----------
    row_of : list of int
        For each learner its row in the database.
    remarks : list of str
        What a person should know.
    """

    row_of: list[int]
    remarks: list[str]


def prepare(plan: CheckedRun, folder: RunFolder, overwrite: bool = False) -> Prepared:
    """Check the surroundings, then write learners, settings and database.

    An existing database is carried on: rows are found by their fname, what is done stays done
    if it meets the goal and has its data; the rest gets the new functions, goal and resources.

    Parameters
    ----------
    plan : CheckedRun
    folder : RunFolder
    overwrite : bool
        Begin anew; the old database is kept as ``.old``.

    Raises
    ------
    InputError, CommandMissingError, FileError
        Nothing was submitted; says what is wrong.
    RunError
        A manager of this run lives.
    """
    check_surroundings(plan, folder)
    with held(folder):
        if overwrite or not folder.database.exists():
            refuse_passed(plan.goal, time.time())
        former = former_rows(folder, overwrite)
        order, row_of = match_rows(former.rows, plan.fnames)
        old = read_config(folder) if folder.config.exists() else None
        config = make_config(plan, folder, old)
        with_points = [row for row in former.rows if row.npoints]
        changes = find_changes(plan, folder, old, with_points, order)
        _write_pickles(plan, folder, order)
        items = new_rows(plan, former, order, row_of, config.shapes)
        again = _reopen(plan, folder, items, changes)
        former.remarks += again.remarks
        done = _mark_met(plan, folder, items) if plan.settings.check_goal_on_start else 0
        if done:
            former.remarks.append(f"{done} learners meet the goal with the data they have.")
        if has_passed(plan.goal, time.time()):
            over = f"goal={unparse_goal(plan.goal)!s} has passed"
            former.remarks.append(
                f"{over}: learners that are not done end with the data they have."
            )
        write_config(folder, config)
        if former.rows:
            former.remarks += rewrite_rows(folder, items, config, again.rows)
        else:
            tables = state.new_tables(items, None)
            database.create(folder.database, {**tables, **former.tables})
    return Prepared(row_of, former.remarks)


@dataclass(frozen=True)
class _Again:
    """Rows that were done and go on, and what a person is told of what has changed."""

    rows: list[int]
    remarks: list[str]


def _reopen(plan: CheckedRun, folder: RunFolder, items: list[Item], changes: Changes) -> _Again:
    """Find what is done no more; what lost its data begins anew, its hours of work too."""
    done = [item for item in items if item.phase is Phase.DONE]
    may_load = plan.settings.check_goal_on_start or plan.goal.kind not in early.SLOW
    found = early.unmet(plan, folder, done, may_load and (changes.goal or changes.settings))
    over = [item for item in items if item.phase in (Phase.FAILED, Phase.CANCELLED)]
    for row in (*found.gone, *early.without_data(over)):
        items[row] = msgspec.structs.replace(items[row], worked=0.0, npoints=0, loss=None)
    rows, remarks = sorted([*found.short, *found.gone]), []
    if rows:
        short, gone = len(found.short), len(found.gone)
        why = [f"{short} do not meet the goal as it is now"] if short else []
        if gone:
            why.append(f"the data of {gone} are gone (first {items[found.gone[0]].fname})")
        remarks.append(f"{len(rows)} learners that were done go on: {' and '.join(why)}.")
    if changes.function is not None and changes.function not in found.gone:
        remarks.append(
            f"The function has changed since the data in {items[changes.function].fname} were made "
            "(others were perhaps, too): these points stay, and new ones come from the new "
            "function. To compute all anew, move the data away and start() again."
        )
    return _Again(rows, remarks)


@contextmanager
def held(folder: RunFolder) -> Iterator[None]:
    """Hold the run's lock, so that no manager starts meanwhile; RunError if one lives."""
    lock = Lock(folder, prepares=True)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


# -------------------------------------------------------------------- surroundings


def check_surroundings(plan: CheckedRun, folder: RunFolder) -> None:
    """Check programs and folders; makes the run folder."""
    refuse_missing_programs(plan.scheduler)
    fnames.refuse_unwritable_folder(str(folder.home), "folder")
    fnames.refuse_unwritable(plan.fnames)
    if plan.scheduler.log_folder is not None:
        fnames.refuse_unwritable_folder(os.path.abspath(plan.scheduler.log_folder), "log_folder")  # noqa: PTH100
    try:
        for path in (folder.folder, folder.scripts, folder.ends):
            files.private_folder(path)
    except FileError as error:
        raise InputError(
            f"folder: {folder.home} cannot be used: {error}. Choose another folder."
        ) from error


def _mark_met(plan: CheckedRun, folder: RunFolder, items: list[Item]) -> int:
    """Mark as DONE what meets the goal with the data on disk; returns how many."""
    free = [item for item in items if item.phase in (Phase.WAITING, Phase.QUEUED)]
    done = 0
    for row, npoints in early.met_on_disk(folder, plan.goal, plan.settings.goal, free):
        items[row] = msgspec.structs.replace(
            items[row], phase=Phase.DONE, reason="goal met before", npoints=npoints,
            changed=time.time(),
        )  # fmt: skip
        done += 1
    return done


# ------------------------------------------------------------------------- writing


def make_config(plan: CheckedRun, folder: RunFolder, old: RunConfig | None) -> RunConfig:
    """Settings for ``run.json``; the run's id and the places of its shapes stay what they were."""
    settings = plan.settings
    script = settings.run_script
    return RunConfig(
        run=old.run if old else secrets.token_hex(4),
        shapes=list(dict.fromkeys([*(old.shapes if old else []), *plan.shapes])),
        job_names=[settings.job_name],
        log_folder=os.path.abspath(plan.scheduler.log_folder or folder.logs),  # noqa: PTH100
        goal=plan.goal,
        environment=record_environment(),
        run_script=None if script is None else str(Path(script).expanduser().absolute()),
        timing=Timing(
            interval=seconds(settings.job_manager_interval, "job_manager_interval"),
            kill_wait=plan.scheduler.kill_wait,
            client_patience=seconds(settings.client_patience, "client_patience"),
        ),
        limits=Limits(
            settings.max_simultaneous_jobs, settings.max_fails_per_job, settings.max_crashes
        ),
        save_interval=seconds(settings.save_interval, "save_interval"),
        points_interval=seconds(settings.points_interval, "points_interval"),
        log_interval=seconds(settings.log_interval, "log_interval"),
        point_timeout=optional_seconds(settings.point_timeout, "point_timeout"),
        point_retries=settings.point_retries,
        url=settings.url,
        interface=settings.interface,
        ports=settings.ports,
    )


def _write_pickles(plan: CheckedRun, folder: RunFolder, order: Sequence[int]) -> None:
    write_learners(
        folder.learners,
        [plan.learners[place] for place in order],
        [plan.fnames[place] for place in order],
    )
    write_callables(folder.callables, callables(plan, order))


def callables(plan: CheckedRun, order: Sequence[int]) -> Mapping[str, Any]:
    """What of the plan must be pickled; `order`: the place of each row's learner."""
    settings = plan.settings
    given = {
        "scheduler": plan.scheduler,
        "goal": settings.goal if plan.goal.kind == "callable" else None,
        "initializers": initializers.in_order(settings.initializers, order),
        "runner_kwargs": dict(settings.runner_kwargs or {}) or None,
        "executors": plan.scheduler.executor_callables or None,
    }
    return {name: value for name, value in given.items() if value is not None}
