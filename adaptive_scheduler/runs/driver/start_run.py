"""Starts a run of tasks: an empty one, or that of a folder again."""

from __future__ import annotations

import secrets

from adaptive_scheduler.core.config import RunConfig, Timing
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import TASK
from adaptive_scheduler.errors import InputError, RunError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.pickling.callables_file import write_callables
from adaptive_scheduler.io.storage import database, row_codec
from adaptive_scheduler.io.storage.run_config import write_config
from adaptive_scheduler.runs.manager_client import ManagerClient
from adaptive_scheduler.runs.start import fnames
from adaptive_scheduler.runs.start.environment import record_environment
from adaptive_scheduler.runs.start.launch import start_and_wait
from adaptive_scheduler.runs.start.own_folder import removed_if_refused
from adaptive_scheduler.runs.start.prepare import held
from adaptive_scheduler.runs.start.previous_run import open_store
from adaptive_scheduler.schedulers.base import Scheduler


def start_run(
    folder: RunFolder, name: str, scheduler: Scheduler | None = None, timing: Timing | None = None
) -> None:
    """Start the manager of a run of tasks, unless it lives; carry an existing run on.

    Parameters
    ----------
    folder : RunFolder
    name : str
        Of the jobs.
    scheduler : Scheduler, optional
        By which jobs of pools are submitted; an existing run keeps its own.
    timing : Timing, optional
        Of a new run.

    Raises
    ------
    InputError
        The folder has a run of learners.
    RunError
        The manager does not start.
    """
    with ManagerClient(folder) as viewer:
        if viewer.lives():
            return
        try:
            with removed_if_refused(folder):
                fnames.refuse_unwritable_folder(str(folder.home), "folder")
                for path in (folder.folder, folder.scripts, folder.ends):
                    files.private_folder(path)
                with held(folder):
                    _write(folder, name, scheduler, timing or Timing())
        except RunError:
            if not viewer.lives():
                raise
            return  # another process has just started it
        start_and_wait(folder, viewer)


def _write(folder: RunFolder, name: str, scheduler: Scheduler | None, timing: Timing) -> None:
    is_open = row_codec.RunRow(is_open=True)
    if not folder.database.exists():
        config = RunConfig(
            secrets.token_hex(4), [Resources()], [name], str(folder.logs),
            environment=record_environment(), kind=TASK, timing=timing,
        )  # fmt: skip
        write_config(folder, config)
        write_callables(folder.callables, {"scheduler": scheduler})
        tables = row_codec.new_tables([], None)
        row = {row_codec.RUN_ROW: {"is_open": True}}
        database.create(folder.database, {**tables, row_codec.RUN_TABLE: row})
        return
    with open_store(folder) as store:
        rows = store.tables.get(database.ITEMS, {})
        if any(row.get("kind") != TASK for row in rows.values()):
            raise InputError(
                f"folder: {folder.home} has a run of learners. Give an Executor another folder."
            )
        store.put(row_codec.RUN_TABLE, row_codec.RUN_ROW, is_open)
        store.commit()
