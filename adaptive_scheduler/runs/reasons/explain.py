"""Why a learner, a task or a job does not run: asked of the manager, or read from the database."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.reasons.explanation import Explanation, fill
from adaptive_scheduler.core.reasons.question import Known
from adaptive_scheduler.core.reasons.table import (
    MANAGER_DEAD,
    UNREACHABLE,
    explain,
    explain_line,
    in_order,
)
from adaptive_scheduler.core.rows.row import Item, TaskItem
from adaptive_scheduler.core.rows.run_state import RunState
from adaptive_scheduler.core.wire.reasons import Explain, Reason, Reasons
from adaptive_scheduler.errors import InputError, ManagerUnreachableError, RequestRefusedError
from adaptive_scheduler.io.storage import database, row_codec
from adaptive_scheduler.io.storage.database import Tables
from adaptive_scheduler.io.storage.read_only import read_tables
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.runs.manager_client import ManagerClient

#: Jobs that are named where one is unknown.
_NAMED = 5


def explain_item(viewer: ManagerClient, item: int) -> Explanation:
    """Say why a learner or a task, by its row, does not run or is not done."""
    tables = read_tables(viewer.folder, undecoded=True)
    rows = row_codec.read_items(tables, viewer.folder)
    answer = _ask(viewer, Explain(item))
    if answer is None:
        answer = _from_tables(viewer.folder, tables, Explain(item))
    row = rows[item]
    line = explain_line(row, rows) if answer.state == row.phase.value else []
    reasons = _filled([*answer.reasons, *line], viewer.folder, str(item))
    return Explanation(row.kind, str(item), _name(row), answer.state, in_order(reasons))


def explain_job(viewer: ManagerClient, job: str) -> Explanation:
    """Say why a job, by the batch system's id, does not run, or how it ended.

    Raises
    ------
    InputError
        The run has no such job.
    """
    try:
        answer = _ask(viewer, Explain(job=job))
    except RequestRefusedError as error:
        raise InputError(no_such_job(job, viewer.folder)) from error
    if answer is None:
        answer = _from_disk(viewer.folder, Explain(job=job))
    reasons = _filled(answer.reasons, viewer.folder, job)
    return Explanation("job", job, "", answer.state, reasons)


def _filled(reasons: Iterable[Reason], folder: RunFolder, item: str) -> list[Reason]:
    """Reasons whose remedies name this run in their commands."""
    run = shlex.quote(str(folder.home))
    return [Reason(one.cause, one.text, fill(one.remedy, run, item)) for one in reasons]


def jobs_of(folder: RunFolder) -> list[str]:
    """Return the ids of all jobs that the database knows, the oldest first."""
    return list(read_tables(folder).get(database.JOBS, {}))


def no_such_job(job: str, folder: RunFolder) -> str:
    """Say that there is no such job, with ids that are near, or the last ones."""
    from adaptive_scheduler.core.suggestions import did_you_mean

    known = jobs_of(folder)
    if not known:
        return f"There is no job {job} in {folder.home}: it has had none yet."
    last = f" Its last ones: {', '.join(known[-_NAMED:])}."
    return f"There is no job {job} in {folder.home}.{did_you_mean(job, known) or last}"


def _ask(viewer: ManagerClient, question: Explain) -> Reasons | None:
    """Ask the manager; None: there is none. One that does not answer is told as a reason."""
    try:
        reply = viewer.change(lambda: viewer.ask(question), lambda: None)
    except ManagerUnreachableError as error:
        return _from_disk(viewer.folder, question, str(error))
    except RequestRefusedError as error:
        if error.code != "not_understood":  # a manager of an older version
            raise
        return _from_disk(viewer.folder, question, str(error))
    assert reply is None or isinstance(reply, Reasons), reply
    return reply


def _from_disk(folder: RunFolder, question: Explain, silence: str = "") -> Reasons:
    """Answer from the database; `silence`: why the manager that there is does not."""
    found = _from_tables(folder, read_tables(folder, undecoded=True), question)
    if not silence:
        return found
    kept = [one for one in found.reasons if one.cause != MANAGER_DEAD]
    told = Reason(UNREACHABLE.name, f"its manager does not say: {silence}", UNREACHABLE.remedy)
    return Reasons(found.state, in_order([told, *kept]))


def _from_tables(folder: RunFolder, tables: Tables, question: Explain) -> Reasons:
    """Answer from the database alone."""
    now = time.monotonic()
    state = row_codec.open_state(tables, folder, read_config(folder), now)
    known = Known(state, time.time(), now, is_alive=False)
    if question.job:
        return _of_job(known, state, question.job, folder)
    row = state.items.rows[question.item]
    return Reasons(row.phase.value, explain(known, row))


def _of_job(known: Known, state: RunState, job: str, folder: RunFolder) -> Reasons:
    record = state.jobs.records.get(job)
    if record is None:
        raise InputError(no_such_job(job, folder))
    word = "ended" if record.ended else "not known to have ended"
    return Reasons(word, explain(known, record=record))


def _name(row: Item) -> str:
    if isinstance(row, TaskItem):
        return row.name
    return row.fname if isinstance(row.fname, str) else ", ".join(row.fname[:3])
