"""Shows how a run of tasks stands: its pools, its jobs, how tasks ended."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from adaptive_scheduler.core.jobs.records import is_external
from adaptive_scheduler.core.texts import counted, natural
from adaptive_scheduler.core.wire.pools import PoolState
from adaptive_scheduler.core.wire.snapshot import JobRow, Snapshot
from adaptive_scheduler.runs.views.tables import FittedTable, cut, heartbeat, table

#: How tries end, in the order in which they are shown, and what that is called.
ENDS = {
    "value": "with a value",
    "error": "raised",
    "exit": "exit status not 0",
    "signal": "killed by a signal",
    "timeout": "timeout",
    "unable": "could not be started",
    "died": "process died",
    "cut": "cut by the end of a job",
    "lost": "lost with its node",
    "cancelled": "cancelled",
}


def figures(snapshot: Snapshot) -> list[str]:
    """Cores in use; only a manager knows them."""
    if not snapshot.alive:
        return []
    parts = []
    if cores := sum(job.cores for job in snapshot.jobs):
        parts.append(f"{sum(job.used for job in snapshot.jobs)} of {cores} cores in use")
    if snapshot.is_open:
        parts.append("more tasks may come")
    return parts


def ends(snapshot: Snapshot) -> str:
    """How tries have ended since the manager started; "" if none has."""
    known = {kind: n for kind in ENDS if (n := snapshot.ended_by.get(kind, 0))}
    if not known:
        return ""
    parts = ", ".join(f"{n:,} {ENDS[kind]}" for kind, n in known.items())
    return f"tries that ended since the manager started: {parts}"


def pools_table(snapshot: Snapshot) -> list[RenderableType]:
    """One line for each pool, and one for the machines that have joined by hand."""
    lines = [_cells(pool, snapshot) for pool in snapshot.pools if _is_of_interest(pool)]
    joined = [job for job in snapshot.jobs if is_external(job.id)]
    if joined:
        lines.append(_cells_of_joined(joined))
    names = ("pool", "jobs", "waiting", "most", "cores", "in use", "tasks", "each job", "")
    return [table("pools", names, lines)] if lines else []


def _is_of_interest(pool: PoolState) -> bool:
    return not pool.pool.is_removed or bool(pool.waiting or pool.running)


def _cells(state: PoolState, snapshot: Snapshot) -> list[Text]:
    pool = state.pool
    each = str(pool).removeprefix(f"{pool.name} (").removesuffix(")")
    remark = "removed" if pool.is_removed else "HELD" if snapshot.is_held else ""
    return [
        Text(pool.name), Text(str(state.running)), Text(str(state.waiting)),
        Text(str(pool.max_jobs)), Text(str(state.cores)), Text(str(state.used)),
        Text(f"{state.tasks:,}"), Text(each), Text(remark, "bold red"),
    ]  # fmt: skip


def _cells_of_joined(jobs: list[JobRow]) -> list[Text]:
    hosts = sorted({job.host for job in jobs if job.host}, key=natural)
    return [
        Text("joined by hand"), Text(str(len(jobs))), Text("0"), Text(""),
        Text(str(sum(job.cores for job in jobs))), Text(str(sum(job.used for job in jobs))),
        Text(f"{sum(job.tasks for job in jobs):,}"), Text(", ".join(hosts)), Text(""),
    ]  # fmt: skip


def failed_tasks(snapshot: Snapshot) -> list[Text]:
    """The tasks that failed last, one line each."""
    found = [
        Text.assemble(
            (f"task {item.id}", "bold red"), f" {item.fname}: " if item.fname else ": ",
            _first_line(item.reason) or "it failed",
        )
        for item in snapshot.items
    ]  # fmt: skip
    more = snapshot.phases.get("failed", 0) - len(found)
    if more > 0:
        found.append(Text(f"and {more:,} more: adaptive-scheduler tasks RUN --state failed", "dim"))
    return found


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0] if lines else ""


def jobs_table(snapshot: Snapshot, rows: int | None) -> FittedTable:
    """One line per job of a pool; those without heartbeats come first."""
    chosen = sorted(
        snapshot.jobs, key=lambda job: (not job.suspect, not job.tasks, natural(job.id))
    )
    names = ("id", "state", "host", "tasks", "cores", "in use", "heartbeat", "reason")
    lines = [
        [Text(job.id), Text(job.state), Text(_hosts(job)), Text(f"{job.tasks:,}"),
         Text(str(job.cores)), Text(str(job.used)), heartbeat(job), Text(_remark(job))]
        for job in chosen[:rows]
    ]  # fmt: skip
    return cut(table("jobs", names, lines), len(chosen), rows)


def _hosts(job: JobRow) -> str:
    return f"{job.host} +{job.nodes - 1}" if job.nodes > 1 else job.host


def _remark(job: JobRow) -> str:
    """Why it waits, or what is wrong with its nodes."""
    parts = [job.reason] if job.reason else []
    if job.missing:
        parts.append(f"{counted(job.missing, 'node')} not there yet")
    if job.lost:
        parts.append(f"lost: {', '.join(job.lost)}")
    return "; ".join(parts)
