"""What is said of a run: a `Summary`, made from a snapshot and from what was seen before."""

from __future__ import annotations

import re
from collections.abc import Sequence

from adaptive_scheduler.core.rows.row import TASK, Phase
from adaptive_scheduler.core.texts import counted, natural
from adaptive_scheduler.core.wire.snapshot import JobRow, Snapshot
from adaptive_scheduler.runs.views import render, status
from adaptive_scheduler.runs.views.page.messages import (
    ActionLine,
    FailureGroup,
    JobLine,
    PhaseCount,
    Summary,
)
from adaptive_scheduler.runs.views.tables import duration

_NUMBER = re.compile(r"\d+(\.\d+)?([eE][+-]?\d+)?")
#: What is shown of long lists.
MOST_JOBS, MOST_GROUPS, MOST_OF_A_GROUP = 100, 20, 100
#: A snapshot of a run that goes on is old so many seconds after it was read.
OLD = 20.0
#: How a note begins that tells of a manager which lives and does not answer (`ManagerClient.snapshot`).
SILENT_MANAGER = "a manager runs, but"
#: The phases in the order in which they are shown.
PHASES = tuple(render.STYLES)


def summary(snapshot: Snapshot, actions: Sequence[ActionLine] = (), age: float = 0.0) -> Summary:
    """Return what is shown of a run.

    Parameters
    ----------
    snapshot : Snapshot
        With its active and failed items.
    actions : sequence of ActionLine
    age : float
        Seconds since it was read.
    """
    text = age_text(snapshot, age)
    return Summary(
        name=str(snapshot.database).removesuffix("/db.tinydb"),
        kind=snapshot.kind,
        sentence=sentence(snapshot),
        state=status.word_of(snapshot),
        time=snapshot.time,
        age_text=text,
        is_old=bool(text),
        phases=phase_counts(snapshot),
        done=snapshot.phases.get(Phase.DONE, 0),
        total=snapshot.total,
        rate=snapshot.pace,
        rate_unit="tasks/s" if snapshot.kind == TASK else "points/s",
        remaining=_remaining(snapshot),
        jobs=[job_line(job, snapshot.kind) for job in _by_attention(snapshot.jobs)[:MOST_JOBS]],
        jobs_text=jobs_text(snapshot),
        notes=list(snapshot.notes),
        failures=failure_groups(snapshot),
        actions=list(actions),
    )


def sentence(snapshot: Snapshot) -> str:
    """State of the run in one sentence."""
    word = status.word_of(snapshot)
    done = snapshot.phases.get(Phase.DONE, 0)
    total = f"{snapshot.total:,} {snapshot.kind}{'' if snapshot.total == 1 else 's'}"
    progress = f"{done:,} of {total} done"
    failed = snapshot.phases.get(Phase.FAILED, 0)
    if word == status.FINISHED:
        return (
            f"Finished: {total} done." if snapshot.total else "Finished: there was nothing to do."
        )
    if word == status.FAILED:
        return f"Ended: {progress}, {failed:,} failed."
    if word == status.CANCELLED:
        n = snapshot.phases.get(Phase.CANCELLED, 0)
        return f"Ended: {progress}, {n:,} cancelled{f', {failed:,} failed' if failed else ''}."
    if word == status.DEAD:
        goes_on = "Running jobs go on; " if snapshot.jobs else ""
        return f"No manager runs: {progress}. {goes_on}Resume starts {'another' if goes_on else 'a'} manager."
    if word == status.HELD:
        return f"Held: {progress}. No jobs are submitted until it is resumed."
    if snapshot.is_open and not snapshot.unfinished:
        ended = (
            f"{progress}{f', {failed:,} failed' if failed else ''}"
            if snapshot.total
            else "no task yet"
        )
        return f"Open: {ended}; more tasks may come."
    return f"Running: {', '.join(filter(None, [progress, _failed(failed), jobs_text(snapshot)]))}."


def _failed(n: int) -> str:
    return f"{n:,} failed" if n else ""


def jobs_text(snapshot: Snapshot) -> str:
    """How many jobs run and wait."""
    n = len(snapshot.jobs)
    if not n:
        return "no jobs"
    if not snapshot.alive:
        return f"{counted(n, 'job')} not known to have ended"
    waiting = sum(not has_started(job) for job in snapshot.jobs)
    if not waiting:
        return f"{counted(n, 'job')} running"
    if waiting == n:
        return f"{counted(n, 'job')} waiting in the queue"
    return f"{n - waiting} of {counted(n, 'job')} running, {waiting} waiting"


def has_started(job: JobRow) -> bool:
    """Whether a job runs, as far as is known; one that was submitted just now is not listed yet."""
    return not job.waiting and (bool(job.host) or job.state != "not listed")


def phase_counts(snapshot: Snapshot) -> list[PhaseCount]:
    """How many items are in each phase, those that have none left out."""
    return [
        PhaseCount(phase.value, phase.value, n)
        for phase in PHASES
        if (n := snapshot.phases.get(phase, 0))
    ]


def _remaining(snapshot: Snapshot) -> str:
    left = None if snapshot.over else snapshot.remaining
    return "" if left is None else f"about {duration(left)} left"


def age_text(snapshot: Snapshot, age: float) -> str:
    """Say that what is shown is old, and why; "" if it is not, or will not change any more."""
    if snapshot.over and not snapshot.jobs:
        return ""
    if snapshot.alive:
        return (
            f"This is {duration(age)} old: nothing newer could be read since." if age > OLD else ""
        )
    if any(note.startswith(SILENT_MANAGER) for note in snapshot.notes):
        return "The manager does not answer: this is what the database has; running jobs may be further."
    further = "; running jobs may be further" if snapshot.jobs else ""
    return f"No manager runs: this is what the database has{further}."


# ------------------------------------------------------------------------- jobs


def _by_attention(jobs: Sequence[JobRow]) -> list[JobRow]:
    return sorted(
        jobs, key=lambda job: (not job.suspect, not job.remedy, job.waiting, natural(job.id))
    )


def job_line(job: JobRow, kind: str) -> JobLine:
    """One job, with what it runs."""
    host = f"{job.host} +{job.nodes - 1}" if job.nodes > 1 else job.host
    return JobLine(
        job.id, job.name, "silent" if job.suspect else job.state, host, _what(job, kind),
        _why(job), job.remedy,
    )  # fmt: skip


def _what(job: JobRow, kind: str) -> str:
    if kind == TASK:
        return (
            f"{counted(job.tasks, 'task')} on {job.used} of {job.cores} cores" if job.cores else ""
        )
    return "" if job.item is None else f"learner {job.item}"


def _why(job: JobRow) -> str:
    parts = [job.reason] if job.reason else []
    if job.suspect:
        parts.append(f"nothing was heard of it for {duration(job.silent)}")
    if job.missing:
        parts.append(f"{counted(job.missing, 'node')} not there yet")
    if job.lost:
        parts.append(f"lost: {', '.join(job.lost)}")
    return "; ".join(parts)


# --------------------------------------------------------------------- failures


def failure_groups(snapshot: Snapshot) -> list[FailureGroup]:
    """Failed items by the first line of their reason, the most frequent first.

    Reasons that differ in their numbers alone, as in where a function was evaluated, are one.
    """
    found: dict[str, tuple[str, list[int]]] = {}
    for item in snapshot.items:
        if item.phase is Phase.FAILED:
            reason = first_line(item.reason) or "it failed"
            found.setdefault(_NUMBER.sub("#", reason), (reason, []))[1].append(item.id)
    groups = [
        FailureGroup(reason, len(items), items[:MOST_OF_A_GROUP], _without_numbers(reason))
        for reason, items in found.values()
    ]
    return sorted(groups, key=lambda group: -group.count)[:MOST_GROUPS]


def _without_numbers(reason: str) -> str:
    """What finds all of a group: the search wants each word, wherever it stands."""
    return " ".join(word for word in reason.split() if not any(map(str.isdigit, word)))


def first_line(text: str) -> str:
    """The first line of a text; "" of an empty one."""
    return text.strip().partition("\n")[0]
