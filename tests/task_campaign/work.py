"""What the tasks of a campaign do: they note when they begin and end, where, and what they were given.

``python -S work.py KEY SECONDS LEDGER`` is the program of a command.
"""

from __future__ import annotations

import json
import os
import sys
import time
import uuid

#: Seconds between two signs of life: what should have been killed is seen by them.
LIFE = 0.2


class WrongOnPurposeError(Exception):
    """A task that always fails."""


def call(key: str, seconds: float, ledger: str) -> str:
    """Return a text that no other evaluation returns; some leave a daemon behind that nobody wants."""
    mark = uuid.uuid4().hex
    note(ledger, key, mark, "begin")
    if key.startswith("leaves"):
        os.spawnlp(os.P_NOWAIT, "setsid", "setsid", "sleep", "1000")
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, LIFE))
        note(ledger, key, mark, "lives")
    if key.startswith("wrong"):
        raise WrongOnPurposeError(key)
    note(ledger, key, mark, "end")
    return f"{key} {mark}"


def note(ledger: str, key: str, mark: str, what: str) -> None:
    """Append a line in one write: lines of several processes do not mix."""
    given = os.environ.get
    line = {
        "key": key, "mark": mark, "what": what, "at": time.time(), "pid": os.getpid(),
        "job": given("ADAPTIVE_SCHEDULER_JOB", ""), "task": given("ADAPTIVE_SCHEDULER_TASK", ""),
        "node": given("ADAPTIVE_SCHEDULER_NODE") or given("SLURMD_NODENAME", ""),
        "cores": sorted(os.sched_getaffinity(0)), "gpus": given("CUDA_VISIBLE_DEVICES"),
    }  # fmt: skip
    fd = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(fd, f"{json.dumps(line)}\n".encode())
    os.close(fd)


if __name__ == "__main__":
    value = call(sys.argv[1], float(sys.argv[2]), sys.argv[3])
    print(value)
