"""Removes the file that MPICH's launcher leaves behind when it is killed.

For the ranks of a node its proxy writes ``/tmp/hydra_hwloc_xmlfile_XXXXXX``, which they read
within ``MPI_Init``, and removes it at a good end (mpich, src/pm/hydra/proxy). Its name is told
to nobody, so which one belongs to a world is told by its time. Only files of this user count.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import psutil

_FOLDER = Path("/tmp")  # noqa: S108  it is in the program of the launcher
_NAMES = "hydra_hwloc_xmlfile_*"
_PROXY = "hydra_pmi_proxy"
#: Where hydra numbers the ranks of a node.
_LOCAL_RANK = "MPI_LOCALRANKID"
#: Seconds within which a world that starts at the same time could have written a file.
_STARTING = 60.0
#: The kernel stamps files with the time of its last tick.
_TICK = 0.05


def remove() -> list[str]:
    """Remove the file of this world; call it after ``MPI_Init``, which all ranks then have passed.

    The first rank of each node does it, the others nothing.

    Returns
    -------
    list of str
        Files of which one is ours, where others of this user started worlds at the same
        time: to be removed when this world has ended.
    """
    me = psutil.Process()
    with suppress(psutil.Error, OSError):
        proxy = me.parent()
        if proxy is None or proxy.name() != _PROXY or os.environ.get(_LOCAL_RANK) != "0":
            return []
        ours = _written(me.create_time() - _TICK, time.time() + _TICK)
        if len(ours) == 1 and not _others_start(proxy, me.create_time()):
            ours[0].unlink(missing_ok=True)
            return []
        return [os.fspath(path) for path in ours]
    return []


def _written(begin: float, end: float) -> list[Path]:
    """Files of this user that were written within this time."""
    found = []
    for path in _FOLDER.glob(_NAMES):
        with suppress(OSError):
            status = path.lstat()
            if status.st_uid == os.getuid() and begin <= status.st_mtime <= end:
                found.append(path)
    return sorted(found)


def _others_start(proxy: psutil.Process, began: float) -> bool:
    """Whether another world of this user may be starting."""
    return any(
        process.pid != proxy.pid
        and process.info["name"] == _PROXY
        and process.info["create_time"] > began - _STARTING
        for process in psutil.process_iter(["name", "create_time"])
    )
