"""What the commands change about a run that exists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adaptive_scheduler.commandline import exits
from adaptive_scheduler.commandline.finding import find_learner
from adaptive_scheduler.commandline.loading import goal_of, load_learners_file
from adaptive_scheduler.commandline.running import conclude, console, quoted, say, wait_for_the_last
from adaptive_scheduler.commandline.watching import Watched, watch
from adaptive_scheduler.core.goals import unparse_goal
from adaptive_scheduler.core.initializers import is_per_learner
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.io.pickling.callables_file import read_callable
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.runs.manager_client import ManagerClient
from adaptive_scheduler.runs.run_manager import RunManager
from adaptive_scheduler.runs.start import fnames
from adaptive_scheduler.runs.start.fnames import absolute_fnames


def cancel(folder: RunFolder) -> None:
    """End a run, and wait until its jobs have left."""
    manager = RunManager.attach(folder)
    manager.cancel()
    wait_for_the_last(manager)
    say(f"To go on: adaptive-scheduler resume {quoted(folder)}")


def resume(folder: RunFolder, if_dead: bool, stay: bool) -> int:
    """Go on with a run; returns the exit code."""
    with ManagerClient(folder) as viewer:
        snapshot = viewer.snapshot("none")
        if if_dead and (snapshot.over or viewer.lives()):
            say(
                "Nothing to do: "
                + ("all learners have ended." if snapshot.over else "its manager lives.")
            )
            return exits.DONE
    RunManager.attach(folder).resume()
    say(f"Going on. Watch it with: adaptive-scheduler status --watch {quoted(folder)}")
    return follow(folder) if stay else exits.DONE


def follow(folder: RunFolder) -> int:
    """Watch a run to its end; Ctrl-C ends the watching only."""
    try:
        with ManagerClient(folder) as viewer:
            return conclude(watch(lambda: viewer.snapshot("active"), console, Watched()), folder)
    except KeyboardInterrupt:
        say(f"\nThe run goes on. To end it: adaptive-scheduler cancel {quoted(folder)}")
        return exits.INTERRUPTED


@dataclass(frozen=True)
class Again:
    """What is to be retried.

    Attributes
    ----------
    learners : list of str
        Numbers or fnames; none: all that failed, and those that miss a new goal.
    file : Path, optional
        Where functions and goal are taken from anew.
    goal : str, optional
        As typed.
    """

    learners: list[str]
    file: Path | None = None
    goal: str | None = None


def retry(folder: RunFolder, again: Again) -> None:
    """Run learners again, with functions and goal as now."""
    run = RunManager.attach(folder)
    if again.file is not None or again.goal is not None:
        run = _renewed(run, again)
    rows = [find_learner(name, run.fnames) for name in again.learners]
    run.retry(rows or None)
    say(f"Queued again. Watch it with: adaptive-scheduler status --watch {quoted(folder)}")


def _renewed(run: RunManager, again: Again) -> RunManager:
    """The same run, described anew; what was not given stays."""
    path = run.folder.callables
    file = None if again.file is None else load_learners_file(again.file)
    goal = goal_of(file, again.goal)
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


def _old_initializers(
    run: RunManager, names: Sequence[Any], learners: Sequence[Any]
) -> list[Any] | None:
    """Those of the run; where each learner has its own, in the order of these learners."""
    given = read_callable(run.folder.callables, "initializers")
    if given is None or not is_per_learner(given):
        return given  # type: ignore[no-any-return]
    known = dict(zip(map(fnames.key, run.fnames), given, strict=True))
    absolute = absolute_fnames(names, learners)
    return [known.get(fnames.key(name)) for name in absolute]


def _old_goal(run: RunManager) -> Any:
    goal = read_config(run.folder).goal
    if goal.kind == "callable":
        return read_callable(run.folder.callables, "goal")
    return unparse_goal(goal)
