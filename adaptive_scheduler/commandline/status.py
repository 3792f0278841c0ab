"""The command ``status``: show how a run stands."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from adaptive_scheduler.commandline.input.arguments import AsJson, OptionalRun, Watch
from adaptive_scheduler.commandline.input.find_run import find_run
from adaptive_scheduler.commandline.output import exit_codes
from adaptive_scheduler.commandline.output.errors import reports_errors
from adaptive_scheduler.commandline.output.json_lines import SCHEMA_VERSION, plain, print_json
from adaptive_scheduler.commandline.output.option_names import for_command_line
from adaptive_scheduler.commandline.output.terminal import console, exit_with

if TYPE_CHECKING:
    from adaptive_scheduler.core.wire.snapshot import Snapshot
    from adaptive_scheduler.runs.manager_client import ManagerClient

#: Lines of each table, unless `--all` is given.
_ROWS = 30
#: Seconds between two lines of `--json --watch`.
_INTERVAL = 1.0


@reports_errors
def status(
    run: OptionalRun = None,
    watch: Watch = False,
    as_json: AsJson = False,
    everything: Annotated[bool, typer.Option("--all", help="All learners and all jobs.")] = False,
) -> None:
    """Show the state of a run.

    Changes nothing; Ctrl-C ends only the watching.

    Example: `adaptive-scheduler status --watch`
    """
    from adaptive_scheduler.commandline.output.ending import watch_to_end
    from adaptive_scheduler.runs.manager_client import ManagerClient
    from adaptive_scheduler.runs.views import render

    with ManagerClient(find_run(run)) as client:
        if as_json:
            code = _print_as_json(client, watch)
        elif watch:
            code = watch_to_end(client)
        else:
            snapshot = for_command_line(client.snapshot("all" if everything else "active"))
            console.print(render.overview(snapshot, None if everything else _ROWS))
            code = exit_codes.of_snapshot(snapshot)
    exit_with(code)


def _print_as_json(client: ManagerClient, watch: bool) -> int:
    """Print one line, or one each second until the run is over; returns the exit code."""
    while True:
        snapshot = client.snapshot("all")
        print_json(_with_sums(snapshot))
        if snapshot.over or not watch:
            return exit_codes.of_snapshot(snapshot)
        time.sleep(_INTERVAL)


def _with_sums(snapshot: Snapshot) -> dict[str, object]:
    sums = {"total": snapshot.total, "over": snapshot.over, "remaining": snapshot.remaining}
    return {"schema_version": SCHEMA_VERSION, **plain(snapshot), **sums}
