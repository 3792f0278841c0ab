"""A manager in a process of its own: ``python -m adaptive_scheduler.manager RUN_FOLDER``."""

from __future__ import annotations

import gc
import signal
import sys

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.io.pickling.callables_file import read_callable
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.io.system.logs import open_log
from adaptive_scheduler.manager.engine import Engine


def main(path: str) -> int:
    """Be the manager of a run until it is over; returns the exit status."""
    folder = RunFolder(path)
    try:
        config = read_config(folder)
        engine = Engine(folder, config, read_callable(folder.callables, "scheduler"))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: engine.stop())
        serve(engine)
    except AdaptiveSchedulerError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 3
    except Exception:
        open_log(folder.manager_log).exception("manager_died")
        raise
    return 0


def serve(engine: Engine) -> None:
    """Run an engine to which this process belongs."""
    # its books live as long as this process: a collector that goes through 100,000 rows again
    # and again took a quarter of its time, and made answers wait
    gc.freeze()
    engine.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
