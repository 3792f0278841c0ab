"""Reads what a report is made of: the run's settings, its rows, its history."""

from __future__ import annotations

import dataclasses
import pickle
import platform
import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

import msgspec

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.paths import PACKAGE, RunFolder
from adaptive_scheduler.core.rows.row import RUNNING, TASK, Item, TaskItem
from adaptive_scheduler.core.rows.task_results import may_have_raised
from adaptive_scheduler.core.wire.snapshot import ItemView
from adaptive_scheduler.errors import USER_RAISES
from adaptive_scheduler.io.storage import row_codec
from adaptive_scheduler.io.storage.facts import Facts
from adaptive_scheduler.io.storage.history_file import read_history
from adaptive_scheduler.io.storage.read_only import read_tables, read_with_facts
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.io.storage.tinydb_file import Tables
from adaptive_scheduler.runs.manager_client import ManagerClient
from adaptive_scheduler.runs.report.decide import ReportInput, begun_and_ended, report_of
from adaptive_scheduler.runs.report.figures import RunFacts, RunReport
from adaptive_scheduler.runs.views import status
from adaptive_scheduler.runs.views.page.messages import Summary
from adaptive_scheduler.runs.views.page.model import summary
from adaptive_scheduler.runs.views.status import RunSnapshot

#: Packages whose versions a reader may ask for.
_PACKAGES = ("adaptive", "numpy", "cloudpickle", "mpi4py")
#: Settings that say nothing of the run as such.
_NO_PARAMETERS = ("run", "environment", "kind", "url", "interface", "ports")
#: Settings that mean something for learners alone.
_OF_LEARNERS = (
    "shapes", "job_names", "goal", "save_interval", "points_interval", "log_interval", "point_timeout",
    "point_retries",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Collected:
    """A report, and what the page shows besides it.

    Attributes
    ----------
    report : RunReport
    rows : list of Item
    summary : Summary
        The view of the run as it stood then.
    """

    report: RunReport
    rows: list[Item]
    summary: Summary


def collect(folder: RunFolder) -> Collected:
    """Read a run, whether a manager serves it or not; changes nothing.

    Parameters
    ----------
    folder : RunFolder

    Raises
    ------
    RunError, DatabaseError
        There is no run, or it cannot be read.
    """
    config = read_config(folder)
    if config.kind != TASK:
        tables = read_tables(folder)
        return _collected(folder, config, tables, lambda row: str(row.traceback))
    tables, facts = read_with_facts(folder)
    try:
        return _collected(folder, config, tables, _of_facts(facts))
    finally:
        facts.close()


def _snapshot(folder: RunFolder) -> RunSnapshot:
    with ManagerClient(folder) as client:
        return client.snapshot("active")


def _collected(
    folder: RunFolder, config: RunConfig, tables: Tables, traceback_of: Callable[[Any], str]
) -> Collected:
    snapshot = _snapshot(folder)
    rows = _as_reported(row_codec.read_items(tables, folder), snapshot)
    history, now = read_history(folder), time.time()
    shown = summary(snapshot)
    begun, ended = begun_and_ended(rows, history, is_over=snapshot.over and not snapshot.jobs)
    phases: dict[str, int] = {}
    for row in rows:
        phases[row.phase.value] = phases.get(row.phase.value, 0) + 1
    facts = RunFacts(
        folder.home.name if folder.database.name == "db.tinydb" else folder.database.name,
        str(folder.home), config.run, config.kind, status.word_of(snapshot), shown.sentence,
        begun, ended, snapshot.over, len(rows), phases, sum(row.npoints for row in rows),
        list(snapshot.notes),
    )  # fmt: skip
    known = ReportInput(
        facts, rows, history, now, _parameters(config, tables), _versions(config), traceback_of
    )
    return Collected(report_of(known), rows, shown)


def _as_reported(rows: list[Item], snapshot: RunSnapshot) -> list[Item]:
    """Return the rows with what learners that run have reported: the database has it at the end of a try."""
    reported = {view.id: view for view in snapshot.items if view.npoints}
    return [_with(row, reported[row.id]) if row.id in reported else row for row in rows]


def _with(row: Item, view: ItemView) -> Item:
    if row.phase is not RUNNING or view.npoints < row.npoints:
        return row
    return msgspec.structs.replace(row, npoints=view.npoints, loss=view.loss, worked=view.worked)


def _of_facts(facts: Facts) -> Callable[[Any], str]:
    def traceback_of(row: Any) -> str:
        """The traceback of a call that raised; a command has none."""
        assert isinstance(row, TaskItem)
        error, times = facts.get("error", row.id), facts.get("times", row.id) or b""
        if not error or not may_have_raised(times):
            return row.traceback
        try:
            return str(pickle.loads(error)[2])
        except USER_RAISES:  # its class is not here; the reason is shown
            return ""

    return traceback_of


def _parameters(config: RunConfig, tables: Tables) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if config.kind == TASK:
        pools = row_codec.read_pools(tables).values()
        found["pools"] = [msgspec.to_builtins(pool) for pool in pools]
    for name in config.__struct_fields__:
        value = msgspec.to_builtins(getattr(config, name))
        is_known = name not in _NO_PARAMETERS and value not in (None, "", [], {})
        if is_known and not (config.kind == TASK and name in _OF_LEARNERS):
            found[name] = value
    return found


def _versions(config: RunConfig) -> dict[str, str]:
    """Versions as the run was started with; what it does not tell is as it is here."""
    found = {PACKAGE: sys.modules[PACKAGE].__version__, "python": platform.python_version()}
    found.update({name: version for name in _PACKAGES if (version := _version(name))})
    if config.environment is not None:
        found.update(config.environment.versions)
        if not found["python"].startswith(config.environment.python + "."):
            found["python"] = config.environment.python
    return {name: version for name, version in found.items() if version}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
