"""`commands`: shell commands `true`, two at a time, beside programs that do only that."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

from adaptive_scheduler import Command, Executor
from benchmarks.figures import Figure
from benchmarks.tasks.bars import BARS
from benchmarks.tasks.pool import PATIENCE, SLOTS, peer_value, pool

COMMANDS = 3_000
#: So many that each peer takes about two seconds; mlrunner's time grows with the square.
PEER_COMMANDS = {"hyperqueue": 1_000, "mlrunner": 500}


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """From the submit to the last value; each has a log, and is durable before and after."""
    ours: list[float] = []
    bare: list[float] = []
    peers: dict[str, list[float]] = {name: [] for name in PEER_COMMANDS if with_peer}
    with pool() as (executor, home):
        rate(executor, 100)
        for _ in range(rounds):
            bare.append(xargs(COMMANDS))
            ours.append(rate(executor, COMMANDS))
            for name, values in peers.items():
                values.append(peer_value("commands.py", name, PEER_COMMANDS[name], folder=home))
    yield Figure(
        "commands", "shell commands `true`, two at a time, durable", "1/s", ours, bare,
        BARS["commands"], "xargs -P2",
    )  # fmt: skip
    for name, values in peers.items():
        yield Figure(
            f"commands-{name}", f"the same beside {name}", "1/s", ours, values,
            peer_name=name,
        )  # fmt: skip


def rate(executor: Executor, n: int) -> float:
    """Commands per second, from the first submit to the last value."""
    command = Command("true")
    begin = time.perf_counter()
    futures = executor.submit_many(command, [{}] * n)
    codes = [future.result(PATIENCE) for future in futures]
    seconds = time.perf_counter() - begin
    assert codes == [0] * n
    return n / seconds


def xargs(n: int, shell: str = "/bin/sh") -> float:
    """Commands per second of xargs, which starts the same shell for each."""
    lines = "\n".join(map(str, range(n)))
    begin = time.perf_counter()
    subprocess.run(
        ["xargs", f"-P{SLOTS}", "-I{}", shell, "-c", "true"],
        input=lines, text=True, check=True, timeout=PATIENCE,
    )  # fmt: skip
    return n / (time.perf_counter() - begin)
