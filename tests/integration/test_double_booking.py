"""No core and no GPU is given to two tasks at a time: told by the tasks, while what runs them is killed."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from adaptive_scheduler import Command, Executor, TaskResources
from adaptive_scheduler.scheduler import Here
from tests.task_campaign import work
from tests.task_campaign.bookings import double_bookings, gpus_overbooked, read_ledger

PATIENCE = 120.0
GPUS = ["0", "1"]
N, FEW = 120, 20


@pytest.mark.slow
def test_no_core_and_no_gpu_is_given_to_two_at_a_time(tmp_path: Path) -> None:
    """Cores are those that this machine has: each child is bound to its own; GPUs are names."""
    cores, ledger = len(os.sched_getaffinity(0)), str(tmp_path / "ledger")
    program = [sys.executable, "-S", work.__file__, "{key}", "{seconds}", ledger]
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    dice = random.Random(seed)
    shares: dict[str, float] = {}
    with Executor(Here(gpus=GPUS), folder=tmp_path / "run") as executor:
        futures: list[Any] = []

        def submit(number: int) -> None:
            share, threads = dice.choice((0.0, 0.5, 0.5, 1.0)), dice.choice((1, 1, min(2, cores)))
            key = f"{dice.choice(('call', 'command'))}-{number}"
            shares[key] = share
            view = executor.options(
                resources=TaskResources(threads_per_rank=threads, gpus_per_rank=share), retries=20
            )
            seconds = dice.uniform(0.0, 0.06)
            if key.startswith("call"):
                futures.append(view.submit(work.call, key, seconds, ledger))
            else:
                futures.append(view.submit(Command(program), key=key, seconds=seconds))

        for number in range(N):
            submit(number)
        head = psutil.Process(executor._closing.heads[0].process.pid)
        for kind in ("worker", "agent", "worker", "supervisor", "worker"):
            _wait_for(Path(ledger), dice.randrange(8, 16), partial(_submit_more, submit, futures))
            _kill(head, kind, dice)
        for future in futures:
            future.result(PATIENCE)
    noted = read_ledger(Path(ledger))
    assert double_bookings(noted, cores + 1) == []
    assert {core for line in noted for core in line["cores"]} <= os.sched_getaffinity(0)
    assert gpus_overbooked(noted, shares) == []


def _submit_more(submit: Callable[[int], None], futures: list[Any]) -> None:
    """Some are there to be killed, however late that comes."""
    if sum(not future.done() for future in futures) < FEW:
        for number in range(len(futures), len(futures) + FEW):
            submit(number)


def _wait_for(ledger: Path, more: int, submit_more: Callable[[], None]) -> None:
    """Until so many more lines are there."""
    end, before = time.monotonic() + PATIENCE, _lines(ledger)
    while _lines(ledger) < before + more:
        assert time.monotonic() < end
        submit_more()
        time.sleep(0.02)


def _lines(ledger: Path) -> int:
    return ledger.read_bytes().count(b"\n") if ledger.exists() else 0


def _kill(head: psutil.Process, kind: str, dice: random.Random) -> None:
    victims = []
    for one in head.children(recursive=True):
        with suppress(psutil.Error):
            if f"adaptive_scheduler.client.tasks.node.{kind}" in one.cmdline():
                victims.append(one)
    if victims:
        with suppress(psutil.NoSuchProcess):  # it has just ended with its agent
            dice.choice(victims).kill()
