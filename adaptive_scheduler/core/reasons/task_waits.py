"""Why a task has not begun: sentences with numbers, of what rows and manager know."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from adaptive_scheduler.core.jobs.job_tracking import TrackedJob
from adaptive_scheduler.core.rows.items import rank_of
from adaptive_scheduler.core.rows.row import DONE, QUEUED, WAITING, Item, Phase, TaskItem
from adaptive_scheduler.core.rows.run_state import RunState
from adaptive_scheduler.core.rows.task_index import TaskClass, class_of
from adaptive_scheduler.core.tasks.pools import Pool
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.tasks.task_state import Head
from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.core.times import length_text

#: Tasks, jobs and reasons of one kind that are named.
MOST_NAMED = 5
_STANDS = {Phase.WAITING: "waits itself", Phase.QUEUED: "is queued", Phase.RUNNING: "runs"}


def in_line(row: TaskItem, rows: Sequence[Item]) -> list[str]:
    """Return which tasks come before a task: those that it waits for, and those that go first."""
    if row.phase is WAITING:
        before = [rows[one] for one in dict.fromkeys(row.depends_on) if rows[one].phase is not DONE]
        named = [f"task {one.id}, which {_STANDS.get(one.phase, 'has ended')}" for one in before]
        return [f"it waits for {_listed(named)}"] if named else []
    if row.phase is not QUEUED:
        return []
    own = rank_of(row)
    first = [one for one in rows if one.phase is QUEUED and rank_of(one) < own]
    if not first:
        return []
    best = max(one.priority for one in first)
    why = (
        f"the highest has priority {best:g}, it has {row.priority:g}"
        if best > row.priority
        else "they are older, or have failed less often"
    )
    same = sum(one.tag == row.tag for one in first if type(one) is TaskItem)
    # others may have jobs of their own
    tags = f", {same:,} with the same tag" if same < len(first) else ""
    return [f"{counted(len(first), 'task goes', 'tasks go')} first{tags}: {why}"]


def why_not_begun(state: RunState, item: int, now: float) -> list[str]:
    """Return what keeps a free task from being begun, as its manager sees it.

    Parameters
    ----------
    state : RunState
    item : int
        A task.
    now : float
        Monotonic seconds.
    """
    row = state.items.task(item)
    if row.phase is not QUEUED:
        return []
    if (left := state.items.delay_left(item, now)) is not None:
        return [f"it is tried again in {left:.0f} s: its delay is {row.policy.delay:g} s"]
    task, of = state.tasks.resources[row.shape], class_of(row)
    reasons = [f"the run is held: {state.stops.held}"] if state.stops.held else []
    by_reason = defaultdict(list)
    for job, head in state.tasks.heads.items():
        by_reason[_why_not_in(state, head, task, of)].append(job)
    for reason, jobs in by_reason.items():
        reasons.append(f"{_jobs(jobs)} {reason}")
    reasons += _of_pools(state, task, of)
    if not state.pools.active and not state.tasks.heads:
        reasons.append("nothing runs tasks: there is no pool, and no machine has joined the run")
    return reasons


def _jobs(jobs: Sequence[str]) -> str:
    return f"job {jobs[0]}" if len(jobs) == 1 else f"each of jobs {_listed(jobs)}"


def _listed(texts: Sequence[str]) -> str:
    more = len(texts) - MOST_NAMED
    return "; ".join(texts[:MOST_NAMED]) + (f"; and {more:,} more" if more > 0 else "")


# ------------------------------------------------------------------- jobs that are there


def _why_not_in(state: RunState, head: Head, task: TaskResources, of: TaskClass) -> str:
    """Say why a job is not given a task of a class now."""
    view, there = head.view, head.inventory
    if not head.is_known or view.is_going:
        return "gets nothing more: it ends" if view.is_going else "has not told yet what it runs"
    if view.accepts and of[1] not in view.accepts:
        return f"takes only tasks with the tag {' or '.join(view.accepts)}"
    if not there.could_ever_hold(task):
        return f"is too small: it has {there}"
    if not view.has_time_for(task):
        return (
            f"ends in {length_text(round(view.seconds_left))}, and the task needs "
            f"{length_text(task.walltime or 0.0)}"
        )
    if of[2] and view.mirror.suspects:
        return "runs a task whose process died before, and takes one such at a time"
    return _why_no_place(state, head, task, of)


def _why_no_place(state: RunState, head: Head, task: TaskResources, of: TaskClass) -> str:
    """Say why there is no place for a task in a job that may have it."""
    view, there = head.view, head.inventory
    if not there.could_hold(task):
        return "lacks nodes that are lost, or have not come yet"
    kept = state.tasks.hand_out.starvation.kept_from(view.job, of)
    if there.place(task, view.avoided.union(kept)):
        return "has room for it, as soon as those that go first have theirs"
    if there.place(task, view.avoided):
        return "keeps nodes free for larger tasks, which have waited for long"
    if there.place(task):
        return "has room only on a node where tasks fail"
    cores, gpus, memory = there.missing(task, there.nearest_to_free(task) or [])
    missing = [counted(int(cores), "core")] if cores else []
    missing += [f"{gpus:g} GPU{'s' * (gpus != 1)}"] if gpus else []
    missing += [f"{memory / 2**30:.3g} GiB"] if memory else []
    if not missing:
        return "has enough that is free, but not together"
    return f"is in use: {', '.join(missing)} more must become free"


# ------------------------------------------------------------------- jobs that are to come


def _of_pools(state: RunState, task: TaskResources, of: TaskClass) -> Iterator[str]:
    """Say of each pool that could hold a task why there are no more jobs of it."""
    jobs: defaultdict[int, list[TrackedJob]] = defaultdict(list)
    for job in state.jobs.live.values():
        jobs[job.record.shape].append(job)
    under_way = Counter[int]()
    for submit in state.jobs.pending_submits.values():
        under_way[submit.record.shape] += submit.missing
    for shape, pool in state.pools.active.items():
        if state.pools.could_hold_in(shape, task, of[1]):
            yield _of_pool(state, pool, jobs[shape], under_way[shape])


def _of_pool(state: RunState, pool: Pool, jobs: Sequence[TrackedJob], under_way: int) -> str:
    waiting = [job for job in jobs if job.may_be_pending]
    said = f"pool {pool.name} has {counted(len(jobs) + under_way, 'job')}, and may have {pool.max_jobs}"
    if waiting:
        causes = Counter(job.listed.reason for job in waiting if job.listed and job.listed.reason)
        why = f" ({', '.join(causes)})" if causes else ""
        return f"{said}; {counted(len(waiting), 'of these waits', 'of these wait')} in the queue of the batch system{why}"
    if len(jobs) + under_way >= pool.max_jobs:
        return f"{said}: max_jobs is reached"
    if state.backoff_reason:
        return f"{said}; none is submitted: {state.backoff_reason}"
    return f"{said}: one more is submitted when it is needed"
