"""What a sweep will do: its tasks, and what is done about each command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from adaptive_scheduler.core.sweeps.tasks import SweepTask
from adaptive_scheduler.core.sweeps.templates import complete
from adaptive_scheduler.core.tasks.command_spec import LATER, later
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.texts import check_argument
from adaptive_scheduler.runs.sweep.decisions import (
    SUCCESS,
    Action,
    Decision,
    decide,
    in_order,
    row_key,
    what_changed,
)
from adaptive_scheduler.runs.sweep.folders import SweepFolder
from adaptive_scheduler.runs.sweep.former_rows import FormerRows, RowSettings
from adaptive_scheduler.runs.sweep.task_files import TaskFiles


class PlannedTask(msgspec.Struct, frozen=True):
    """One task.

    Attributes
    ----------
    task : SweepTask
    decisions : dict of str to Decision
        By command.
    texts : dict of str to str
        Commands as they are run; what only the node knows is not filled in.
    """

    task: SweepTask
    decisions: dict[str, Decision]
    texts: dict[str, str]

    def with_action(self, *actions: Action) -> list[str]:
        """Return its commands of which this is done, in their order."""
        return [name for name, one in self.decisions.items() if one.action in actions]


class Plan(msgspec.Struct, frozen=True):
    """A whole sweep.

    Attributes
    ----------
    tasks : list of PlannedTask
    remarks : list of str
        What its user should know before.
    withdrawn : set of str
        Keys of rows that earlier sweeps have left and this one does not want.
    """

    tasks: list[PlannedTask]
    remarks: list[str]
    withdrawn: set[str]

    def count(self, *actions: Action) -> int:
        """How many commands there are of which this is done."""
        return sum(len(one.with_action(*actions)) for one in self.tasks)


class Wanted(msgspec.Struct, frozen=True):
    """What is to be planned.

    Attributes
    ----------
    tasks : list of SweepTask
    order : list of str
        All commands of the file.
    is_forced : bool
    when : str
        ``{_datetime}``.
    resources : TaskResources
        Of each command.
    timeouts : mapping of str to float
        Command to seconds.
    """

    tasks: list[SweepTask]
    order: list[str]
    is_forced: bool
    when: str
    resources: TaskResources
    timeouts: Mapping[str, float]

    def settings(self, command: str) -> RowSettings:
        """Return what the row of a command is submitted with."""
        return RowSettings(self.resources, self.timeouts.get(command))


def make_plan(folder: SweepFolder, files: TaskFiles, rows: FormerRows, wanted: Wanted) -> Plan:
    """Return what is to be done; reads files, and changes nothing."""
    planned: list[PlannedTask] = []
    remarks = list(rows.unreadable)
    followed: set[str] = set()
    for task in wanted.tasks:
        stat = files.stat(task.name)
        decisions = in_order({
            command: decide(
                key, folder.run_name,
                rows.past(key, stat.get(command), wanted.settings(command)),
                is_forced=wanted.is_forced,
            )
            for command, key in task.keys.items()
        })  # fmt: skip
        one = PlannedTask(task, decisions, _texts(folder, task, wanted))
        planned.append(one)
        remarks += _changes(one, files)
        remarks += _missing_before(one, stat, wanted.order)
        followed |= {
            row_key(task.keys[name], decisions[name].generation)
            for name in one.with_action(Action.FOLLOW)
        }
    return Plan(planned, remarks, rows.unfinished - followed)


def _texts(folder: SweepFolder, task: SweepTask, wanted: Wanted) -> dict[str, str]:
    known = {
        "_name": task.name, "_output": folder.of(task.name), "_index": task.index,
        "_json": task.json, "_param_file": folder.param(task.name), "_datetime": wanted.when,
        "_time": wanted.when, "_nodes": wanted.resources.nodes,
        "_ranks": wanted.resources.nodes * wanted.resources.ranks_per_node,
    }  # fmt: skip
    filled = {name: complete(text, known, LATER) for name, text in task.commands.items()}
    for name, text in filled.items():
        check_argument(_without_marks(text), f"command {name} of {task.name}: text")
    return filled


def _without_marks(text: str) -> str:
    for name in LATER:
        text = text.replace(later(name), "")
    return text


def _changes(one: PlannedTask, files: TaskFiles) -> list[str]:
    """What has changed since a command succeeded."""
    changed = [name for name in one.with_action(Action.RUN) if one.decisions[name].why == "changed"]
    if not changed:
        return _whys(one)
    former = files.param(one.task.name)
    told = [
        f"{one.task.name}: {name} is run again: {what_changed(former, one.task.parameters, name)}"
        for name in changed
    ]
    order = list(one.decisions)
    stays = [
        name for name in one.with_action(Action.SKIP, Action.NOTE)
        if order.index(name) > order.index(changed[0])
    ]  # fmt: skip
    return told + [
        f"{one.task.name}: {name} is skipped, though {changed[0]} before it is run again; -f runs both"
        for name in stays
    ]


def _whys(one: PlannedTask) -> list[str]:
    return [
        f"{one.task.name}: {name} is run again: {its.why}"
        for name, its in one.decisions.items()
        if its.action is Action.RUN and its.why
    ]


def _missing_before(
    one: PlannedTask, stat: Mapping[str, Mapping[str, object]], order: Sequence[str]
) -> list[str]:
    """Commands before the wanted ones that are left out though they have not succeeded."""
    if not one.with_action(Action.RUN, Action.FOLLOW):
        return []
    last = max(order.index(name) for name in one.with_action(Action.RUN, Action.FOLLOW))
    return [
        f"{one.task.name}: {name}, which comes before, has not succeeded, and is not run"
        for name in order[:last]
        if name not in one.decisions and stat.get(name, {}).get("code") != SUCCESS
    ]
