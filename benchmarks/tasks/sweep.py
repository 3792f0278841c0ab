"""`sweep`: the commands `true` of one YAML file, two at a time, beside `xargs` and mlrunner."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from adaptive_scheduler.runs.sweep.command import BASH
from benchmarks.figures import Figure
from benchmarks.tasks.bars import BARS
from benchmarks.tasks.commands import PEER_COMMANDS, xargs
from benchmarks.tasks.pool import PATIENCE, peer_value

COMMANDS = 2_000


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """Each command has a folder, a log and two files of its task, and is durable before and after."""
    ours: list[float] = []
    bare: list[float] = []
    peer: list[float] = []
    # not removed before the end: ext4 makes files more slowly for minutes where many were deleted
    with tempfile.TemporaryDirectory(prefix="as-bench-", ignore_cleanup_errors=True) as home:
        for number in range(rounds):
            folder = Path(home, str(number))
            folder.mkdir()
            bare.append(xargs(COMMANDS, BASH))
            ours.append(rate(folder, COMMANDS))
            if with_peer:
                peer.append(
                    peer_value("commands.py", "mlrunner", PEER_COMMANDS["mlrunner"], folder=folder)
                )
    what = "a sweep of 2,000 commands `true`, two at a time, durable"
    yield Figure("sweep", what, "1/s", ours, bare, BARS["sweep"], "xargs -P2, with bash, too")
    yield Figure(
        "sweep-mlrunner", "the same beside mlrunner", "1/s", ours, peer, BARS["sweep-mlrunner"],
        peer_name="mlrunner",
    )  # fmt: skip


def rate(folder: Path, n: int) -> float:
    """Commands per second; its own start, which is part of a second, is measured by a sweep of one."""
    one, all_of_them = seconds(folder, 1), seconds(folder, n)
    return (n - 1) / (all_of_them - one)


def seconds(folder: Path, n: int) -> float:
    """That a whole sweep takes."""
    text = f"resource: [0, 1]\ntemplate: {{one: 'true {{x}}'}}\n---\nx: {list(range(n))}\n"
    (folder / f"{n}.yaml").write_text(text)
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "adaptive_scheduler.cli", "sweep", "-y", f"{n}.yaml", "-o", f"out-{n}"],
        cwd=folder, check=True, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert f"{n} command{'s' if n > 1 else ''} succeeded" in done.stdout, done.stdout
    return time.perf_counter() - begin
