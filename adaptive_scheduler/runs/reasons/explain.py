"""Why a learner, a task or a job does not run: asked of the manager, or read from the database.

The database is read once, and of most rows only the phase: 100,000 rows take 0.1 s.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Sequence
from functools import partial

from adaptive_scheduler.core.jobs.outputs import complaint_is_over, early_deaths_text
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
from adaptive_scheduler.core.rows.row import QUEUED, TASK, Item, TaskItem
from adaptive_scheduler.core.texts import counted, natural
from adaptive_scheduler.core.wire.reasons import Explain, Reason, Reasons
from adaptive_scheduler.errors import InputError, ManagerUnreachableError, RequestRefusedError
from adaptive_scheduler.io.storage import row_codec
from adaptive_scheduler.io.storage.glance import Glance, glance
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.io.storage.tinydb_file import JOBS
from adaptive_scheduler.io.system.complaints import read_complaints
from adaptive_scheduler.io.system.read_logs import CRASH_LINES, job_output_tail
from adaptive_scheduler.runs.manager_client import ManagerClient

#: Jobs that are named where one is unknown.
_NAMED = 5


def look(folder: RunFolder) -> Glance:
    """Read what is needed of a run's database."""
    return glance(folder, read_config(folder).kind)


def explain_item(viewer: ManagerClient, item: int, seen: Glance | None = None) -> Explanation:
    """Say why a learner or a task, by its row, does not run or is not done.

    Parameters
    ----------
    viewer : ManagerClient
    item : int
    seen : Glance, optional
        What was read of the database a moment ago.

    Raises
    ------
    InputError
        The run has no such learner or task.
    """
    seen = seen or look(viewer.folder)
    if not 0 <= item < len(seen):
        raise InputError(no_such_item(item, seen, viewer.folder))
    row = seen[item]
    answer = _ask(viewer, Explain(item), seen)
    is_free = row.phase is QUEUED and answer.state == row.phase.value
    line = explain_line(row, seen.queued()) if is_free else []
    reasons = _filled([*answer.reasons, *line], viewer.folder, str(item))
    return Explanation(row.kind, str(item), _name(row), answer.state, in_order(reasons))


def explain_job(viewer: ManagerClient, job: str, seen: Glance | None = None) -> Explanation:
    """Say why a job, by the batch system's id, does not run, or how it ended.

    Parameters
    ----------
    viewer : ManagerClient
    job : str
    seen : Glance, optional
        What was read of the database a moment ago.

    Raises
    ------
    InputError
        The run has no such job.
    """
    seen = seen or look(viewer.folder)
    try:
        answer = _ask(viewer, Explain(job=job), seen)
    except RequestRefusedError as error:
        raise InputError(no_such_job(job, jobs_of(seen), viewer.folder)) from error
    reasons = _filled(answer.reasons, viewer.folder, job)
    return Explanation("job", job, "", answer.state, reasons)


def _filled(reasons: Iterable[Reason], folder: RunFolder, item: str) -> list[Reason]:
    """Reasons whose remedies name this run in their commands."""
    run = shlex.quote(str(folder.home))
    return [Reason(one.cause, one.text, fill(one.remedy, run, item)) for one in reasons]


def jobs_of(seen: Glance) -> list[str]:
    """Return the ids of all jobs that the database knows, in the order of their numbers."""
    return sorted(seen.tables.get(JOBS, {}), key=natural)


def no_such_item(item: int, seen: Glance, folder: RunFolder) -> str:
    """Say that there is no such learner or task, and which there are."""
    kind = "task" if seen.kind == TASK else "learner"
    there = (
        f"they are 0 to {len(seen) - 1}" if len(seen) > 1 else f"it has {counted(len(seen), kind)}"
    )
    return f"There is no {kind} {item} in {folder.home}: {there}."


def no_such_job(job: str, known: Sequence[str], folder: RunFolder) -> str:
    """Say that there is no such job, with ids that are near, or the last ones."""
    from adaptive_scheduler.core.suggestions import did_you_mean

    if not known:
        return f"There is no job {job} in {folder.home}: it has had none yet."
    last = f" Its last ones: {', '.join(known[-_NAMED:])}."
    return f"There is no job {job} in {folder.home}.{did_you_mean(job, known) or last}"


def _ask(viewer: ManagerClient, question: Explain, seen: Glance) -> Reasons:
    """Ask the manager, or read the database; one that does not answer is told as a reason."""
    try:
        reply = viewer.change(lambda: viewer.ask(question), lambda: None)
    except ManagerUnreachableError as error:
        return _unanswered(viewer.folder, question, seen, str(error))
    except RequestRefusedError as error:
        if error.code != "not_understood":  # a manager of an older version
            raise
        return _unanswered(viewer.folder, question, seen, str(error))
    if reply is None:
        return _from_disk(viewer.folder, question, seen)
    assert isinstance(reply, Reasons), reply
    return reply


def _unanswered(folder: RunFolder, question: Explain, seen: Glance, silence: str) -> Reasons:
    """Answer from the database, and say why the manager that there is does not."""
    found = _from_disk(folder, question, seen)
    kept = [one for one in found.reasons if one.cause != MANAGER_DEAD]
    told = Reason(UNREACHABLE.name, f"its manager does not say: {silence}", UNREACHABLE.remedy)
    return Reasons(found.state, in_order([told, *kept]))


def _from_disk(folder: RunFolder, question: Explain, seen: Glance) -> Reasons:
    """Answer from the database alone."""
    if question.job:
        known = _known(folder, seen, seen.held_by(question.job), question.job)
        record = known.state.jobs.records.get(question.job)
        if record is None:
            raise InputError(no_such_job(question.job, jobs_of(seen), folder))
        word = "ended" if record.ended else "not known to have ended"
        return Reasons(word, explain(known, record=record))
    row = seen[question.item]
    return Reasons(row.phase.value, explain(_known(folder, seen, [row], row.job or ""), row))


def _known(folder: RunFolder, seen: Glance, running: Sequence[Item], job: str) -> Known:
    """What the database tells; `running`: the rows by which `job`, which is asked about, is known."""
    wall, now = time.time(), time.monotonic()
    config = read_config(folder)
    state = row_codec.open_without_items(seen.tables, config, now, running)
    output = partial(job_output_tail, config.log_folder, lines=CRASH_LINES)
    return Known(
        state, wall, now, is_alive=False,
        early_deaths=early_deaths_text(state.jobs.early_deaths, state.jobs.records.values(), output),
        complaints=read_complaints(folder, complaint_is_over(state.jobs, wall, now), job), output=output, stored=seen, held=running,
    )  # fmt: skip


def _name(row: Item) -> str:
    if isinstance(row, TaskItem):
        return row.name
    return row.fname if isinstance(row.fname, str) else ", ".join(row.fname[:3])
