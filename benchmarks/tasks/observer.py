"""Asks a manager something every two milliseconds: ``python -m benchmarks.tasks.observer FOLDER``.

A process of its own, so that a busy driver does not make it late. It ends with its standard input, and
prints the milliseconds of the longest answer, and of its own longest oversleep.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.messages import Owner
from adaptive_scheduler.core.wire.tasks import Collect
from adaptive_scheduler.io.transport.connection import Connection

PAUSE = 0.002
#: More ends than any run has: there is nothing to tell, so it is answered at once.
ALL_SEEN = 2**60


def main(path: str) -> None:
    """Ask until standard input is closed."""
    ending = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ending.set()), daemon=True).start()
    connection = Connection(RunFolder(path))
    me = Owner("observer", 0, 0, "observer")
    number, answer, oversleep = 0, 0.0, 0.0
    while not ending.is_set():
        begin = time.perf_counter()
        time.sleep(PAUSE)
        asked = time.perf_counter()
        number += 1
        connection.ask(me, number, Collect(ALL_SEEN, 0.0), 30.0)
        if number == 1:  # it has connected
            print(flush=True)
            continue
        answer = max(answer, time.perf_counter() - asked)
        oversleep = max(oversleep, asked - begin - PAUSE)
    print(1000 * answer, 1000 * oversleep)
    connection.close()


@contextmanager
def observed(folder: RunFolder) -> Iterator[list[float]]:
    """Observe a run; the list has the longest answer and the longest oversleep afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.tasks.observer", str(folder.database)],
        cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    found: list[float] = []
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield found
        text, _ = process.communicate(timeout=60)
        found += map(float, text.split())
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main(sys.argv[1])
