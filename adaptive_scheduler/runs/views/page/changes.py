"""Carries out what a button asks for, as the command line does."""

from __future__ import annotations

import msgspec

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import TASK, Phase
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.storage import row_codec
from adaptive_scheduler.io.storage.read_only import read_tables
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.runs.manager_client import ManagerClient
from adaptive_scheduler.runs.start import change_run
from adaptive_scheduler.runs.task_run import TaskRun
from adaptive_scheduler.runs.views.page import actions
from adaptive_scheduler.runs.views.page.messages import DoAction


def carry_out(folder: RunFolder, asked: DoAction) -> str:
    """Do it, and return what it did.

    Raises
    ------
    AdaptiveSchedulerError
        It cannot be done; the error says why.
    """
    kind = read_config(folder).kind
    name, _, pool = asked.action.partition(":")
    if name not in actions.NAMES:
        raise InputError(f"action={asked.action!r}: a view has no such button.")
    if name == actions.MAX_JOBS:
        return _change_max_jobs(folder, kind, pool, asked.number)
    items = _failed(folder) if name == actions.RETRY_ALL else asked.items
    change = _change_tasks if kind == TASK and name != actions.CANCEL_RUN else _change_learners
    return actions.text_of(name, change(folder, name, items), kind)


def _change_learners(folder: RunFolder, name: str, items: list[int]) -> int:
    with ManagerClient(folder) as client:
        if name == actions.CANCEL_RUN:
            return change_run.cancel(client)
        if name == actions.RESUME:
            return change_run.resume(client)
        change = change_run.cancel_items if name == actions.CANCEL else change_run.retry
        return change(client, items)


def _change_tasks(folder: RunFolder, name: str, items: list[int]) -> int:
    run = TaskRun(folder)
    if name == actions.RESUME:
        return run.resume()
    return run.cancel(items) if name == actions.CANCEL else run.retry(items)


def _failed(folder: RunFolder) -> list[int]:
    items = row_codec.read_items(read_tables(folder), folder)
    return [item.id for item in items if item.phase is Phase.FAILED]


def _change_max_jobs(folder: RunFolder, kind: str, pool: str, n: int | None) -> str:
    if n is None or n < 1:
        raise InputError(f"Most jobs at a time: give a number from 1, not {n}.")
    before = _change_pool(folder, pool, n) if kind == TASK else _change_limit(folder, n)
    return actions.max_jobs_text(before, n)


def _change_pool(folder: RunFolder, name: str, n: int) -> int:
    run = TaskRun(folder)
    found = [state.pool for state in run.pools() if state.pool.name == name]
    if not found:
        raise InputError(f"This run has no pool {name!r}.")
    run.add_pool(msgspec.structs.replace(found[0], max_jobs=n))
    return found[0].max_jobs


def _change_limit(folder: RunFolder, n: int) -> int:
    """Write it for the managers to come, and tell the one that runs."""
    before = read_config(folder).limits.max_jobs
    with ManagerClient(folder) as client:
        client.limit_jobs(n)
    return before
