"""A driver in a process of its own, which tests kill: ``python -m tests.integration.task_driver FOLDER WHAT PATIENCE``."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from adaptive_scheduler import Executor
from adaptive_scheduler.scheduler import Here

N = 40


def note(number: int, home: str) -> int:
    """Write down that this task has run, and return its number."""
    time.sleep(0.02)
    with (Path(home) / "ledger").open("a") as file:
        file.write(f"{number}\n")
    return number


def sleep_for_ever(home: str) -> None:
    """Tell that it has begun."""
    (Path(home) / "begun").write_text(str(os.getpid()))
    time.sleep(1000)


def main(home: str, what: str, patience: str) -> None:
    folder = Path(home) / "run"
    if what == "top":  # without a block: the end of Python waits
        executor = Executor(Here(slots=1), folder=folder, driver_patience=float(patience))
        executor.submit(sleep_for_ever, home).result()
    with Executor(Here(slots=2), folder=folder, driver_patience=float(patience)) as executor:
        (Path(home) / "head").write_text(str(executor._closing.heads[0].process.pid))
        if what == "keys":
            futures = [executor.options(key=f"n={n}").submit(note, n, home) for n in range(N)]
            print(sum(future.result(60) for future in futures), flush=True)
        elif what == "leave":  # the end of the block waits
            executor.submit(sleep_for_ever, home)
        else:  # two run, others wait
            futures = [executor.submit(sleep_for_ever, home) for _ in range(5)]
            futures[0].result()


if __name__ == "__main__":
    main(*sys.argv[1:])
