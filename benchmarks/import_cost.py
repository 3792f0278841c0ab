"""`import`: the cost of importing this package, and of a client."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.environment import HERE, peer_python, run
from benchmarks.figures import Figure, at_most

TIMED = "import time; t = time.perf_counter(); import {}; print(1000 * (time.perf_counter() - t))"
CPU = "import time; import {}; print(time.process_time())"
BESIDES = """
import adaptive, time
begin = time.process_time()
import adaptive_scheduler.client.main, adaptive_scheduler.evaluation.learners.run
print(time.process_time() - begin)
"""


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """Milliseconds of the import, and CPU besides adaptive's."""
    ours = [milliseconds(sys.executable) for _ in range(5 * rounds)]
    peer = [milliseconds(peer_python()) for _ in range(rounds if with_peer else 0)]
    yield Figure(
        "import", "import adaptive_scheduler", "ms", ours, peer, at_most(50),
        "adaptive-scheduler 2.17.2",
    )  # fmt: skip
    client = [client_cpu() for _ in range(3 * rounds)]
    yield Figure(
        "import-client", "CPU of a client besides `import adaptive`", "s", client, bar=at_most(0.25)
    )
    yield Figure(
        "import-rank", "memory of a worker rank, the three files of the README", "MB",
        [rank_memory() for _ in range(rounds)], bar=at_most(60),
        note="resident, the shared libraries' pages included; a rank that imports adaptive: 154-162",
    )  # fmt: skip


def rank_memory() -> float:
    """Resident megabytes of the largest worker rank, reported by the evaluated function."""
    with tempfile.TemporaryDirectory(prefix="as-bench-") as name:
        folder = Path(name)
        for source in (
            *(HERE / "three_files").glob("*.py"),
            HERE.parent / "examples/run_learner.py",
        ):
            shutil.copy(source, folder)
        own = {"SYSTEM": "local", "LOCALBATCH": str(folder / "localbatch")}
        run(
            [sys.executable, "notebook.py"], cwd=folder,
            env={**os.environ, **{f"ADAPTIVE_SCHEDULER_{key}": text for key, text in own.items()}},
        )  # fmt: skip
        return max(int(path.read_text()) for path in folder.glob("rank-*.kb")) / 1024


def milliseconds(python: str) -> float:
    """Milliseconds of the import in a new process."""
    return float(run([python, "-c", TIMED.format("adaptive_scheduler")]))


def client_cpu() -> float:
    """CPU seconds of a client's imports beyond `import adaptive`."""
    return float(run([sys.executable, "-c", BESIDES]))
