"""An `Executor` on two slots of this machine, warm, whose processes are gone afterwards."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from adaptive_scheduler import Executor, scheduler
from adaptive_scheduler.errors import ManagerUnreachableError
from adaptive_scheduler.io.transport.addresses import read_address
from benchmarks.environment import run_peer

SLOTS = 2
#: Seconds that one step of a row may take; what hangs must not keep the rows behind it.
PATIENCE = 120.0
#: A call of each slot, long enough for a second worker to be started.
WARM_SECONDS = 0.3
#: Folder of the files that end `wait_for`.
GO = "go"


def same(x: Any) -> Any:
    """A call that does nothing."""
    return x


def sleep(seconds: float) -> float:
    """A call that does nothing for a while."""
    import time

    time.sleep(seconds)
    return seconds


def wait_for(path: str) -> None:
    """A call that keeps its slot until a file is there, or the benchmark has been left."""
    import time
    from pathlib import Path

    while Path(path).parent.exists() and not Path(path).exists():
        time.sleep(0.005)


class Blocked:
    """Keeps both slots busy, so that what is submitted meanwhile waits in the manager."""

    def __init__(self, executor: Executor, home: Path) -> None:
        self._path = home / GO / str(time.monotonic_ns())
        first = executor.options(priority=1e9)
        self._calls = [first.submit(wait_for, str(self._path)) for _ in range(SLOTS)]
        wait_durable(self._calls)

    def release(self) -> None:
        """Let the slots go on."""
        self._path.touch()


def wait_durable(futures: Sequence[Any]) -> None:
    """Wait until all these tasks are on disk. They are sent in their order, so the last one tells."""
    deadline = time.monotonic() + PATIENCE
    while futures[-1].task is None:
        if time.monotonic() > deadline:
            raise RuntimeError(f"a task is not on disk after {PATIENCE:.0f} s")
        time.sleep(0.001)


@contextmanager
def pool(*, is_left: bool = False) -> Iterator[tuple[Executor, Path]]:
    """Yield an executor whose two workers run, and a folder that is removed.

    Parameters
    ----------
    is_left : bool
        Very many tasks will be queued at the end: kill the run instead of cancelling each.
    """
    home = Path(tempfile.mkdtemp(prefix="as-bench-"))
    (home / GO).mkdir()
    executor = Executor(scheduler.Here(slots=SLOTS), folder=home / "run")
    try:
        warm(executor)
        yield executor, home
        if not is_left:
            executor.shutdown(cancel_futures=True)
    finally:
        shutil.rmtree(home / GO)  # ends calls of `wait_for`
        leave(executor)
        shutil.rmtree(home, ignore_errors=True)


def warm(executor: Executor) -> None:
    """Let both workers evaluate something, then many calls."""
    for future in executor.submit_many(sleep, [WARM_SECONDS] * SLOTS):
        future.result(PATIENCE)
    for future in executor.submit_many(same, range(2_000)):
        future.result(PATIENCE)


def manager_of(executor: Executor) -> psutil.Process:
    """Return the run's manager."""
    return psutil.Process(read_address(executor.folder).pid)


def leave(executor: Executor) -> None:
    """End what is left of a run at once, in whatever state; does nothing after a shutdown."""
    executor._book.broken(RuntimeError("the benchmark has left the run"))
    executor.shutdown()  # nothing is waited for: ends head, agent and workers, and who starts managers anew
    with suppress(ManagerUnreachableError, psutil.NoSuchProcess):
        manager = manager_of(executor)
        manager.kill()
        manager.wait(30)


def peer_value(program: str, *arguments: object, folder: Path | None = None) -> float:
    """Run a program of the peers, which may leave files in a folder; what it prints last is the value."""
    env = None if folder is None else {**os.environ, "TMPDIR": str(folder)}
    return float(run_peer(program, *arguments, timeout=PATIENCE, env=env).split()[-1])
