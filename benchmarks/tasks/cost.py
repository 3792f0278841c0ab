"""`cost`: what one task costs the manager, the head of its job, the network and the disk; what a job costs idle."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil

from adaptive_scheduler import Command, Executor
from benchmarks.figures import Figure
from benchmarks.tasks.pool import PATIENCE, manager_of, pool, same

CALLS, COMMANDS = 20_000, 1_000
#: So few that no checkpoint is made, which would be counted as written for them.
FEW = 500
#: Seconds without a task.
IDLE = 20.0


class Spent(msgspec.Struct, frozen=True):
    """What has been used so far.

    Attributes
    ----------
    manager, head : float
        Seconds of CPU.
    wire : int
        Bytes that went through this machine's loopback: also what others send meanwhile.
    disk : int
        Bytes that the manager has written; a checkpoint is written by another process.
    files : int
        Number of the run's files.
    """

    manager: float
    head: float
    wire: int
    disk: int
    files: int


def measure(rounds: int, with_peer: bool) -> Iterator[Figure]:
    """Of calls that do nothing, and of commands `echo`, each with a log."""
    calls: list[Spent] = []
    commands: list[Spent] = []
    idle: list[Spent] = []
    written: list[tuple[float, float]] = []
    for _ in range(rounds):
        with pool() as (executor, _):
            written.append(
                (each(executor, run_calls, FEW).disk, each(executor, run_commands, FEW).disk)
            )
            calls.append(each(executor, run_calls, CALLS))
            commands.append(each(executor, run_commands, COMMANDS))
            idle.append(each(executor, lambda _, seconds: time.sleep(seconds), IDLE))
            memory = {name: size / 2**20 for name, size in sizes(executor).items()}
    for place, (kind, spent) in enumerate((("call", calls), ("command", commands))):
        yield Figure(f"cost-manager-{kind}", f"CPU of the manager for a {kind}", "µs",
                     [1e6 * one.manager for one in spent])  # fmt: skip
        yield Figure(f"cost-head-{kind}", f"CPU of the head for a {kind}", "µs",
                     [1e6 * one.head for one in spent])  # fmt: skip
        yield Figure(f"cost-wire-{kind}", f"bytes of messages for a {kind}, with CURVE and TCP",
                     "bytes", [one.wire for one in spent])  # fmt: skip
        yield Figure(f"cost-disk-{kind}", f"bytes that the manager writes for a {kind}", "bytes",
                     [one[place] for one in written])  # fmt: skip
    yield Figure(
        "cost-files", "files for a command with a log", "files", [c.files for c in commands]
    )
    yield Figure("cost-idle", "CPU of the manager for a head and a driver without tasks",
                 "% of a core", [100 * one.manager for one in idle])  # fmt: skip
    for name, size in memory.items():
        yield Figure(f"cost-memory-{name}", f"memory of {name}", "MiB", [size])


def each(executor: Executor, do: Callable[[Executor, Any], None], n: float) -> Spent:
    """What one of n costs."""
    before = spent(executor)
    do(executor, n)
    after = spent(executor)
    return Spent(*(
        (getattr(after, name) - getattr(before, name)) / n for name in Spent.__struct_fields__
    ))  # fmt: skip


def run_calls(executor: Executor, n: int) -> None:
    """Run calls that do nothing."""
    for future in executor.submit_many(same, range(n)):
        future.result(PATIENCE)


def run_commands(executor: Executor, n: int) -> None:
    """Run commands that leave a log."""
    for future in executor.submit_many(Command("echo x"), [{}] * n):
        future.result(PATIENCE)


def spent(executor: Executor) -> Spent:
    """Look."""
    manager = manager_of(executor)
    files = [one for one in executor.folder.home.rglob("*") if one.is_file()]
    return Spent(
        sum(manager.cpu_times()[:2]), sum(head_of(executor).cpu_times()[:2]),
        psutil.net_io_counters(pernic=True)["lo"].bytes_sent, manager.io_counters().write_chars, len(files),
    )  # fmt: skip


def head_of(executor: Executor) -> psutil.Process:
    """Return the head on this machine."""
    return psutil.Process(executor._closing.heads[0].process.pid)


def sizes(executor: Executor) -> dict[str, int]:
    """Bytes that a manager, and the parts of a job, do not share with other processes."""
    head = head_of(executor)
    found = {"manager": own_memory(manager_of(executor).pid), "head": own_memory(head.pid)}
    for process in head.children(recursive=True):
        words = process.cmdline()
        for name in ("supervisor", "agent", "worker"):
            if any(word.endswith(f".node.{name}") for word in words):
                found[name] = own_memory(process.pid)
    return found


def own_memory(pid: int) -> int:
    """The private memory of a process, in bytes."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    lines = [line.split() for line in text.splitlines() if line.startswith("Private_")]
    return 1024 * sum(int(words[1]) for words in lines)
