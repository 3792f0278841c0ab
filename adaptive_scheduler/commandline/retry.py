"""The command ``retry``: run learners or tasks again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adaptive_scheduler.commandline.input.arguments import DryRun, RunAndItems, Tag
from adaptive_scheduler.commandline.input.find_learner import find_learner
from adaptive_scheduler.commandline.input.find_run import split_run
from adaptive_scheduler.commandline.input.find_tasks import chosen_tasks, refuse_tag
from adaptive_scheduler.commandline.output.dry_run import ENDED, count_in, phases_of, would
from adaptive_scheduler.commandline.output.errors import prints_option_names, reports_errors
from adaptive_scheduler.commandline.output.json_lines import has_result, print_result
from adaptive_scheduler.commandline.output.terminal import print_line, quoted
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.errors import InputError

if TYPE_CHECKING:
    from adaptive_scheduler.runs.run import Run
    from adaptive_scheduler.runs.run_manager import RunManager


@reports_errors
@has_result
def retry(
    words: RunAndItems = None,
    learners_file: Annotated[
        Path | None,
        typer.Option(help="Use the functions and the goal of this file from now on."),
    ] = None,
    goal: Annotated[
        str | None,
        typer.Option(help="A new goal, as in `run`; done learners that do not meet it go on, too."),
    ] = None,
    tag: Tag = None,
    dry_run: DryRun = False,
) -> None:
    """Run learners or tasks again, by default those that failed or were cancelled.

    With --goal or --learners-file also those done that do not meet the goal, or whose data are gone.
    The data of learners are kept; earlier failures do not count any more.

    Example: `adaptive-scheduler retry RUN 3 17 --learners-file new.py`
    """
    from adaptive_scheduler.runs.run import Run
    from adaptive_scheduler.runs.task_run import is_of_tasks

    folder, learners = split_run(words or [])
    if is_of_tasks(folder):
        if learners_file is not None or goal is not None:
            raise InputError("--learners-file and --goal are for learners; this is a run of tasks.")
        _retry_tasks(folder, learners, tag, dry_run)
        return
    refuse_tag(tag)
    found = Run.attach(folder)
    rows = [find_learner(name, found.fnames) for name in learners]
    if dry_run:
        _print_retry(folder, rows, learners_file is not None or goal is not None)
        return
    if learners_file is not None or goal is not None:
        found = _redefined(found, NewDefinition(learners_file, goal))
        rows = [find_learner(name, found.fnames) for name in learners]
    with prints_option_names():
        n = found.retry(rows or None)
    is_goal_checked = learners_file is not None or goal is not None
    print_line(queued_again(n, len(rows), is_goal_checked=is_goal_checked))
    print_result("retry", folder=folder.home, kind="learner", queued_again=n)
    if n:
        print_line(f"Watch it with: adaptive-scheduler status --watch {quoted(folder)}")


def _print_retry(folder: RunFolder, rows: Sequence[int], is_redefined: bool) -> None:
    """Print what a retry of learners would do."""
    from adaptive_scheduler.runs.start.change_run import refuse_without_learners

    if not is_redefined:
        refuse_without_learners(folder)
    wanted = rows or range(len(phases_of(folder)))
    n = count_in(folder, wanted, ENDED if rows else ("failed", "cancelled"))
    also = "; and those done that do not meet the new goal" if is_redefined and not rows else ""
    print_line(f"{would(True)}{counted(n, 'learner')} queued again{also}.")
    print_result("retry", dry_run=True, folder=folder.home, kind="learner", queued_again=n)


def _retry_tasks(folder: RunFolder, typed: list[str], tag: str | None, dry_run: bool) -> None:
    from adaptive_scheduler.core.rows.row import CANCELLED, FAILED
    from adaptive_scheduler.runs.task_run import TaskRun

    run = TaskRun(folder)
    is_named = bool(typed or tag is not None)
    if is_named:
        items = chosen_tasks(run, typed, tag)
    else:
        items = [row.id for row in run.rows() if row.phase in (FAILED, CANCELLED)]
    if dry_run:
        n = count_in(folder, items, ENDED)
        print_line(f"{would(dry_run)}{counted(n, 'task')} queued again.")
        print_result("retry", dry_run=True, folder=folder.home, kind="task", queued_again=n)
        return
    n = run.retry(items)
    print_result("retry", folder=folder.home, kind="task", queued_again=n)
    print_line(queued_again(n, len(items) if is_named else 0, is_goal_checked=False, what="task"))
    if n and not run.is_served():
        print_line(
            f"Nothing runs them yet. To run them here: adaptive-scheduler pool join {quoted(folder)}"
        )


def queued_again(n: int, named: int, *, is_goal_checked: bool, what: str = "learner") -> str:
    """What to print when `n` learners were queued again, of `named` ones that were typed.

    `is_goal_checked`: whether done learners were compared with the goal.
    """
    if n and n >= named:
        return f"{counted(n, what)} queued again."
    if n:
        return f"{n} of {counted(named, what)} queued again; the others have not ended yet."
    if named:
        return f"Nothing to retry: {'it has' if named == 1 else 'they have'} not ended yet."
    done = ", and those done meet the goal" if is_goal_checked else ""
    return (
        f"Nothing to retry: no {what} has failed or was cancelled{done}. "
        "To run one again all the same, give its number."
    )


@dataclass(frozen=True)
class NewDefinition:
    """What learners are given anew.

    Attributes
    ----------
    file : Path, optional
        Where functions and goal are.
    goal : str, optional
        As typed.
    """

    file: Path | None = None
    goal: str | None = None


def _redefined(run: Run, new: NewDefinition) -> RunManager:
    """Define the same run again; what was not given stays as it is."""
    from adaptive_scheduler.commandline.input.learners_file import goal_of, load_learners_file
    from adaptive_scheduler.io.pickling.callables_file import read_callable
    from adaptive_scheduler.io.storage.run_config import read_config
    from adaptive_scheduler.runs.run_manager import RunManager

    path = run.folder.callables
    file = None if new.file is None else load_learners_file(new.file)
    goal = goal_of(file, new.goal)
    learners = run.learners if file is None else file.learners
    names = run.fnames if file is None else file.fnames
    return RunManager(
        read_callable(path, "scheduler"),
        learners,
        names,
        goal=_old_goal(run) if goal is None else goal,
        folder=run.folder.home,
        point_timeout=read_config(run.folder).point_timeout,
        point_retries=read_config(run.folder).point_retries,
        runner_kwargs=read_callable(path, "runner_kwargs"),
        initializers=_old_initializers(run, names, learners),
    )


def _old_initializers(run: Run, names: Sequence[Any], learners: Sequence[Any]) -> list[Any] | None:
    """Those of the run; where each learner has its own, in the order of these learners."""
    from adaptive_scheduler.core.initializers import is_per_learner
    from adaptive_scheduler.io.pickling.callables_file import read_callable
    from adaptive_scheduler.runs.start import fnames

    given = read_callable(run.folder.callables, "initializers")
    if given is None or not is_per_learner(given):
        return given  # type: ignore[no-any-return]
    known = dict(zip(map(fnames.key, run.fnames), given, strict=True))
    absolute = fnames.absolute_fnames(names, learners)
    return [known.get(fnames.key(name)) for name in absolute]


def _old_goal(run: Run) -> Any:
    from adaptive_scheduler.core.goals import unparse_goal
    from adaptive_scheduler.io.pickling.callables_file import read_callable
    from adaptive_scheduler.io.storage.run_config import read_config

    goal = read_config(run.folder).goal
    if goal.kind == "callable":
        return read_callable(run.folder.callables, "goal")
    return unparse_goal(goal)
