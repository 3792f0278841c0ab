"""The command ``logs``: show what happened in a run, or to one learner or task."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from adaptive_scheduler.commandline.input.arguments import AsJson, RunAndItems
from adaptive_scheduler.commandline.input.find_learner import find_learner
from adaptive_scheduler.commandline.input.find_run import split_run
from adaptive_scheduler.commandline.output.errors import reports_errors
from adaptive_scheduler.commandline.output.json_lines import SCHEMA_VERSION, plain, print_json
from adaptive_scheduler.commandline.output.terminal import console, print_line, quoted
from adaptive_scheduler.commandline.tasks.task import show
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import InputError

if TYPE_CHECKING:
    from adaptive_scheduler.core.wire.snapshot import ItemView, Snapshot
    from adaptive_scheduler.runs.views.log_entries import Entry

#: Lines of a job's output that are shown with a learner's history.
_OUTPUT_LINES = 20


@reports_errors
def logs(
    words: RunAndItems = None,
    lines: Annotated[
        int, typer.Option("--lines", "-n", help="Most lines of the log that are shown.", min=1)
    ] = 100,
    as_json: AsJson = False,
) -> None:
    """Show what happened in a run, or to one learner or task.

    Of one that failed the traceback is shown, too.

    Example: `adaptive-scheduler logs RUN 17`
    """
    from adaptive_scheduler.io.storage.run_config import read_config
    from adaptive_scheduler.runs.manager_client import ManagerClient
    from adaptive_scheduler.runs.task_run import is_of_tasks
    from adaptive_scheduler.runs.views import log_entries

    folder, items = split_run(words or [])
    if len(items) > 1:
        raise InputError(f"{' '.join(items)}: give one learner or task.")
    learner = items[0] if items else None
    if learner is not None and is_of_tasks(folder):
        show(folder, learner, lines, as_json=as_json)
        return
    job_logs = Path(read_config(folder).log_folder)
    with ManagerClient(folder) as client:
        snapshot = client.snapshot("active" if learner is None else "all")
    if learner is None:
        history = _of_run(folder, snapshot, lines)
    else:
        number = find_learner(learner, [item.fname for item in snapshot.items])
        history = _of_learner(job_logs, snapshot.items[number], lines)
    if as_json:
        print_json(_for_programs(history))
        return
    for entry in history.entries:
        console.print(log_entries.entry_line(entry), soft_wrap=True)
    if learner is None:
        _print_failures(snapshot, folder, job_logs)
    else:
        _print_learner(history)


@dataclass(frozen=True)
class History:
    """What happened in a run, or to one learner.

    Attributes
    ----------
    entries : list of Entry
        Of the manager's log, or of the jobs' logs.
    learners : list of ItemView
        The failed ones, or the one that was asked for.
    output : Path, optional
        Where the learner's last job has printed.
    output_tail : str
        The end of that.
    """

    entries: list[Entry]
    learners: list[ItemView]
    output: Path | None = None
    output_tail: str = ""


def _of_run(folder: RunFolder, snapshot: Snapshot, lines: int) -> History:
    from adaptive_scheduler.core.rows.row import Phase
    from adaptive_scheduler.runs.views import log_entries

    failed = [item for item in snapshot.items if item.phase is Phase.FAILED]
    if not folder.manager_log.exists():
        return History([], failed)
    return History(list(log_entries.read_entries(folder.manager_log, "manager"))[-lines:], failed)


def _of_learner(job_logs: Path, item: ItemView, lines: int) -> History:
    from adaptive_scheduler.io.system.read_logs import job_output_tail
    from adaptive_scheduler.runs.views import log_entries

    entries = log_entries.entries_of(sorted(job_logs.glob("*.log")), item.id)[-lines:]
    if not item.job:
        return History(entries, [item])
    output = job_logs / f"{item.job}.out"
    return History(
        entries, [item], output, job_output_tail(job_logs, item.job, _OUTPUT_LINES) or ""
    )


def _print_failures(snapshot: Snapshot, folder: RunFolder, job_logs: Path) -> None:
    from adaptive_scheduler.runs.views import render

    for text in render.failures(snapshot):
        console.print(text, soft_wrap=True)
    print_line(f"More is in {job_logs}: JOB.out has what a job printed, JOB.log its events.", "dim")
    what = snapshot.kind
    print_line(f"For one {what}: adaptive-scheduler logs {quoted(folder)} {what.upper()}", "dim")


def _print_learner(history: History) -> None:
    from adaptive_scheduler.runs.views import log_entries

    (item,) = history.learners
    console.print(log_entries.traceback_text(item), soft_wrap=True)
    if history.output_tail:
        print_line(f"The end of {history.output}:", "bold")
        console.print(Text(history.output_tail), soft_wrap=True)


def _for_programs(history: History) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "entries": [dataclasses.asdict(entry) for entry in history.entries],
        "learners": plain(history.learners),
        "output": None if history.output is None else str(history.output),
        "output_tail": history.output_tail,
    }
