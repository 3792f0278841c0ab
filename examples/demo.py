"""The demo: the learners of `learners_file.py`, run by jobs of this machine's own batch system.

Ten learners, at most four jobs at a time, real MPI ranks. The first learner
needs longer than its jobs live. They do not know their walltime, so the batch
system kills them, and the next job carries on. The other jobs know their
walltime and leave before it.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import matplotlib as mpl
from learners_file import fnames, learners
from rich.console import Console
from rich.table import Table

from adaptive_scheduler import RunManager, scheduler
from adaptive_scheduler.commandline.output.watching import NothingLeft, watch
from adaptive_scheduler.core.jobs.batch_jobs import Ending
from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.io.system import commands
from adaptive_scheduler.runs.views.log_entries import read_entries

#: Seconds after which the batch system kills the jobs of the first learner.
WALLTIME = 12
#: Points: what the first learner needs (about 20 s of work), and what the others need.
MANY, FEW = 1400, 200

console = Console()


def goal(learner):
    """Whether a learner has its points; the first one, whose peak is leftmost, needs many."""
    return learner.npoints >= (MANY if learner.function.keywords["offset"] < -0.4 else FEW)


def make_scheduler() -> scheduler.LocalScheduler:
    """Jobs of two ranks, three at a time; a tuple gives one value per learner."""
    others = len(learners) - 1
    return scheduler.LocalScheduler(
        cores=2,
        max_cores=6,
        kill_wait=10,
        # The first learner's jobs are promised ten minutes, cannot ask the batch system (its
        # folder is hidden from them), and are killed early.
        walltime=(600, *[20] * others),
        extra_scheduler=([f"--walltime={WALLTIME}"], *[[]] * others),
        extra_script=("export ADAPTIVE_SCHEDULER_LOCALBATCH=/dev/null", *[""] * others),
    )


def run(folder: Path) -> int:
    """Run all learners to their goal, and show what came of it; returns the exit code."""
    system = make_scheduler()
    manager = RunManager(
        system, learners, fnames, goal=goal, folder=folder,
        name="demo", max_jobs=4, interval=2, save_interval=5, log_interval=2,
    )  # fmt: skip
    try:
        manager.start()
        last = watch(manager.snapshot, console, NothingLeft())
    except KeyboardInterrupt:
        console.print("\nCancelling: the jobs save and leave.")
        manager.cancel()
        manager.wait(timeout=60)
        return 130
    manager.load_learners(progress=False)
    console.print(table())
    console.print(f"{last.submitted} jobs were submitted.")
    kills = [ending for ending in endings(system, manager) if ending.cause == "timeout"]
    for ending in kills:
        console.print(
            f"Job {ending.id} was killed at its walltime of {WALLTIME} s; the next carried on."
        )
    console.print(f"Plot: {plot(folder / 'learners.png')}", soft_wrap=True)
    missed = [learner for learner in learners if not goal(learner)]
    return 1 if missed or not kills or not last.over else 0


def endings(system: scheduler.LocalScheduler, manager: RunManager) -> list[Ending]:
    """How the jobs ended, as the batch system reports it."""
    entries = read_entries(manager.folder.manager_log, "manager")
    jobs = [job for e in entries if e.event == "jobs_submitted" for job in e.facts["jobs"]]
    return system.parse_history(commands.run(system.history_command(jobs), timeout=30))


def table() -> Table:
    """Points and loss of each learner, from its data on disk."""
    made = Table(title="learners", title_justify="left")
    made.add_column("fname", overflow="fold")
    for name in ("points", "loss"):
        made.add_column(name, justify="right")
    for learner, fname in zip(learners, fnames, strict=True):
        made.add_row(str(fname), str(learner.npoints), f"{learner.loss():.4f}")
    return made


def plot(path: Path) -> Path:
    """Draw all learners into a PNG."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5))
    for place, learner in enumerate(learners):
        points = sorted(learner.data.items())
        axes.plot([x for x, _ in points], [y + place / 2 for _, y in points], ".-", ms=2, lw=0.7)
    axes.set(xlabel="x", ylabel="h(x), shifted", title="Ten learners: points where the peaks are")
    figure.savefig(path, dpi=120)
    return path


def fresh(folder: Path) -> None:
    """Make the demo's folder; one of an earlier demo is removed, after its run was ended."""
    if (folder / "db.tinydb.run" / "run.json").exists():
        earlier = RunManager.attach(folder)
        earlier.cancel()
        earlier.wait(timeout=60)
        shutil.rmtree(folder)
    if folder.exists() and any(folder.iterdir()):
        sys.exit(f"{folder} is there and is not a demo's: move it away.")
    folder.mkdir(exist_ok=True)


if __name__ == "__main__":
    home = Path("demo").absolute()
    os.environ["ADAPTIVE_SCHEDULER_LOCALBATCH_IDLE"] = "1"  # the batch system ends with the demo
    try:
        fresh(home)
        os.chdir(home)  # the fnames are relative to it
        os.environ["ADAPTIVE_SCHEDULER_LOCALBATCH"] = str(home / "batch system")
        sys.exit(run(home))
    except AdaptiveSchedulerError as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:  # before anything was started, or a second time
        sys.exit(130)
