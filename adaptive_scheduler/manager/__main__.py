"""A manager in a process of its own: ``python -m adaptive_scheduler.manager RUN_FOLDER [has-driver]``."""

from __future__ import annotations

import gc
import signal
import sys

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.io.pickling.callables_file import read_callable
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.io.system.logs import open_log
from adaptive_scheduler.io.system.processes import HAS_DRIVER
from adaptive_scheduler.manager.engine import Engine


def main(path: str, *, has_driver: bool = False) -> int:
    """Serve a run until it is over; returns the exit status."""
    folder = RunFolder(path)
    gc.disable()  # while a million rows are read, it would go through them for nothing
    try:
        config = read_config(folder)
        engine = Engine(folder, config, read_callable(folder.callables, "scheduler"))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: engine.stop())
        if has_driver:
            engine.state.tasks.is_open = engine.state.dirty = True
        serve(engine)
    except AdaptiveSchedulerError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 3
    except Exception:
        open_log(folder.manager_log).exception("manager_died")
        raise
    return 0


def serve(engine: Engine) -> None:
    """Run an engine in a process that has no other purpose."""
    # rows live as long as this process: going through 100,000 of them again and again, the garbage
    # collector took a quarter of its time
    gc.freeze()
    gc.enable()
    engine.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], has_driver=HAS_DRIVER in sys.argv[2:]))
