"""A manager of a database, in a process of its own: ``python -m benchmarks.server FOLDER``.

It is the engine that every run has, without a batch system; it ends with its standard input.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.io.transport.addresses import Address, read_address
from adaptive_scheduler.manager.__main__ import serve
from adaptive_scheduler.manager.engine import Engine
from benchmarks.core_manager import config


def main(home: str) -> None:
    """Serve until standard input is closed."""
    engine = Engine(RunFolder(Path(home)), config())

    def end_with_parent() -> None:
        sys.stdin.read()
        engine.stop()

    threading.Thread(target=end_with_parent, daemon=True).start()
    serve(engine)


@contextmanager
def serving(folder: RunFolder) -> Iterator[tuple[Address, psutil.Process]]:
    """Run a manager; yields where it listens, and its process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.server", str(folder.home)],
        cwd=Path(__file__).parents[1], stdin=subprocess.PIPE,
    )  # fmt: skip
    try:
        while not folder.manager.exists():
            if process.poll() is not None:
                raise RuntimeError(f"the manager ended with {process.returncode}")
            time.sleep(0.02)
        yield read_address(folder), psutil.Process(process.pid)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


if __name__ == "__main__":
    main(sys.argv[1])
