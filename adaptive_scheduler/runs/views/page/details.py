"""All about one learner or task: facts, history, traceback, log and data."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from adaptive_scheduler.core.history.records import RunHistory
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.core.times import rate_text
from adaptive_scheduler.core.wire.ends import How
from adaptive_scheduler.core.wire.snapshot import ItemView, Snapshot
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.io.system import read_logs
from adaptive_scheduler.runs.task_run import TaskRun
from adaptive_scheduler.runs.views import log_entries, render, tasks
from adaptive_scheduler.runs.views.page.actions import item_actions
from adaptive_scheduler.runs.views.page.messages import Detail, HistoryLine
from adaptive_scheduler.runs.views.tables import duration

#: Lines of a job's output, and of its log about one learner.
LINES = 40
#: Lines at the end of a job's log that are looked through for one learner.
LOOKED_THROUGH = 400

#: Tries of a learner that are shown, the last ones.
MOST_TRIES = 50
#: How a try ended.
HOW = {
    How.DONE: "done", How.GIVEN_BACK: "given back", How.FAILED: "failed", How.CRASHED: "crashed",
    How.WALLTIME: "given back at the end of its job", How.LOST: "lost with its job",
    How.CANCELLED: "cancelled",
}  # fmt: skip

# --------------------------------------------------------------------- learners


def of_learner(
    folder: RunFolder,
    view: Item | ItemView,
    snapshot: Snapshot,
    history: RunHistory,
) -> Detail:
    """Return all about one learner but its plot, which `views.drawing` makes.

    Parameters
    ----------
    folder : RunFolder
    view : Item or ItemView
        What is known of it.
    snapshot : Snapshot
        With its job.
    history : RunHistory
        Of the run.
    """
    job = view.job or last_job(view.id, history)
    shared = render.common_folder([view])  # type: ignore[arg-type]
    return Detail(
        item=view.id,
        title=f"learner {view.id}: {render.fname_text(view.fname, shared)}",
        phase=view.phase.value,
        facts=[(label, text) for label, text in learner_facts(view, snapshot) if text],
        history=learner_history(view.id, history),
        traceback=view.traceback,
        log=learner_log(Path(read_config(folder).log_folder), view.id, job),
        actions=item_actions(view.id, view.phase.value, "learner"),
    )


def learner_facts(view: Item | ItemView, snapshot: Snapshot) -> list[tuple[str, str]]:
    """What is known of one learner, by name; "" where nothing is."""
    job = next((one for one in snapshot.jobs if one.id == view.job), None)
    names = [view.fname] if isinstance(view.fname, str) else view.fname
    return [
        ("phase", view.phase.value),
        ("why", "" if view.reason == view.phase else view.reason.strip().partition("\n")[0]),
        ("job", view.job or ""),
        ("node", job.host if job else ""),
        ("points", f"{view.npoints:,}"),
        ("loss", "" if view.loss is None else f"{view.loss:.4g}"),
        ("worked", duration(view.worked) if view.worked else ""),
        *(_of_running(view) if isinstance(view, ItemView) else []),
        ("attempts", str(view.attempts) if view.attempts else ""),
        ("failures", str(view.fails) if view.fails else ""),
        ("crashes", str(view.crashes) if view.crashes else ""),
        ("damaged data", view.kept_aside),
        ("data", "\n".join(names[:5]) + (f"\nand {len(names) - 5} more" if len(names) > 5 else "")),
    ]


def _of_running(view: ItemView) -> list[tuple[str, str]]:
    if view.phase is not Phase.RUNNING:
        return []
    return [
        ("points/s", rate_text(view.points_per_second)),
        ("overhead", f"{view.overhead:.0f} %"),
        ("CPU", f"{view.cpu:.0f} % of a core"),
        ("memory", f"{view.memory:,.0f} MiB"),
        ("no point for", duration(view.idle_since) if view.stalled else ""),
    ]


def last_job(item: int, history: RunHistory) -> str:
    """The job that had a learner last; "" if none is known."""
    found = next((one for one in reversed(history.stretches) if one.item == item), None)
    return "" if found is None else history.jobs[found.job].id


def learner_history(item: int, history: RunHistory) -> list[HistoryLine]:
    """When which job took a learner, and how that ended."""
    lines = []
    for one in [one for one in history.stretches if one.item == item][-MOST_TRIES:]:
        job = history.jobs[one.job]
        where = f"job {job.id}" + (f" on {job.host}" if job.host else "")
        lines.append(HistoryLine(clock(one.began), f"taken by {where}"))
        why = history.reasons[one.reason] if one.reason >= 0 else ""
        how = HOW[How(one.how)]
        points = f", {counted(one.points, 'point')}" if one.points else ""
        detail = f" ({why})" if why and why != how else ""
        lines.append(HistoryLine(clock(one.ended), f"{how}{points}{detail}"))
    if (now := history.running.get(item)) is not None:
        job = history.jobs[now.job]
        where = f"job {job.id}" + (f" on {job.host}" if job.host else "")
        lines.append(HistoryLine(clock(now.began), f"taken by {where}"))
    return lines


def learner_log(logs: Path, item: int, job: str) -> str:
    """The last events of a learner in the log of its job, and the last lines that this printed."""
    if not job:
        return ""
    path = logs / f"{job}.log"
    events = read_logs.last_events(path, LOOKED_THROUGH)
    lines = [
        log_entries.entry_line(log_entries.entry_of(one, job)).plain.rstrip()
        for one in events
        if one.get("item") == item
    ][-LINES:]
    printed = read_logs.job_output_tail(logs, job, LINES) or ""
    return "\n".join([*lines, *([f"— {job}.out —", printed] if printed else [])])


# ------------------------------------------------------------------------ tasks


def of_task(folder: RunFolder, item: int) -> Detail:
    """Return all about one task."""
    found = TaskRun(folder).details(item, LINES)
    facts = [("state", str(found["state"])), *tasks.task_facts(found).items()]
    facts += [("waits", text) for text in found["waits"]]
    return Detail(
        item=item,
        title=f"task {item}" + (f": {found['name']}" if found["name"] else ""),
        phase=str(found["state"]),
        facts=[(label, text) for label, text in facts if text],
        history=[_event(one) for one in found["history"]],
        traceback=found["traceback"],
        log=found["output_tail"],
        actions=item_actions(item, str(found["state"]), "task"),
    )


def _event(one: dict[str, Any]) -> HistoryLine:
    where = ", ".join(f"{name} {one[name]}" for name in ("job", "node") if one.get(name))
    return HistoryLine(clock(one["at"]), one["what"] + (f" ({where})" if where else ""))


def clock(when: float) -> str:
    """A time as text, in the zone of who looks."""
    return f"{dt.datetime.fromtimestamp(when).astimezone():%Y-%m-%d %H:%M:%S}"
