"""The command ``doctor``, also called ``check``: what is wrong with this machine, the cluster, a run."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from adaptive_scheduler.commandline.input.arguments import AsJson
from adaptive_scheduler.commandline.input.find_run import find_run
from adaptive_scheduler.commandline.input.options import SCHEDULER_OPTIONS, takes_options
from adaptive_scheduler.commandline.output import exit_codes
from adaptive_scheduler.commandline.output.errors import reports_errors
from adaptive_scheduler.commandline.output.json_lines import print_json
from adaptive_scheduler.commandline.output.option_names import in_option_names
from adaptive_scheduler.commandline.output.terminal import console, exit_with, print_line
from adaptive_scheduler.core.doctor.findings import (
    Finding,
    Level,
    as_json_value,
    count_by_level,
    exit_is_good,
    wrong,
)
from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.errors import InputError

if TYPE_CHECKING:
    from adaptive_scheduler.core.paths import RunFolder
    from adaptive_scheduler.core.resources import Resources
    from adaptive_scheduler.schedulers.base import Scheduler

#: A job of two ranks shows whether MPI works; a machine of one core has room for one.
_CORES = min(2, os.cpu_count() or 1)
_STYLES = {
    Level.OK: "green", Level.WARNING: "yellow", Level.FAULT: "bold red", Level.UNKNOWN: "bold magenta",
}  # fmt: skip
_WIDTH = max(len(level) for level in Level)


@dataclass(frozen=True)
class _Network:
    interface: str | None
    ports: str | None


@reports_errors
@takes_options("scheduler", SCHEDULER_OPTIONS, "What each job asks for")
def doctor(
    run: Annotated[
        Path | None,
        typer.Argument(
            help="A run: look at its folder, keys, lock, manager and disk. Default: look at this "
            "machine and its batch system.",
            metavar="RUN",
            readable=False,
        ),
    ] = None,
    folder: Annotated[
        Path, typer.Option(help="Where the run's folder and its data would be.")
    ] = Path(),
    job: Annotated[
        bool | None,
        typer.Option(
            "--job/--no-job",
            show_default=False,
            help="Submit one small job, which looks at a node. Default: yes; no if RUN is given.",
        ),
    ] = None,
    timeout: Annotated[
        str, typer.Option(help="How long to wait for the job.", metavar="TIME")
    ] = "10m",
    tasks: Annotated[
        bool, typer.Option("--tasks", help="What a pool's jobs need, in place of MPI.")
    ] = False,
    interface: Annotated[
        str | None,
        typer.Option(help="The network interface, or address, where the manager would listen."),
    ] = None,
    ports: Annotated[
        str | None, typer.Option(help="Ports on which the manager would listen, e.g. 50000-50100.")
    ] = None,
    as_json: AsJson = False,
    *,
    scheduler: dict[str, Any],
) -> None:
    """Look for what is wrong, and say what to do about it.

    Without RUN it looks at this machine and its batch system: login profile, limits, network, MPI launcher,
    folder, partition, account, walltime. Then one small job looks at a node: Python and its packages, MPI
    (or, with --tasks, what a pool's jobs have for tasks), the network back to this host, clock, writing and
    locking. With RUN it looks at that run: settings, keys, lock, manager, disk. `check` is its other name.

    Exit code 1: something is wrong, or could not be found out; warnings do not count.

    Example: `adaptive-scheduler doctor --scheduler slurm --cores 4`
    """  # fmt: skip
    from adaptive_scheduler.commandline.input.values import seconds
    from adaptive_scheduler.io.transport.addresses import port_range

    port_range(ports)  # what is typed wrong is no fault of the machine
    chosen = None if run is None else find_run(run)
    found = [] if chosen is None else _look_at_run(chosen)
    if chosen is None or job:
        wanted = _Wanted(
            folder.absolute(), seconds(timeout, "--timeout"), tasks, _Network(interface, ports),
            job is not False, _ignore if as_json else _print_dim,
        )  # fmt: skip
        found += _look_at_cluster(
            wanted if chosen is None else _as_of_run(wanted, chosen), scheduler, chosen
        )
    if as_json:
        print_json(as_json_value(found))
    else:
        _print_findings(found)
    exit_with(exit_codes.DONE if exit_is_good(found) else exit_codes.FAILED)


@dataclass(frozen=True)
class _Wanted:
    folder: Path
    timeout: float
    tasks: bool
    network: _Network
    job: bool
    report: Callable[[str], None]
    resources: Resources | None = None


def _look_at_run(run: RunFolder) -> list[Finding]:
    from adaptive_scheduler.runs.doctor.run_folder import look_at_run

    return look_at_run(run)


def _as_of_run(wanted: _Wanted, run: RunFolder) -> _Wanted:
    """The same in a run's folder, for its kind of jobs and on its network unless another was typed."""
    from adaptive_scheduler.core.rows.row import TASK
    from adaptive_scheduler.io.storage.run_config import read_config

    config = read_config(run)
    network = _Network(
        wanted.network.interface or config.interface, wanted.network.ports or config.ports
    )
    return replace(
        wanted, folder=run.home, tasks=wanted.tasks or config.kind == TASK, network=network,
        resources=config.shapes[0] if config.shapes else None,
    )  # fmt: skip


def _look_at_cluster(
    wanted: _Wanted, typed: dict[str, Any], run: RunFolder | None
) -> list[Finding]:
    from adaptive_scheduler.core.rows.row import LEARNER, TASK
    from adaptive_scheduler.runs.check import ClusterCheck, check

    made = _scheduler(typed, run)
    if isinstance(made, Finding):
        return [made]
    resources = wanted.resources if wanted.resources and not typed else made.shapes(1)[0][0]
    trial = ClusterCheck(
        made, resources, wanted.folder, wanted.folder, wanted.timeout,
        wanted.network.interface, wanted.network.ports, wanted.report,
        TASK if wanted.tasks else LEARNER,
    )  # fmt: skip
    with _ended_as_by_ctrl_c():
        return check(trial, job=wanted.job)


@contextlib.contextmanager
def _ended_as_by_ctrl_c() -> Iterator[None]:
    """Within it SIGTERM and a terminal that is closed leave no job and no folder behind, either."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    is_main = threading.current_thread() is threading.main_thread()  # only that may have handlers
    numbers = (signal.SIGTERM, signal.SIGHUP) if is_main else ()
    before = {one: signal.getsignal(one) for one in numbers}
    # nohup ignores one of them
    ends = [one for one, handler in before.items() if handler is signal.SIG_DFL]
    for one in ends:
        signal.signal(one, interrupt)
    try:
        yield
    finally:
        for one in ends:
            signal.signal(one, signal.SIG_DFL)


def _scheduler(typed: dict[str, Any], run: RunFolder | None) -> Scheduler | Finding:
    """The scheduler that was typed, or that of the run; else the one that is installed here."""
    from adaptive_scheduler.commandline.input.scheduler import make_scheduler, scheduler_of_run
    from adaptive_scheduler.schedulers.registry import detect

    if run is not None:
        return scheduler_of_run(run, typed)[0]
    if "scheduler" not in typed:
        try:
            detect(os.environ)
        except InputError as error:
            if "Neither" not in str(error):
                raise
            return wrong("no-batch-system")
    has_size = {"cores", "nodes", "cores_per_node"} & set(typed)
    return make_scheduler(typed if has_size else {"cores": _CORES, **typed})


# ------------------------------------------------------------------------ printing


def _print_dim(text: str) -> None:
    print_line(text, "dim")


def _ignore(_: str) -> None:
    return None


def _print_findings(found: list[Finding]) -> None:
    for one in found:
        mark = Text(one.level.ljust(_WIDTH + 1), _STYLES[one.level])
        _print_beside(mark, Text(f"{one.what}: {in_option_names(one.found)}"))
        if one.remedy:
            remedy = Text(f"-> {in_option_names(one.remedy)}", "yellow")
            _print_beside(Text(" " * len(mark)), remedy)
    print_line(_summary(found))


def _print_beside(mark: Text, text: Text) -> None:
    """Print a text in the columns right of its mark; a file has it on one line."""
    if not console.is_terminal:
        console.print(mark + text, soft_wrap=True)
        return
    first, *more = text.wrap(console, max(console.width - len(mark), 20))
    console.print(mark + first)
    for line in more:
        console.print(Text(" " * len(mark)) + line)


def _summary(found: list[Finding]) -> str:
    counts = count_by_level(found)
    bad = [
        counted(counts[level], word)
        for level, word in ((Level.FAULT, "fault"), (Level.WARNING, "warning"))
        if level in counts
    ]
    if n := counts.get(Level.UNKNOWN):
        bad.append(f"{counted(n, 'check')} could not be made")
    return f"{', '.join(bad)}." if bad else f"Nothing is wrong: {counted(len(found), 'check')}."
