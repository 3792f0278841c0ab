"""`status`: how long `status` and `list` take at 100,000 learners without a manager, process start included."""

from __future__ import annotations

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

LEARNERS = 100_000
PHASES = (Phase.DONE, Phase.QUEUED, Phase.DONE)


def measure(rounds: int, _with_peer: bool) -> Iterator[Figure]:
    """Seconds of each command."""
    with tempfile.TemporaryDirectory(prefix="as-bench-") as name:
        folder = RunFolder(Path(name, "study"))
        files.private_folder(folder.home)
        files.private_folder(folder.folder)
        write_config(folder, RunConfig("ab12", [Resources()], ["study"], str(folder.logs)))
        rows = [Item(n, f"/data/study/alpha_{n:06d}.pickle", PHASES[n % 3], npoints=100, worked=12.5)
                for n in range(LEARNERS)]  # fmt: skip
        database.create(folder.database, new_tables(rows, None))
        for command in ("status", "list"):
            spent = [_seconds(command, Path(name)) for _ in range(5 * rounds)]
            what = f"{command} of {LEARNERS:,} learners, no manager"
            yield Figure("status", what, "s", spent, bar=at_most(0.3))


def _seconds(command: str, folder: Path) -> float:
    begin = time.perf_counter()
    argv = [sys.executable, "-m", "adaptive_scheduler", command]
    subprocess.run(argv, cwd=folder, stdout=subprocess.DEVNULL, check=False)
    return time.perf_counter() - begin
