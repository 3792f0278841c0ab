"""Which tasks are meant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from adaptive_scheduler.commandline.input.suggestions import did_you_mean
from adaptive_scheduler.commandline.output.terminal import quoted
from adaptive_scheduler.errors import InputError

if TYPE_CHECKING:
    from adaptive_scheduler.core.paths import RunFolder
    from adaptive_scheduler.core.rows.row import TaskItem
    from adaptive_scheduler.runs.task_run import TaskRun

_RANGE = re.compile(r"([0-9]{1,12})-([0-9]{1,12})")
_NUMBER = re.compile(r"[0-9]{1,12}")


class NamedRow(Protocol):
    """A task by what a person may call it."""

    @property
    def id(self) -> int:
        """Its number."""

    @property
    def name(self) -> str:
        """Empty if it has none."""

    @property
    def key(self) -> str:
        """Empty if it has none."""


def chosen_tasks(run: TaskRun, typed: Sequence[str], tag: str | None) -> list[int]:
    """Find the tasks that were named, or those of a tag.

    Raises
    ------
    InputError
        There is no such task, or nothing was named.
    """
    if tag is not None and typed:
        raise InputError("Give tasks or --tag, not both.")
    if tag is None and not typed:
        raise InputError("Which tasks? Give ids (3 7 20-29), names, or --tag.")
    rows = run.rows()
    if not rows:
        raise InputError(f"{run.folder.home}: no tasks yet.")
    if tag is not None:
        return with_tag(rows, tag)
    found = {number: None for text in typed for number in find_task(text, rows, run.folder)}
    return list(found)


def one_task(folder: RunFolder, rows: Sequence[NamedRow], typed: str) -> int:
    """Find the one task that was named; InputError if there is none, or more than one."""
    if not rows:
        raise InputError(f"{folder.home}: no tasks yet.")
    items = find_task(typed, rows, folder)
    if len(items) > 1:
        first = ", ".join(map(str, items[:5])) + (", ..." if len(items) > 5 else "")
        raise InputError(f"{typed} stands for {len(items)} tasks ({first}): give one id.")
    return items[0]


def with_tag(rows: Sequence[TaskItem], tag: str) -> list[int]:
    """Find the tasks of a tag; InputError, with near tags, if there is none."""
    found = [row.id for row in rows if row.tag == tag]
    if found or not rows:
        return found
    tags = sorted({row.tag for row in rows if row.tag})
    if not tags:
        raise InputError(f"--tag {tag}: no task of this run has a tag.")
    listed = ", ".join(tags[:10]) + (", ..." if len(tags) > 10 else "")
    raise InputError(
        f"--tag {tag}: no task has this tag.{did_you_mean(tag, tags)} Tags of this run: {listed}."
    )


def find_task(typed: str, rows: Sequence[NamedRow], folder: RunFolder) -> Sequence[int]:
    """Find a task by its id, its name or its key; or several, by a range of ids.

    Raises
    ------
    InputError
        There is none.
    """
    if _NUMBER.fullmatch(typed):
        return [_checked(int(typed), len(rows), folder)]
    if match := _RANGE.fullmatch(typed):
        first, last = int(match[1]), int(match[2])
        if last < first:
            raise InputError(f"{typed}: a range goes from a smaller id to a larger one.")
        return range(_checked(first, len(rows), folder), _checked(last, len(rows), folder) + 1)
    if named := [row.id for row in rows if typed in (row.name, row.key)]:
        return named
    names = {name for row in rows for name in (row.name, row.key) if name}
    raise InputError(
        f"{typed} is no task.{did_you_mean(typed, names)} Give an id such as 7, a range such as "
        f"20-29, or a name. adaptive-scheduler tasks {quoted(folder)} lists them."
    )


def _checked(number: int, n: int, folder: RunFolder) -> int:
    if number < n:
        return number
    there = f"its ids are 0 to {n - 1}" if n > 1 else "its only id is 0"
    raise InputError(f"There is no task {number} in {folder.home}: {there}.")


def refuse_tag(tag: str | None) -> None:
    """Refuse ``--tag`` of a run of learners."""
    if tag is not None:
        raise InputError(f"--tag {tag}: only tasks have tags, and this is a run of learners.")
