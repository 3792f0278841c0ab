"""Parent of a node's agent: starts it again if it dies, and kills what it left behind.

Started as ``python -m adaptive_scheduler.client.tasks.node.supervisor SOCKET FOLDER``. It does so little
that nothing in it can fail; what tasks do to the agent (memory, signals to all processes of a name)
does not end the node.
"""

from __future__ import annotations

import os
import sys
import time

from adaptive_scheduler.io.system.child_process import (
    Child,
    become_subreaper,
    end_all,
    leave_signals_to_head,
)

#: What an agent runs.
AGENT = "adaptive_scheduler.client.tasks.node.agent"
#: Seconds between two starts of an agent that dies at once.
PAUSE = 1.0


def supervise(address: str, folder: str) -> int:
    """Keep an agent alive until it ends in good order; returns its exit status.

    One that cannot reach the head has an exit status as well: then the head is gone.
    """
    become_subreaper()
    leave_signals_to_head()
    cwd = os.getcwd()
    life = 0
    while True:
        begun = time.monotonic()
        status = _one_agent(cwd, address, folder, str(life))
        end_all()
        if status >= 0:
            return status
        life += 1
        time.sleep(max(0.0, begun + PAUSE - time.monotonic()))


def _one_agent(cwd: str, *argv: str) -> int:
    its, ours = os.pipe()
    try:
        agent = Child(
            [sys.executable, "-P", "-m", AGENT, *argv, str(its)], os.environ, cwd=cwd,
            inherit=(its,),
        )  # fmt: skip
        agent.peek()
        ending = agent.reap()
        return -ending.signal or ending.status
    finally:
        os.close(its)
        os.close(ours)


if __name__ == "__main__":
    sys.exit(supervise(*sys.argv[1:]))
