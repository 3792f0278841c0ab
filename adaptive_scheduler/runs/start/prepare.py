"""Writes a checked run into its folder, so that a manager can start."""

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
from adaptive_scheduler.core.config import JobLimits, RunConfig, Timing
from adaptive_scheduler.core.goals import has_passed, refuse_passed, unparse_goal
from adaptive_scheduler.core.options.run_options import RunOptions
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.errors import FileError, InputError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.disk.lock import Lock
from adaptive_scheduler.io.pickling.callables_file import write_callables
from adaptive_scheduler.io.pickling.learner_file import write_learners
from adaptive_scheduler.io.storage import database, row_codec
from adaptive_scheduler.io.storage.run_config import read_config, write_config
from adaptive_scheduler.io.system.commands import refuse_missing_programs
from adaptive_scheduler.runs.start import fnames, goal_check
from adaptive_scheduler.runs.start.changes import Changes, find_changes
from adaptive_scheduler.runs.start.environment import record_environment
from adaptive_scheduler.runs.start.own_folder import emptied_if_refused
from adaptive_scheduler.runs.start.plan import CheckedRun
from adaptive_scheduler.runs.start.previous_run import (
    former_rows,
    match_rows,
    new_rows,
    rewrite_rows,
)


@dataclass(frozen=True)
class Prepared:
    """The result of `prepare`.

    Attributes
    ----------
    row_of : list of int
        For each learner its row in the database.
    remarks : list of str
        What the user should know.
    """

    row_of: list[int]
    remarks: list[str]


def prepare(plan: CheckedRun, folder: RunFolder, overwrite: bool = False) -> Prepared:
    """Check programs and folders, then write learners, settings and database.

    An existing database is carried on: rows are found by their fname; a learner that is done
    stays done if it has its data and meets the goal; all get the new functions, goal and resources.

    Parameters
    ----------
    plan : CheckedRun
    folder : RunFolder
    overwrite : bool
        Start from scratch; the old database is kept as ``.old``.

    Raises
    ------
    InputError, CommandMissingError, FileError
        Something is wrong; nothing was submitted.
    RunError
        A manager of this run is alive.
    """
    check_surroundings(plan, folder)
    with held(folder), emptied_if_refused(folder):
        for path in (folder.scripts, folder.ends):
            files.private_folder(path)
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
        done = _mark_met(plan, folder, items) if plan.options.check_goal_on_start else 0
        if done:
            former.remarks.append(
                f"The goal is met by {counted(done, 'learner')} with the data there are."
            )
        if has_passed(plan.goal, time.time()):
            over = f"goal={unparse_goal(plan.goal)!s} has passed"
            former.remarks.append(
                f"{over}: learners that are not done end with the data they have."
            )
        write_config(folder, config)
        if former.rows:
            former.remarks += rewrite_rows(folder, items, config, again.rows)
        else:
            tables = row_codec.new_tables(items, None)
            database.create(folder.database, {**tables, **former.tables})
    return Prepared(row_of, former.remarks)


@dataclass(frozen=True)
class _Reopened:
    """DONE rows that go on, and what the user is told about it."""

    rows: list[int]
    remarks: list[str]


def _reopen(plan: CheckedRun, folder: RunFolder, items: list[Item], changes: Changes) -> _Reopened:
    """Find rows that are no longer done; rows without data start from scratch, also their times."""
    done = [item for item in items if item.phase is Phase.DONE]
    may_load = plan.options.check_goal_on_start or plan.goal.kind not in goal_check.SLOW
    found = goal_check.unmet(plan, folder, done, may_load and (changes.goal or changes.settings))
    over = [item for item in items if item.phase in (Phase.FAILED, Phase.CANCELLED)]
    for row in (*found.gone, *goal_check.without_data(over)):
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
    return _Reopened(rows, remarks)


@contextmanager
def held(folder: RunFolder) -> Iterator[None]:
    """Hold the run's lock, so that no manager can start; RunError if one is alive."""
    lock = Lock(folder, prepares=True)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


# -------------------------------------------------------------------- surroundings


def check_surroundings(plan: CheckedRun, folder: RunFolder) -> None:
    """Check programs and folders, and create the private folder."""
    refuse_missing_programs(plan.scheduler)
    fnames.refuse_unwritable_folder(str(folder.home), "folder")
    fnames.refuse_unwritable(plan.fnames)
    if plan.scheduler.log_folder is not None:
        fnames.refuse_unwritable_folder(os.path.abspath(plan.scheduler.log_folder), "log_folder")  # noqa: PTH100
    try:
        files.private_folder(folder.folder)
    except FileError as error:
        raise InputError(
            f"folder: {folder.home} cannot be used: {error}. Choose another folder."
        ) from error


def _mark_met(plan: CheckedRun, folder: RunFolder, items: list[Item]) -> int:
    """Mark items as DONE whose data on disk meet the goal, and return how many."""
    free = [item for item in items if item.phase in (Phase.WAITING, Phase.QUEUED)]
    done = 0
    for row, npoints in goal_check.met_on_disk(folder, plan.goal, plan.options.goal, free):
        items[row] = msgspec.structs.replace(
            items[row], phase=Phase.DONE, reason="goal met before", npoints=npoints,
            changed=time.time(),
        )  # fmt: skip
        done += 1
    return done


# ------------------------------------------------------------------------- writing


def make_config(plan: CheckedRun, folder: RunFolder, old: RunConfig | None) -> RunConfig:
    """Return ``run.json``; an old one's id is kept, and its shapes keep their places."""
    options = plan.options
    script = options.run_script
    own = {
        "run": old.run if old else secrets.token_hex(4),
        "shapes": list(dict.fromkeys([*(old.shapes if old else []), *plan.shapes])),
        "job_names": [options.name],
        "log_folder": os.path.abspath(plan.scheduler.log_folder or folder.logs),  # noqa: PTH100
        "goal": plan.goal,
        "environment": record_environment(),
        "run_script": None if script is None else str(Path(script).expanduser().absolute()),
        "timing": Timing(**{**stored(options, Timing), "kill_wait": plan.scheduler.kill_wait}),
        "limits": JobLimits(**stored(options, JobLimits)),
    }
    return RunConfig(**{**stored(options, RunConfig), **own})


def stored(options: RunOptions, record: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the options that a stored record has fields for, which have the same names."""
    return {
        name: getattr(options, name) for name in record.__struct_fields__ if hasattr(options, name)
    }


def _write_pickles(plan: CheckedRun, folder: RunFolder, order: Sequence[int]) -> None:
    write_learners(
        folder.learners,
        [plan.learners[place] for place in order],
        [plan.fnames[place] for place in order],
    )
    write_callables(folder.callables, callables(plan, order))


def callables(plan: CheckedRun, order: Sequence[int]) -> Mapping[str, Any]:
    """Return what must be pickled, by name; `order` has the place of each row's learner."""
    options = plan.options
    given = {
        "scheduler": plan.scheduler,
        "goal": options.goal if plan.goal.kind == "callable" else None,
        "initializers": initializers.in_order(options.initializers, order),
        "runner_kwargs": dict(options.runner_kwargs or {}) or None,
        "executors": plan.scheduler.executor_callables or None,
        "after_save": plan.after_save,
    }
    return {name: value for name, value in given.items() if value is not None}
