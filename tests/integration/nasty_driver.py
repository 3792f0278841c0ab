"""A driver whose tasks leave daemons; it never ends by itself: ``python nasty_driver.py FOLDER``."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from adaptive_scheduler import Command, Executor
from adaptive_scheduler.scheduler import Here

#: Leaves a process that has closed its streams, is in a session of its own, and ignores SIGTERM.
DAEMON = """
(trap '' TERM HUP; exec setsid sh -c 'echo $$ > {file}; exec 0<&- 1>&- 2>&-; exec sleep 600' &)
trap '' TERM; sleep 600; sleep 600
"""


def stay(path: str) -> None:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            Path(path).write_text(str(os.getpid()))
            os.closerange(0, 100)
            time.sleep(600)
        os._exit(0)
    os.wait()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def main(folder: Path) -> None:
    with Executor(Here(slots=2), folder=folder / "run") as executor:
        executor.submit(stay, str(folder / "daemon-of-call"))
        executor.submit(Command(DAEMON), file=str(folder / "daemon-of-command"))
        while True:
            time.sleep(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
