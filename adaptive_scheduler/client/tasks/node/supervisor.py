"""Parent of a node's agent: starts it again if it dies, and kills what it left behind.

Started as ``python -m adaptive_scheduler.client.tasks.node.supervisor SOCKET FOLDER``. It does so little
that nothing in it can fail; what tasks do to the agent (memory, signals to all processes of a name)
does not end the node.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from adaptive_scheduler.client.tasks.node import children
from adaptive_scheduler.client.tasks.node.children import leave_to_head

#: Seconds between two starts of an agent that dies at once.
PAUSE = 1.0
#: Exit status of an agent that could not reach the head: it is gone, so is this node's work.
NO_HEAD = 3


def supervise(address: str, folder: str) -> int:
    """Keep an agent alive until it ends in good order; returns its exit status."""
    children.become_subreaper()
    leave_to_head()
    life = 0
    while True:
        begun = time.monotonic()
        status = _one_agent(address, folder, life)
        while left := children.children():
            for pid in left:
                children.kill(pid)
        if status >= 0:
            return status
        life += 1
        time.sleep(max(0.0, begun + PAUSE - time.monotonic()))


def _one_agent(address: str, folder: str, life: int) -> int:
    its, ours = os.pipe()
    try:
        agent = subprocess.Popen(
            [sys.executable, "-m", "adaptive_scheduler.client.tasks.node.agent", address, folder,
             str(life), str(its)],
            pass_fds=(its,), stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return agent.wait()
    finally:
        os.close(its)
        os.close(ours)


if __name__ == "__main__":
    sys.exit(supervise(*sys.argv[1:]))
