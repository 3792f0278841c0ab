"""What the screen asks about a run: in a thread, again and again, whatever happens to the manager."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adaptive_scheduler.commandline.output.option_names import for_command_line
from adaptive_scheduler.core.rows.row import TASK
from adaptive_scheduler.core.wire.snapshot import Snapshot
from adaptive_scheduler.errors import AdaptiveSchedulerError

if TYPE_CHECKING:
    from adaptive_scheduler.runs.manager_client import ManagerClient

#: Lines of a job's output that are shown of one learner or task.
_LINES = 40


@dataclass
class LastSeen:
    """The last answer.

    Attributes
    ----------
    snapshot : Snapshot, optional
    at : float
        When it came, on the monotonic clock.
    problem : str
        Why no newer one came; "" if it did.
    """

    snapshot: Snapshot | None = None
    at: float = 0.0
    problem: str = ""

    @property
    def age(self) -> float:
        """Seconds since it came."""
        return time.monotonic() - self.at


def ask(client: ManagerClient, seen: LastSeen, *, everything: bool) -> LastSeen:
    """Ask for a new snapshot; if none comes the last one stays, with the reason."""
    try:
        found = client.snapshot("all" if everything else "active")
    except (AdaptiveSchedulerError, OSError) as error:
        return LastSeen(seen.snapshot, seen.at, str(error))
    return LastSeen(for_command_line(found), time.monotonic())


def details(client: ManagerClient, item: int) -> str:
    """All about one learner or task, as text."""
    from adaptive_scheduler.runs.task_run import is_of_tasks

    try:
        return _of_task(client, item) if is_of_tasks(client.folder) else _of_learner(client, item)
    except (AdaptiveSchedulerError, OSError) as error:
        return str(error)


def _of_task(client: ManagerClient, item: int) -> str:
    from adaptive_scheduler.runs.task_run import TaskRun
    from adaptive_scheduler.runs.views.tasks import task_lines

    found = TaskRun(client.folder).details(item, _LINES)
    parts = [line.plain for line in task_lines(found)]
    return "\n".join([*parts, *filter(None, [found["traceback"], found["output_tail"]])])


def _of_learner(client: ManagerClient, number: int) -> str:
    from adaptive_scheduler.io.storage.run_config import read_config
    from adaptive_scheduler.io.system.read_logs import job_output_tail
    from adaptive_scheduler.runs.views import log_entries

    item = client.snapshot("all").items[number]
    logs = Path(read_config(client.folder).log_folder)
    parts = [log_entries.traceback_text(item).plain]
    entries = log_entries.entries_of(sorted(logs.glob("*.log")), number)[-_LINES:]
    parts += [log_entries.entry_line(entry).plain for entry in entries]
    if item.job and (printed := job_output_tail(logs, item.job, _LINES)):
        parts += ["", f"The end of {logs / f'{item.job}.out'}:", printed]
    return "\n".join(parts)


def is_over(snapshot: Snapshot) -> bool:
    """Whether there is nothing left to watch; a run without a manager may get one again."""
    return snapshot.over and not snapshot.jobs


def kind_of(snapshot: Snapshot | None) -> str:
    """``learners`` or ``tasks``."""
    return "failed tasks" if snapshot is not None and snapshot.kind == TASK else "learners"
