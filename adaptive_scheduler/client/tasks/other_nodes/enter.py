"""The first thing that runs on another node of a job: it takes the head's environment on, and becomes the proxy.

Started by a launcher as ``python -P -m adaptive_scheduler.client.tasks.other_nodes.enter INVITATION [NODE]``.
What a launcher sets (ranks of a step, of an MPI world), or does not pass on, is nothing to the tasks.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

from adaptive_scheduler.client.tasks.other_nodes.invitation import read_invitation
from adaptive_scheduler.errors import AdaptiveSchedulerError, RunError

#: What it becomes.
PROXY = "adaptive_scheduler.client.tasks.other_nodes.proxy"


def main(argv: list[str]) -> int:
    """Become the proxy of the node that is named, or else of the one that SLURM says this is."""
    node = argv[1] if len(argv) > 1 else os.environ.get("SLURMD_NODENAME", "")
    try:
        become_proxy(Path(argv[0]), node)
    except AdaptiveSchedulerError as error:
        print(f"adaptive_scheduler: node {node!r}: {error}", file=sys.stderr)
    return 1


def become_proxy(path: Path, node: str) -> NoReturn:
    """Take on the environment of an invitation.

    Raises
    ------
    RunError
        This is no node of its job, or lacks the head's working directory.
    """
    invitation = read_invitation(path)
    if node not in invitation.nodes[1:]:
        raise RunError(
            f"it is none of the other nodes of this job: {', '.join(invitation.nodes[1:])}."
        )
    try:
        os.chdir(invitation.cwd)
    except OSError as error:
        raise RunError(
            f"{invitation.cwd}: {error.strerror}. The working directory of a run must be on a file "
            "system that all nodes have."
        ) from error
    environ = invitation.environment_of(node, os.environb)
    os.execve(sys.executable, [sys.executable, "-P", "-m", PROXY, str(path), node], environ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
