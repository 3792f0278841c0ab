"""The commands: submit, queue, cancel, requeue, history, time-left, serve."""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adaptive_scheduler.core import times
from adaptive_scheduler.core.clean_environment import clean_environment
from adaptive_scheduler.errors import AdaptiveSchedulerError, InputError
from adaptive_scheduler.localbatch.folder import (
    FOLDER_VARIABLE,
    Folder,
    default_folder,
    open_folder,
    try_lock,
)
from adaptive_scheduler.localbatch.rules import BatchJob, Spec
from adaptive_scheduler.localbatch.start_server import ensure_server
from adaptive_scheduler.localbatch.store import Store

#: Exit codes. 2 is argparse's: the command line is wrong.
OK, REFUSED, TRY_AGAIN = 0, 3, 75

#: Seconds between SIGTERM and SIGKILL; Slurm's KillWait has the same default.
KILL_WAIT = 30.0

#: Environment variable with the seconds after which an idle server ends.
IDLE_VARIABLE = "ADAPTIVE_SCHEDULER_LOCALBATCH_IDLE"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (0, 2 usage, 3 refused, 75 try again)."""
    options = _parser().parse_args(arguments)
    options.umask = os.umask(0o077)  # the state is private; jobs get the umask of the submit
    try:
        folder = open_folder(options.state or default_folder(os.environ, os.uname().nodename))
        if options.command == "serve":
            return _serve(folder, options)
        store = Store(folder)
        code: int = options.run(store, options)
        if options.command == "submit":
            return code
        if store.count_active():
            ensure_server(folder)  # the previous one may have been killed
    except AdaptiveSchedulerError as error:
        return _fail(str(error), REFUSED)
    except sqlite3.OperationalError as error:
        return _fail(f"{error} ({folder.database}); try again", TRY_AGAIN)
    except sqlite3.DatabaseError as error:
        return _fail(f"{folder.database} is damaged ({error}): remove {folder.path}", REFUSED)
    except OSError as error:
        return _fail(f"{error} (state folder {folder.path})", TRY_AGAIN)
    return code


def _fail(text: str, code: int) -> int:
    print(f"localbatch: {text}", file=sys.stderr)
    return code


# --------------------------------------------------------------------- commands


def _submit(store: Store, options: argparse.Namespace) -> int:
    slots = options.slots or store.slots
    if options.cores > slots:
        raise InputError(
            f"a job of {options.cores} cores can never start: this batch system has {slots}. "
            "Ask for fewer cores, or give it more with --slots (LocalScheduler: max_cores)."
        )
    spec = Spec(
        name=options.name or Path(options.script).name,
        comment=options.comment,
        cores=options.cores,
        walltime=options.walltime,
        kill_wait=options.kill_wait,
        chdir=str(Path(options.chdir).absolute()),
        output=options.output,
        environ=clean_environment(os.environ),
        umask=options.umask,
    )
    if not Path(spec.chdir).is_dir():
        raise InputError(f"--chdir={spec.chdir!r} is not a folder.")
    try:
        script = Path(options.script).read_bytes()
    except OSError as error:
        raise InputError(f"the script cannot be read: {error}") from error
    ids = store.add(spec, script, options.count, options.slots)
    print("\n".join(ids))
    try:
        ensure_server(store.folder)
    except OSError as error:  # the jobs are queued: do not submit them again
        _fail(f"the server could not be started, the next command tries again: {error}", OK)
    return OK


def _queue(store: Store, _options: argparse.Namespace) -> int:
    specs: dict[int, Spec] = {}
    jobs = store.running() + store.pending()
    for job in jobs:
        if job.submit not in specs:
            specs[job.submit] = store.spec(job.submit)
    _print_rows([_row(job, specs[job.submit], os.uname().nodename) for job in jobs])
    return OK


def _row(job: BatchJob, spec: Spec, host: str) -> dict[str, Any]:
    runs = job.state == "running"
    return {
        "id": job.id,
        "state": "completing" if runs and job.wanted else job.state,
        "name": spec.name,
        "comment": spec.comment,
        "cores": job.cores,
        "restart": job.restart,
        "nodes": [host] if runs else [],
        "time_left": job.time_left(time.monotonic()),
        "reason": job.wanted or ("" if runs else "waits for free cores"),
    }


def _cancel(store: Store, options: argparse.Namespace) -> int:
    store.cancel(options.id)
    return OK


def _requeue(store: Store, options: argparse.Namespace) -> int:
    store.requeue(options.id)
    return OK


def _history(store: Store, options: argparse.Namespace) -> int:
    _print_rows([ended._asdict() for ended in store.endings(options.id)])
    return OK


def _print_rows(rows: list[dict[str, Any]]) -> None:
    """Print JSON lines, and a last one with their number, which shows that the list is complete."""
    print("\n".join(json.dumps(row) for row in [*rows, {"rows": len(rows)}]))


def _time_left(store: Store, options: argparse.Namespace) -> int:
    jobs = store.find(options.id)
    if len(jobs) != 1 or jobs[0].state == "ended":
        raise InputError(f"there is no live job {options.id!r} in {store.folder.path}.")
    left = jobs[0].time_left(time.monotonic())
    print("unlimited" if left is None else f"{left:.3f}")
    return OK


def _serve(folder: Folder, options: argparse.Namespace) -> int:
    from adaptive_scheduler.localbatch.server import IDLE_SECONDS, BatchServer

    lock = options.lock_fd
    if lock is None:
        lock = try_lock(folder.server_lock)
        if lock is None:
            raise InputError(f"{folder.path} has a server already.")
    os.set_inheritable(lock, False)
    BatchServer(folder, lock, float(os.environ.get(IDLE_VARIABLE) or IDLE_SECONDS)).run()
    return OK


# ------------------------------------------------------------------ command line


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def _seconds(text: str) -> float:
    try:
        return times.seconds(times.number_or_text(text), "time", zero=True)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--state",
        metavar="FOLDER",
        help=f"where everything is kept (default: ${FOLDER_VARIABLE}, else "
        "~/.local/state/adaptive_scheduler/localbatch/HOST)",
    )
    parser = argparse.ArgumentParser(
        prog="python -m adaptive_scheduler.localbatch",
        description="A small batch system of processes on this machine.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    _add_submit(commands.add_parser("submit", parents=[common], help="queue jobs; print their ids"))
    for name, run, help_text in (
        ("cancel", _cancel, "end jobs: SIGTERM, and SIGKILL after their kill wait"),
        ("requeue", _requeue, "end running jobs, and start them again"),
        ("history", _history, "how jobs ended, as JSON lines; kept for a day"),
    ):
        one = commands.add_parser(name, parents=[common], help=help_text)
        one.add_argument("id", nargs="+", help="12_3, or 12 for all tasks of an array")
        one.set_defaults(run=run)
    queue = commands.add_parser("queue", parents=[common], help="list jobs, as JSON lines")
    queue.set_defaults(run=_queue)
    left = commands.add_parser("time-left", parents=[common], help="seconds until the walltime")
    left.add_argument("id")
    left.set_defaults(run=_time_left)
    serve = commands.add_parser(
        "serve", parents=[common], help="run jobs, in the foreground; submit starts it by itself"
    )
    serve.add_argument("--lock-fd", type=int, help=argparse.SUPPRESS)
    return parser


def _add_submit(submit: argparse.ArgumentParser) -> None:
    add = submit.add_argument
    add("--count", type=_at_least_one, default=1, help="number of jobs, as an array")
    add("--cores", type=_at_least_one, default=1, help="slots of each job")
    add("--walltime", type=_seconds, help="seconds (default: no limit)")
    add("--kill-wait", type=_seconds, default=KILL_WAIT, help="seconds from SIGTERM to SIGKILL")
    add("--slots", type=_at_least_one, help="cores of the whole batch system, from now on")
    add("--name", default="", help="job name (default: the script's)")
    add("--comment", default="", help="any text; the queue shows it")
    add("--chdir", default=".", help="the jobs' working directory")
    add("--output", default="%j.out", help="%%A submit, %%a task, %%j job id; appended to")
    add("script")
    submit.set_defaults(run=_submit)
