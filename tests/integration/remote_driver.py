"""A driver of a run on another host, to be killed: ``remote_driver.py URL PYTHON FOLDER LEDGER``.

It submits calls, which write into the folder, and runs a learner, whose points write into the ledger. It
ends when there is a file ``FOLDER.end``.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path

import adaptive

from adaptive_scheduler import Executor, Runner
from adaptive_scheduler.scheduler import LocalScheduler
from tests.integration.noted import noted


def main(url: str, python: str, marks: str, ledger: str) -> None:
    def note(x: int) -> int:
        time.sleep(0.01)
        with Path(marks, str(x)).open("a") as file:
            file.write("x")
        return x

    learner = adaptive.Learner1D(partial(noted, 0.05, ledger), (-1, 1))
    with Executor(LocalScheduler(cores=2, max_cores=16), folder=url, python=python) as executor:
        runner = Runner(learner, executor, 25).start()
        futures = [executor.options(key=f"x={x}").submit(note, x) for x in range(200)]
        print(sum(future.result() for future in futures))
        print(runner.wait().npoints)
        while not Path(f"{marks}.end").exists():
            time.sleep(0.1)


if __name__ == "__main__":
    assert Path(sys.argv[3]).is_dir()
    main(*sys.argv[1:])
