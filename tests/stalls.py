"""Runs a command on a machine that stands still at random: the tests, mostly (`make test-stalls`).

Again and again a process below the command is stopped for a moment (SIGSTOP), as one of a loaded or a virtual
machine is. A test or a program that counts on who is faster fails then, which in quiet it does once in a hundred
runs. What measures speed, or asserts that nothing stands still, may fail; all else must not.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Annotated

import psutil
import typer

#: The longest stall, in seconds: leases and patience in tests are longer.
LONGEST = 1.5


class RandomStops:
    """Processes that stand still, and until when.

    Parameters
    ----------
    root : psutil.Process
        It and what is below it may be stopped.
    mean : float
        Mean length of a stall, in seconds.
    drawn : random.Random
    """

    def __init__(self, root: psutil.Process, mean: float, drawn: random.Random) -> None:
        self._root = root
        self._mean = mean
        self._drawn = drawn
        self._stopped: dict[psutil.Process, float] = {}
        self.number = 0

    def stop_one(self) -> None:
        """Stop a process that runs, for a random time."""
        with suppress(psutil.Error):  # it has ended
            running = [self._root, *self._root.children(recursive=True)]
            one = self._drawn.choice(running)
            if one in self._stopped or one.status() in (
                psutil.STATUS_STOPPED,
                psutil.STATUS_ZOMBIE,
            ):
                return  # by a test: it stays stopped
            length = min(LONGEST, self._drawn.expovariate(1 / self._mean))
            self._stopped[one] = time.monotonic() + length
            one.send_signal(signal.SIGSTOP)
            self.number += 1

    def go_on(self, now: float) -> None:
        """Let those go on that have stood still for long enough."""
        for one in [one for one, until in self._stopped.items() if until <= now]:
            del self._stopped[one]
            with suppress(psutil.Error):
                one.send_signal(signal.SIGCONT)


def main(
    command: list[str],
    mean: Annotated[float, typer.Option(help="Mean length of a stall, in seconds.")] = 0.2,
    every: Annotated[float, typer.Option(help="Mean time between two, in seconds.")] = 0.05,
    seed: Annotated[int | None, typer.Option(help="Of the drawing; default: a random one.")] = None,
) -> None:
    """Run COMMAND with its exit code; print how many stalls there were."""
    seed = random.randrange(2**32) if seed is None else seed
    drawn = random.Random(seed)
    process = subprocess.Popen(command)
    stalls = RandomStops(psutil.Process(process.pid), mean, drawn)
    try:
        while process.poll() is None:
            stalls.go_on(time.monotonic())
            stalls.stop_one()
            time.sleep(drawn.expovariate(1 / every))
    except KeyboardInterrupt:  # the command has it, too
        stalls.go_on(float("inf"))
        process.wait()
    finally:
        stalls.go_on(float("inf"))
    print(f"{stalls.number} stalls of {mean:g} s in the mean, seed {seed}")
    if not stalls.number:
        print("No process was stopped: this has shown nothing.")
    sys.exit(process.returncode or (0 if stalls.number else 1))


if __name__ == "__main__":
    typer.run(main)
