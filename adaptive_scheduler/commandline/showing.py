"""What the commands print about a run."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import msgspec
from rich.text import Text

from adaptive_scheduler.commandline import exits, history
from adaptive_scheduler.commandline.finding import find_learner
from adaptive_scheduler.commandline.running import conclude, console, quoted, say
from adaptive_scheduler.commandline.watching import Watched, watch
from adaptive_scheduler.core.findings import CheckResult
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.snapshot import Snapshot
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.io.system.read_logs import tail
from adaptive_scheduler.runs.manager_client import ManagerClient, Rows
from adaptive_scheduler.runs.views import render as views

#: Lines of each table where the output is no terminal.
_ROWS = 30


def status(folder: RunFolder, stay: bool, as_json: bool, everything: bool) -> int:
    """Show a run once, or until it is over; returns the exit code."""
    rows = None if everything else _ROWS
    which: Rows = "all" if everything or as_json else "active"
    with ManagerClient(folder) as viewer:
        if stay and not as_json:
            try:
                last = watch(lambda: viewer.snapshot("active"), console, Watched())
            except KeyboardInterrupt:
                say("\nThe run goes on. To end it: adaptive-scheduler cancel " + quoted(folder))
                return exits.INTERRUPTED
            return conclude(last, folder)
        snapshot = viewer.snapshot(which)
        while stay and not snapshot.over:
            _print_json(snapshot)
            time.sleep(1.0)
            snapshot = viewer.snapshot(which)
    if as_json:
        _print_json(snapshot)
    else:
        console.print(views.overview(snapshot, rows))
    return exits.code_of(snapshot)


def _print_json(snapshot: Snapshot) -> None:
    """One line; every field is there, also where it has its default."""
    plain = whole(snapshot)
    plain |= {"total": snapshot.total, "over": snapshot.over, "remaining": snapshot.remaining}
    sys.stdout.write(msgspec.json.encode(plain).decode() + "\n")
    sys.stdout.flush()


def whole(value: Any) -> Any:
    """Plain data of a struct, with the fields that msgspec leaves out."""
    if isinstance(value, msgspec.Struct):
        return {name: whole(getattr(value, name)) for name in value.__struct_fields__}
    return [whole(one) for one in value] if isinstance(value, list) else value


# ------------------------------------------------------------------------- logs


def run_logs(folder: RunFolder, lines: int) -> None:
    """Print what the manager did, which learners failed, and where more is written."""
    with ManagerClient(folder) as viewer:
        snapshot = viewer.snapshot("active")
    if folder.manager_log.exists():
        for entry in list(history.read_entries(folder.manager_log, "manager"))[-lines:]:
            console.print(history.entry_line(entry), soft_wrap=True)
    for text in views.failures(snapshot):
        console.print(text, soft_wrap=True)
    say(
        f"Jobs write to {log_folder(folder)}: ID.out (what they printed), ID.log (their events).",
        "dim",
    )
    say(f"One learner's history: adaptive-scheduler logs {quoted(folder)} LEARNER", "dim")


def learner_logs(folder: RunFolder, named: str, lines: int) -> None:
    """Print the history of one learner, and why it is where it is."""
    with ManagerClient(folder) as viewer:
        items = viewer.snapshot("all").items
    row = find_learner(named, [item.fname for item in items])
    logs = log_folder(folder)
    for entry in history.entries_of(sorted(logs.glob("*.log")), row)[-lines:]:
        console.print(history.entry_line(entry), soft_wrap=True)
    console.print(history.traceback_text(items[row]), soft_wrap=True)
    if items[row].job:
        output = logs / f"{items[row].job}.out"
        if end := tail(output, 20):
            say(f"The end of {output}:", "bold")
            console.print(Text(end), soft_wrap=True)


def log_folder(folder: RunFolder) -> Path:
    """Where the jobs of a run write."""
    return Path(read_config(folder).log_folder)


# ------------------------------------------------------------------------- check


def findings(found: list[CheckResult]) -> int:
    """Print one line for each thing that was tried; returns the exit code."""
    for finding in found:
        mark = Text("ok    ", "green") if finding.ok else Text("FAILED", "bold red")
        console.print(Text.assemble(mark, f" {finding.what}: {finding.found}"), soft_wrap=True)
        if finding.remedy and not finding.ok:
            console.print(Text(f"       -> {finding.remedy}", "yellow"), soft_wrap=True)
    return exits.DONE if all(finding.ok for finding in found) else exits.FAILED


def check(scheduler: Any, folder: Path, timeout: float) -> int:
    """Check with one job, and print what was found; returns the exit code."""
    from adaptive_scheduler.runs import check as checking

    folder = folder.absolute()
    trial = checking.ClusterCheck(
        scheduler, scheduler.shapes(1)[0][0], folder, folder, timeout,
        tell=lambda text: say(text, "dim"),
    )  # fmt: skip
    return findings(checking.check(trial))
