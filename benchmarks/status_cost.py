"""`status`: how long `status` and `list` take at 100,000 learners, process start included, without and with a manager.

Of each the CPU time, too: other processes of the machine hardly change that.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.storage import database
from adaptive_scheduler.io.storage.row_codec import new_tables
from adaptive_scheduler.io.storage.run_config import write_config
from benchmarks.figures import Figure, at_most
from benchmarks.server import serving

LEARNERS = 100_000
PHASES = (Phase.DONE, Phase.QUEUED, Phase.DONE)
COMMANDS = ("status", "list")


def measure(rounds: int, _with_peer: bool) -> Iterator[Figure]:
    """Seconds of each command, by the clock and of a core."""
    with tempfile.TemporaryDirectory(prefix="as-bench-") as name:
        folder = RunFolder(Path(name, "study"))
        files.private_folder(folder.home)
        files.private_folder(folder.folder)
        write_config(folder, RunConfig("ab12", [Resources()], ["study"], str(folder.logs)))
        rows = [Item(n, f"/data/study/alpha_{n:06d}.pickle", PHASES[n % 3], npoints=100, worked=12.5)
                for n in range(LEARNERS)]  # fmt: skip
        database.create(folder.database, new_tables(rows, None))
        for command in COMMANDS:
            yield from _figures(command, Path(name), "no manager", 5 * rounds)
        with serving(folder):
            for command in COMMANDS:
                yield from _figures(command, Path(name), "its manager alive", 5 * rounds)


def _figures(command: str, folder: Path, manager: str, times: int) -> Iterator[Figure]:
    spent = [_seconds(command, folder) for _ in range(times)]
    what = f"{command} of {LEARNERS:,} learners, {manager}"
    yield Figure("status", what, "s", [clock for clock, _ in spent], bar=at_most(0.3))
    yield Figure("status-cpu", f"{what}: CPU", "s", [cpu for _, cpu in spent], bar=at_most(0.3))


def _seconds(command: str, folder: Path) -> tuple[float, float]:
    begin, before = time.perf_counter(), os.times()
    argv = [sys.executable, "-m", "adaptive_scheduler", command]
    subprocess.run(argv, cwd=folder, stdout=subprocess.DEVNULL, check=False)
    passed, after = time.perf_counter() - begin, os.times()
    cpu = (
        after.children_user + after.children_system - before.children_user - before.children_system
    )
    return passed, cpu
