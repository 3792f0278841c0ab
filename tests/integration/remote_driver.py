"""A driver of a run on another host, to be killed: ``remote_driver.py URL PYTHON FOLDER``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from adaptive_scheduler import Executor
from adaptive_scheduler.scheduler import LocalScheduler


def main(url: str, python: str, marks: str) -> None:
    def note(x: int) -> int:
        time.sleep(0.01)
        with Path(marks, str(x)).open("a") as file:
            file.write("x")
        return x

    with Executor(LocalScheduler(cores=2, max_cores=16), folder=url, python=python) as executor:
        futures = [executor.options(key=f"x={x}").submit(note, x) for x in range(200)]
        print(sum(future.result() for future in futures))


if __name__ == "__main__":
    assert Path(sys.argv[3]).is_dir()
    main(*sys.argv[1:])
