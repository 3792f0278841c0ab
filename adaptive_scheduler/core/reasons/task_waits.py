"""Why no job that is there begins a task: sentences with numbers, of what the manager knows."""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Iterator, Sequence

from adaptive_scheduler.core.reasons.item_causes import listed
from adaptive_scheduler.core.reasons.question import Found, Question
from adaptive_scheduler.core.reasons.sources import is_free
from adaptive_scheduler.core.rows.run_state import RunState
from adaptive_scheduler.core.rows.task_index import TaskClass, class_of
from adaptive_scheduler.core.tasks.place import Inventory
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.tasks.task_state import Head
from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.core.times import length_text


class Why(enum.Enum):
    """Kinds of reasons why a job does not begin a task now."""

    UNFIT = enum.auto()
    ENDS_SOON = enum.auto()
    OTHERS = enum.auto()
    IN_USE = enum.auto()


def _in_jobs(question: Question, wanted: Why) -> Iterator[Found]:
    """Say of the jobs that are there why they do not begin a free task, jobs of one reason together."""
    task, state = question.task, question.state
    if task is None or not is_free(question):
        return
    by_reason: defaultdict[str, list[str]] = defaultdict(list)
    for job, head in state.tasks.heads.items():
        why, text = _why_not_in(state, head, state.tasks.resources[task.shape], class_of(task))
        if why is wanted:
            by_reason[text].append(job)
    for text, jobs in by_reason.items():
        yield Found(f"{_jobs(jobs)} {text}")


def ends_too_soon(question: Question) -> Iterator[Found]:
    """Its walltime is longer than what jobs have left."""
    return _in_jobs(question, Why.ENDS_SOON)


def others_first(question: Question) -> Iterator[Found]:
    """Jobs have room, for tasks that go before it."""
    return _in_jobs(question, Why.OTHERS)


def jobs_in_use(question: Question) -> Iterator[Found]:
    """Jobs have not enough free cores, GPUs or memory."""
    return _in_jobs(question, Why.IN_USE)


def jobs_unfit(question: Question) -> Iterator[Found]:
    """Jobs are too small, take other tags, lack nodes, or end."""
    return _in_jobs(question, Why.UNFIT)


def _jobs(jobs: Sequence[str]) -> str:
    return f"job {jobs[0]}" if len(jobs) == 1 else f"each of jobs {listed(jobs)}"


def _why_not_in(state: RunState, head: Head, task: TaskResources, of: TaskClass) -> tuple[Why, str]:
    """Say why a job is not given a task of a class now."""
    view, there = head.view, head.inventory
    if not head.is_known or view.is_going:
        text = "gets nothing more: it ends" if view.is_going else "has not told yet what it runs"
        return Why.UNFIT, text
    if view.accepts and of[1] not in view.accepts:
        return Why.UNFIT, f"takes only tasks with the tag {' or '.join(view.accepts)}"
    if not there.could_ever_hold(task):
        return Why.UNFIT, f"is too small: it has {there}"
    if not view.has_time_for(task):
        left = length_text(round(view.seconds_left))
        needs = length_text(task.walltime or 0.0)
        return Why.ENDS_SOON, f"ends in {left}, and the task needs {needs}"
    if of[2] and view.mirror.suspects:
        return Why.OTHERS, "runs a task whose process died before, and takes one such at a time"
    return _why_no_place(state, head, task, of)


def _why_no_place(
    state: RunState, head: Head, task: TaskResources, of: TaskClass
) -> tuple[Why, str]:
    """Say why there is no place for a task in a job that may have it."""
    view, there = head.view, head.inventory
    if not there.could_hold(task):
        return Why.UNFIT, "lacks nodes that are lost, or have not come yet"
    kept = state.tasks.hand_out.starvation.kept_from(view.job, of)
    if there.place(task, view.avoided.union(kept)):
        return Why.OTHERS, "has room for it, as soon as those that go first have theirs"
    if there.place(task, view.avoided):
        return Why.OTHERS, "keeps nodes free for larger tasks, which have waited for long"
    if there.place(task):
        return Why.UNFIT, "has room only on a node where tasks fail"
    return Why.IN_USE, _missing(there, task)


def _missing(there: Inventory, task: TaskResources) -> str:
    cores, gpus, memory = there.missing(task, there.nearest_to_free(task) or [])
    missing = [counted(int(cores), "core")] if cores else []
    missing += [f"{gpus:g} GPU{'s' * (gpus != 1)}"] if gpus else []
    missing += [f"{memory / 2**30:.3g} GiB"] if memory else []
    if not missing:
        return "has enough that is free, but not together"
    return f"is in use: {', '.join(missing)} more must become free"
